"""Built-in corruptions: noise, time, codecs, pictures."""
