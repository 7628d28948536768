"""What a number of the paper is: a value at named coordinates, with source and trust."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

__all__ = ["SOURCES", "TASK_GROUPS", "TRUST", "Coordinates", "PaperCell", "PaperTable", "Trust"]

Trust = Literal["printed", "printed_elsewhere", "read_off_plot", "doubtful"]

TRUST: Mapping[Trust, str] = {
    "printed": "Printed in the supplement that vssl follows.",
    "printed_elsewhere": "Printed by the same authors in a draft, another supplement, a poster or on a page.",
    "read_off_plot": "Measured on a plot; the note says how exactly.",
    "doubtful": "Printed, but other numbers or facts speak against it; the note says which.",
}
"""How far a number can be trusted; the last two need a note."""

SOURCES: Mapping[str, str] = {
    "supplement": "The supplement of the later version, which vssl follows.",
    "M22": "The draft of the main paper, November 2022.",
    "S22": "The supplement of November 2022.",
    "S23": "The supplement of March 2023.",
    "page": "The authors' first project page.",
    "page2": "The authors' second project page.",
    "poster": "The poster of the workshop, 2023.",
}
"""First word of a source, and what it stands for."""

TASK_GROUPS: Mapping[str, tuple[str, ...]] = {
    "non-contrastive": ("rotnet", "vcop", "prp"),
    "contrastive": ("cvrl", "tdl", "rspnet"),
    "spatial": ("rotnet", "cvrl"),
    "temporal": ("vcop", "tdl"),
    "spatio-temporal": ("prp", "rspnet"),
}
"""The paper's two ways to divide its tasks (supplement Table 3)."""

Task = Literal["rotnet", "vcop", "prp", "cvrl", "tdl", "rspnet"]
Architecture = Literal["shufflenet", "mobilenetv2", "squeezenet", "c3d", "r3d", "r2plus1d", "video_swin"]
Slug = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Count = Annotated[int, Field(strict=True, ge=1)]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Coordinates(_Record):
    """What a number was measured on; None: not stated, or without meaning there."""

    task: Task | None = None
    """Pretext task under the benchmark's equal constraints."""
    method: Slug | None = None
    """A published method under constraints of its own."""
    architecture: Architecture | None = None
    """Backbone; the student's where one was distilled."""
    pretrain: Literal["kinetics400", "kinetics700", "ssv2"] | None = None
    """Dataset of pretraining; that of the teachers where a student was distilled."""
    subset: Count | None = None
    """Videos of pretraining."""
    epochs: Count | None = None
    """Epochs of pretraining."""
    complexity: Annotated[int, Field(strict=True, ge=1, le=3)] | None = None
    """The paper's C1, C2, C3."""
    level: Count | None = None
    """The same as the level of vssl's task."""
    target: Literal["ucf101", "hmdb51", "diving48"] | None = None
    """Dataset of evaluation."""
    evaluator: Literal["finetune", "linear", "retrieval", "distill"] | None = None
    """How it was scored."""
    noise: Literal["none", "gaussian", "impulse", "shot", "speckle", "mean"] | None = None
    """Corruption of the test videos; mean: over the four."""
    severity: Annotated[int, Field(strict=True, ge=1, le=5)] | None = None
    """Of the noise."""
    distill: Literal["architectures", "complexities", "sources", "tasks"] | None = None
    """In what a student's teachers differ."""
    teachers: Annotated[str, Field(pattern=r"^[\w]+(\+[\w]+)+$")] | None = None
    """The teachers, joined by +."""

    def named(self) -> dict[str, str | int]:
        """Those that are stated."""
        return self.model_dump(exclude_none=True)


class _Provenance(_Record):
    source: str
    """Where it is printed: words of `SOURCES` with a place, several joined by a semicolon."""
    trust: Trust
    note: str = ""

    @field_validator("source")
    @classmethod
    def _known(cls, source: str) -> str:
        for part in source.split(";"):
            if part.strip().partition(" ")[0] not in SOURCES:
                raise ValueError(f"a source begins with one of {', '.join(SOURCES)}")
        return source

    @model_validator(mode="after")
    def _explained(self) -> Any:
        if self.trust in ("read_off_plot", "doubtful") and not self.note:
            raise ValueError(f"trust {self.trust!r} needs a note that says why")
        return self


class PaperCell(_Provenance):
    """One number.

    Its `source`, `trust` and `note` are those of its table unless it has its own.
    """

    table: str
    """Name of its table."""
    at: Coordinates
    metric: Slug | Literal["R@1", "R@5"]
    """`top1`, `R@5`, `relative_drop`, `parameters`, …"""
    unit: str
    value: Annotated[float, Field(strict=True, allow_inf_nan=False)]
    decimals: Annotated[int, Field(strict=True, ge=0, le=4)]
    """Decimals that are printed."""

    @property
    def text(self) -> str:
        """The value with its printed decimals."""
        return f"{self.value:.{self.decimals}f}"


class PaperTable(_Provenance):
    """One table of the paper."""

    name: str
    """Its file's name."""
    title: str
    """What it shows, in our words."""
    cells: tuple[PaperCell, ...]
