"""The SDK and benchmark of vssl."""
