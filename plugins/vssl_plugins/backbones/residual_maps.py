"""How published residual networks name their tensors: VCOP, RSPNet and torchvision.

VCOP and RSPNet train the same classes; RSPNet's files hold a MoCo pair around them. Rules of one
convolution (plain or factorised) are handed in, everything around it is shared.
"""

from __future__ import annotations

from vssl_core.weights import KeyMap

__all__ = ["TORCHVISION_BLOCK", "TORCHVISION_BLOCK_BACK", "TORCHVISION_HEAD", "Rules", "vcop_maps"]

Rules = tuple[tuple[str, str], ...]

_MOST_BLOCKS = 36
"""Of one stage; no published residual network has more."""

_VCOP: Rules = (
    (r"^conv1\.", "stem.0."),
    (r"^bn1\.", "stem.1."),
    *((rf"^conv{number}\.", f"stage{number - 1}.") for number in range(2, 6)),
    (r"\.block1\.", ".0."),
    *((rf"\.blocks\.{number}\.", f".{number + 1}.") for number in range(_MOST_BLOCKS)),
    (r"\.downsampleconv\.", ".shortcut.0."),
    (r"\.downsamplebn\.", ".shortcut.1."),
    (r"\.bn([12])\.", r".norm\1."),
)

TORCHVISION_HEAD = (r"fc\.",)
TORCHVISION_BLOCK: Rules = (
    (r"^layer", "stage"),
    (r"\.conv([12])\.1\.", r".norm\1."),
    (r"\.downsample\.", ".shortcut."),
)
"""After the rules of the convolution, whose places are `.conv1.0.` and `.conv2.0.`."""
TORCHVISION_BLOCK_BACK: Rules = (
    (r"\.shortcut\.", ".downsample."),
    (r"\.norm([12])\.", r".conv\1.1."),
    (r"^stage", "layer"),
)
"""The way back; before it the rules of the convolution."""


def vcop_maps(architecture: str, convolution: Rules) -> tuple[KeyMap, KeyMap]:
    """Key maps of one architecture as VCOP and as RSPNet publish it.

    Args:
        architecture: What VCOP calls it.
        convolution: Rules of one convolution, applied first; the first one's pattern recognises the file.
    """
    recognised = convolution[0][0]
    return (
        KeyMap(
            f"VCOP {architecture}",
            recognise=(rf"(base_network\.)?conv2\.block1\..*{recognised}",),
            rename=((r"^base_network\.", ""), *convolution, *_VCOP),
            drop=(r"(base_network\.)?linear\.", r"fc[78]\."),
        ),
        KeyMap(
            f"RSPNet {architecture}",
            recognise=(rf"(encoder_q\.)?encoder\.conv2\.block1\..*{recognised}",),
            rename=((r"^(encoder_q\.)?encoder\.", ""), *convolution, *_VCOP),
            drop=(r"encoder_k\.", r"queue", r"(encoder_q\.)?(encoder\.linear|fc\d?)\."),
        ),
    )
