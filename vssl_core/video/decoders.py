"""The decoders that may turn files into frames, by name.

PyAV is always there. torchcodec is an optional second one, so that numbers can be shown not to hang on a
decoder, and so that `vssl data parity` can compare the two. Both give the frames of one and the same
table (`scan`), so a frame's number never depends on the decoder; its bits may.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec

from vssl_core.errors import OptionError, did_you_mean
from vssl_core.video.decoder import Decoder
from vssl_core.video.pyav_decoder import PyAVDecoder

__all__ = ["DECODERS", "find_decoder", "installed_decoders"]

DECODERS = ("pyav", "torchcodec")


@cache
def find_decoder(name: str) -> Decoder:
    """The decoder of this name.

    Raises:
        OptionError: There is none, or it is not installed; the message says what to install.
    """
    if name == "pyav":
        return PyAVDecoder()
    if name == "torchcodec":
        from vssl_core.video.torchcodec_decoder import TorchCodecDecoder

        return TorchCodecDecoder()
    raise OptionError(f"there is no decoder {name!r}.{did_you_mean(name, DECODERS)}")


def installed_decoders() -> tuple[str, ...]:
    """Names of those that can be used here."""
    return tuple(name for name in DECODERS if name == "pyav" or _works(name))


def _works(name: str) -> bool:
    if find_spec(name) is None:
        return False
    try:
        find_decoder(name)
    except OptionError:
        return False
    return True
