"""What was drawn for one view: every parameter resolved, nothing left to chance."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

__all__ = [
    "Blurred",
    "Box",
    "Component",
    "DrawnView",
    "Flipped",
    "GammaCurved",
    "Greyed",
    "Jittered",
    "Mixed",
    "PixelStep",
    "Solarized",
    "Turned",
    "acts",
]

Component = Literal["brightness", "contrast", "saturation", "hue"]


@dataclass(frozen=True, slots=True)
class Box:
    """A part of the frame, in pixels."""

    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True, slots=True)
class Flipped:
    """HorizontalFlip."""

    applied: bool


@dataclass(frozen=True, slots=True)
class Turned:
    """QuarterTurn: 0 … 3 counter-clockwise."""

    turns: int


@dataclass(frozen=True, slots=True)
class Jittered:
    """ColorJitter. `order` names the components that act, first one first.

    Factors are multiples of 1/4096 and hue (turns) of 1/1536, see `arithmetic`.
    """

    applied: bool
    order: tuple[Component, ...]
    brightness: float
    contrast: float
    saturation: float
    hue: float


@dataclass(frozen=True, slots=True)
class Greyed:
    """Grayscale."""

    applied: bool


@dataclass(frozen=True, slots=True)
class GammaCurved:
    """Gamma."""

    applied: bool
    gamma: float


@dataclass(frozen=True, slots=True)
class Blurred:
    """GaussianBlur: sigma in pixels, `size` the odd side of the kernel."""

    applied: bool
    sigma: float
    size: int


@dataclass(frozen=True, slots=True)
class Solarized:
    """Solarize."""

    applied: bool
    threshold: int


@dataclass(frozen=True, slots=True)
class Mixed:
    """TemporalMix: frame k of the clip with a weight that is a multiple of 1/4096."""

    frame: int
    weight: float


PixelStep: TypeAlias = Flipped | Turned | Jittered | Greyed | GammaCurved | Blurred | Solarized | Mixed


def acts(step: PixelStep) -> bool:
    """Whether the step changes pixels at all."""
    match step:
        case Turned():
            return step.turns != 0
        case Mixed():
            return step.weight != 0
        case _:
            return step.applied


@dataclass(frozen=True, slots=True)
class DrawnView:
    """How one view of one sample is made, completely. A plain value: picklable, comparable.

    Args:
        degrees: Rotation about the centre before the crop, counter-clockwise; 0 where there is none.
        crop: The part of the frame that is resized to the view.
        pixels: The steps after the crop, in order, one for every declared op.
    """

    degrees: float
    crop: Box
    pixels: tuple[PixelStep, ...]

    def describe(self) -> dict[str, Any]:
        """The same as dicts, lists and numbers that JSON holds, for reports."""
        steps = [{"step": type(step).__name__, **asdict(step)} for step in self.pixels]
        for step in steps:
            if "order" in step:
                step["order"] = list(step["order"])
        return {"degrees": self.degrees, "crop": asdict(self.crop), "pixels": steps}
