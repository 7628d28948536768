"""A protocol: everything that must be equal for two results to stand in one table.

A frozen document whose hash is its name. Presets are YAML files beside this module; a user writes the
same file and names it with `--protocol FILE`. Single fields are changed with `-o protocol.FIELD=VALUE`,
which gives another protocol with another hash.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from vssl_core.errors import ProtocolError, UnknownNameError, did_you_mean
from vssl_core.files import canonical_json
from vssl_core.types import ClipSpec

__all__ = ["PROTOCOL_SCHEMA", "Protocol", "load_protocol", "preset_names"]

PROTOCOL_SCHEMA = 1


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


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
    """Share of the training videos carved out by group where a dataset has no validation part."""
    held_out_videos: int = Field(64, ge=2)
    """Validation videos for the held-out pretext accuracy, at most."""
    mean: tuple[float, float, float] = (0.43216, 0.394666, 0.37645)
    """Channel means of normalisation, on [0, 1]."""
    std: tuple[float, float, float] = (0.22803, 0.22145, 0.216989)
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
    crop_scale: float = Field(8 / 7, ge=1, allow_inf_nan=False)
    """Crops have the side short_side / crop_scale: 8/7 is "resize to 128, crop 112"."""
    options: Mapping[str, Mapping[str, Any]] = {}
    """Evaluator name → options that replace its defaults."""


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
        # Which components run by default is a convenience: rows name their components themselves.
        unhashed = {"name", "description", "pretrain_dataset", "target_datasets", "backbone"}
        document = self.model_dump(mode="json", by_alias=True, exclude=unhashed)
        document["evaluation"].pop("evaluators")
        return hashlib.sha256(canonical_json(document).encode()).hexdigest()[:16]


def preset_names() -> list[str]:
    """The presets that ship with vssl."""
    folder = resources.files("vssl_core") / "presets"
    return sorted(
        entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml")
    )


def load_protocol(name_or_file: str, changes: Mapping[str, Any] | None = None) -> Protocol:
    """Read a preset or a file, then apply changes of the form {"pretrain.budget.amount": 5}.

    Raises:
        UnknownNameError: Neither a preset nor a file.
        ProtocolError: The document or a change is not valid; the message names the field.
    """
    text, where = _read(name_or_file)
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ProtocolError(f"{where} is not valid YAML: {error}") from error
    if not isinstance(document, dict):
        raise ProtocolError(f"{where} must be a mapping of protocol fields; got {type(document).__name__}.")
    found = document.get("schema", PROTOCOL_SCHEMA)
    if not isinstance(found, int) or found > PROTOCOL_SCHEMA:
        raise ProtocolError(f"{where} has schema {found!r}; this vssl understands up to {PROTOCOL_SCHEMA}.")
    for field, value in (changes or {}).items():
        _change(document, field, value)
    if changes:
        document["name"] = f"{document.get('name', 'unnamed')}+changed"
    try:
        return Protocol.model_validate(document)
    except ValidationError as error:
        raise ProtocolError(_explain(where, error)) from error


def _read(name_or_file: str) -> tuple[str, str]:
    if name_or_file in preset_names():
        entry = resources.files("vssl_core") / "presets" / f"{name_or_file}.yaml"
        return entry.read_text(encoding="utf-8"), f"preset {name_or_file!r}"
    path = Path(name_or_file)
    try:
        return path.read_text(encoding="utf-8"), f"protocol file {name_or_file!r}"
    except (OSError, UnicodeDecodeError) as error:
        if path.exists():
            raise ProtocolError(f"cannot read protocol file {name_or_file!r}: {error}") from error
        raise UnknownNameError(
            f"no protocol preset or file {name_or_file!r}.{did_you_mean(name_or_file, preset_names())}"
        ) from error


def _change(document: dict[str, Any], field: str, value: Any) -> None:
    *parents, last = field.split(".")
    node = document
    for parent in parents:
        node = node.setdefault(parent, {})
        if not isinstance(node, dict):
            raise ProtocolError(f"protocol.{field}: {parent!r} is a value, it has no fields.")
    node[last] = value


def _explain(where: str, error: ValidationError) -> str:
    lines = []
    for item in error.errors():
        location = [str(part) for part in item["loc"]]
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            message = f"no such field.{did_you_mean(location[-1], _fields(location[:-1]))}"
        got = "" if item["type"] in ("extra_forbidden", "missing") else f" (got {item['input']!r})"
        lines.append(f"  {'.'.join(location) or 'document'}: {message}{got}")
    return f"{where} is not a valid protocol:\n" + "\n".join(lines)


def _fields(location: list[str]) -> list[str]:
    model: Any = Protocol
    for part in location:
        field = model.model_fields.get(part) if hasattr(model, "model_fields") else None
        model = field.annotation if field else None
    return [f.alias or n for n, f in model.model_fields.items()] if hasattr(model, "model_fields") else []
