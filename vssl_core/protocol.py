"""A protocol: everything that must be equal for two results to stand in one table.

A frozen document whose hash is its name. Presets are YAML files beside this module; a user writes the
same file and names it with `--protocol FILE`. Single fields are changed with `-o protocol.FIELD=VALUE`,
which gives another protocol with another hash.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from vssl_core.documents import DocumentKind, explain_fields
from vssl_core.errors import ProtocolError
from vssl_core.files import canonical_json
from vssl_core.types import ClipSpec

__all__ = ["PROTOCOL_SCHEMA", "Protocol", "document_hash", "load_protocol", "preset_names"]

PROTOCOL_SCHEMA = 1

# Which components run by default is a convenience: rows name their components themselves.
_UNHASHED = {"name", "description", "pretrain_dataset", "target_datasets", "backbone"}


class _Part(BaseModel):
    # The hash is over JSON, which has no word for infinity.
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)


_Positive = Annotated[float, Field(gt=0)]


class Clip(_Part):
    """Geometry of every clip."""

    num_frames: int = Field(16, ge=1, le=256)
    """Frames in a clip."""
    frame_stride: int = Field(2, ge=1, le=64)
    """Source frames from one sampled frame to the next."""
    crop_size: int = Field(112, ge=16, le=1024)
    """Height and width of a view in pixels."""

    def spec(self) -> ClipSpec:
        """The same as the plain value that components receive."""
        return ClipSpec(self.num_frames, self.frame_stride, self.crop_size)


class Data(_Part):
    """Which videos, and how they become frames."""

    short_side: int | None = Field(None, ge=16)
    """Frames are reduced to this short side after decoding; null: as they are."""
    decoder: Literal["pyav", "torchcodec"] = "pyav"
    """What turns files into frames; torchcodec must be installed. Its versions are part of a cell's key."""
    num_videos: int | None = Field(None, ge=1)
    """Pretrain on this many videos, chosen by the hash of (subset_seed, video_id); null: all."""
    subset_seed: int = 0
    """Which subset; subsets of one seed are nested."""
    unreadable: Literal["strict", "lenient"] = "strict"
    """A video that cannot be read stops the cell (strict) or is left out by id (lenient)."""
    overlap: Literal["allow", "forbid"] = "allow"
    """forbid: nothing starts while a pretraining video shows the same as a test video of a target."""
    validation_fraction: float = Field(0.15, gt=0, lt=0.9)
    """Share of the training videos carved out by group where a dataset lists no validation part."""
    held_out_videos: int = Field(64, ge=2)
    """Validation videos for the held-out pretext accuracy, at most, chosen as `num_videos` are."""
    mean: tuple[float, float, float] = (0.43216, 0.394666, 0.37645)
    """Channel means of normalisation, on [0, 1]."""
    std: tuple[_Positive, _Positive, _Positive] = (0.22803, 0.22145, 0.216989)
    """Channel standard deviations of normalisation."""
    pins: Mapping[str, str] = {}
    """Dataset name → index digest that must be found, so that two labs can prove equal data."""


class Budget(_Part):
    """How much pretraining a cell gets."""

    currency: Literal["epochs", "frames", "flops", "seconds"] = "epochs"
    """What is counted: passes over the set, decoded frames, training FLOPs or wall seconds."""
    amount: float = Field(1, gt=0)
    """How much of it."""


class Optimizer(_Part):
    """The optimiser of pretraining."""

    name: Literal["sgd", "adamw"] = "sgd"
    """SGD with momentum, or AdamW."""
    lr: float = Field(0.01, gt=0)
    """Peak learning rate."""
    momentum: float = Field(0.9, ge=0, lt=1)
    """Momentum of SGD."""
    betas: tuple[float, float] = (0.9, 0.95)
    """Betas of AdamW."""
    weight_decay: float = Field(1e-4, ge=0)
    """Weight decay."""
    warmup: float = Field(0.05, ge=0, lt=1)
    """Share of the budget with a linearly rising rate; then a cosine to zero."""
    clip_norm: float | None = Field(None, gt=0)
    """Largest gradient norm; null: no clipping."""


class Pretrain(_Part):
    """Pretraining, equal for all tasks."""

    budget: Budget = Budget()
    batch_size: int = Field(32, ge=2)
    """Videos in one optimiser step, over all processes."""
    accumulation: int = Field(1, ge=1)
    """Forward passes that one step is made of."""
    optimizer: Optimizer = Optimizer()
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """`auto`: a recorded probe takes the faster precision and memory format; else `channels_last_3d`."""
    held_out_points: int = Field(4, ge=0)
    """How often held-out pretext accuracy and the collapse monitors are taken."""

    @model_validator(mode="after")
    def _divides(self) -> Pretrain:
        if self.batch_size % self.accumulation:
            raise ValueError("batch_size must be a multiple of accumulation")
        return self


class Evaluation(_Part):
    """Evaluation, equal for all cells."""

    evaluators: tuple[str, ...] = ("linear", "finetune", "retrieval")
    """Evaluators that run unless others are named."""
    num_videos: int | None = Field(None, ge=1)
    """Evaluate on at most this many videos of each part of a target, chosen by hash; null: all."""
    num_test_clips: int = Field(10, ge=1)
    """Evenly spaced clips of a test video, averaged."""
    augmentation: Literal["center", "crop", "crop_flip"] = "crop"
    """What training clips of evaluators undergo. A flip changes the class of directed motion."""
    crop_scale: float = Field(8 / 7, ge=1)
    """Crops have the side short_side / crop_scale: 8/7 is "resize to 128, crop 112"."""
    options: Mapping[str, Mapping[str, Any]] = {}
    """Evaluator name → options that replace its defaults."""

    @field_validator("options")
    @classmethod
    def _is_json(cls, options: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Mapping[str, Any]]:
        try:
            canonical_json(options)
        except (TypeError, ValueError) as error:
            raise ValueError(f"expected values that JSON can hold: {error}") from error
        return options


class Protocol(_Part):
    """The whole document."""

    protocol_schema: int = Field(PROTOCOL_SCHEMA, alias="schema")
    name: str = Field(pattern=r"^[a-z][a-z0-9_.+-]*$")
    """A word for people; not part of the hash."""
    description: str = ""
    """A sentence for people; not part of the hash."""
    pretrain_dataset: str = "shapes_motion"
    """Dataset to pretrain on unless another is named."""
    target_datasets: tuple[str, ...] = ("shapes_motion",)
    """Datasets to evaluate on unless others are named."""
    backbone: str = "shufflenet"
    """Backbone unless another is named."""
    clip: Clip = Clip()
    data: Data = Data()
    pretrain: Pretrain = Pretrain()
    evaluation: Evaluation = Evaluation()

    @property
    def hash(self) -> str:
        """16 hexadecimal digits over every field that changes numbers."""
        return document_hash(self.model_dump(mode="json", by_alias=True))


def document_hash(document: Mapping[str, Any]) -> str:
    """The hash of a protocol as it was stored, whatever fields this version would add."""
    hashed = {name: value for name, value in document.items() if name not in _UNHASHED}
    evaluation = {name: value for name, value in document["evaluation"].items() if name != "evaluators"}
    return hashlib.sha256(canonical_json({**hashed, "evaluation": evaluation}).encode()).hexdigest()[:16]


_PRESET = DocumentKind(
    folder=("presets",),
    packaged="preset",
    file="protocol file",
    unknown="no protocol preset or file {name!r}.",
    fields="protocol fields",
    schema=PROTOCOL_SCHEMA,
    error=ProtocolError,
)


def preset_names() -> list[str]:
    """The presets that ship with vssl."""
    return _PRESET.names()


def load_protocol(name_or_file: str, changes: Mapping[str, Any] | None = None) -> Protocol:
    """Read a preset or a file, then apply changes of the form {"pretrain.budget.amount": 5}.

    Raises:
        UnknownNameError: Neither a preset nor a file.
        ProtocolError: The document or a change is not valid; the message names the field.
    """
    document, where = _PRESET.load(name_or_file)
    for field, value in (changes or {}).items():
        _change(document, field, value)
    if changes:
        document["name"] = f"{document.get('name', 'unnamed')}+changed"
    try:
        return Protocol.model_validate(document)
    except ValidationError as error:
        fields = explain_fields(Protocol, error, without_input=("extra_forbidden", "missing"))
        raise ProtocolError(f"{where} is not a valid protocol:\n{fields}") from error


def _change(document: dict[str, Any], field: str, value: Any) -> None:
    *parents, last = field.split(".")
    node = document
    for parent in parents:
        node = node.setdefault(parent, {})
        if not isinstance(node, dict):
            raise ProtocolError(f"protocol.{field}: {parent!r} is a value, it has no fields.")
    node[last] = value
