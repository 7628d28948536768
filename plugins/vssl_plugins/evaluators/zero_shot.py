"""Zero-shot classification by text prompts: a foundation model names the videos, and nothing is trained.

The benchmark paper compares video foundation models so (arXiv 2306.06010, supplementary, section 4.6, whose
Table 11 is missing). The model is the one of the option `model`, a checkpoint of CLIP, SigLIP or X-CLIP
that transformers loads (`pip install 'vssl[zero-shot]'`). The cell's backbone is not looked at, so every cell
of a target has the same scores, and the random initialisation of any backbone is cell enough. The model's
name stands in the column's head. What its folder holds is part of the evaluation's key, where it lies is not.
Nothing is downloaded unless `download` says so; then the commit of the hub stands in the key.

Clips are the protocol's evenly spaced test clips, with the same span of time and the same region of the
picture, but of the model's own size and normalisation, and of its own number of frames where it has one.
What the protocol decodes smaller (`data.short_side`) is enlarged. A video's score is the mean of its clips'
softmax scores. `zero_shot.json` holds every sentence and the geometry of the clips. Evaluators that build on
a classifier (corrupted videos, shuffled frames) may build on this one.

Networks of images (CLIP, SigLIP) encode every frame; a clip's embedding is the mean of its frames' unit
embeddings. X-CLIP sees the frames of a clip together. A class is said in one sentence or several, whose unit
embeddings are averaged: `auto` takes CLIP's published templates for UCF101 (48) and Kinetics (28), and one
sentence elsewhere. Class names are put into words by their spelling: `ApplyEyeMakeup` is "apply eye makeup",
`brush_hair` "brush hair", `Back 15som 05Twis FREE` "back dive with one and a half somersaults and half a
twist in free position"; `class_names` replaces those of single classes. From Python, without a bench:

    model = load_vision_language("xclip-base-patch32")        # from vssl_plugins.evaluators.vision_language
    texts = model.encode([["a video of a dog."], ["a video of a cat."]])
    logits = model.logits(video_BCTHW, texts)                 # uint8, (B, 3, 8, 224, 224) for this model

Axes: V video, N clip, K class, P sentence of a class, D embedding.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field, field_validator, model_validator
from torch import Tensor

from vssl_core.classifier import Classifier, ClassifierEvaluator
from vssl_core.errors import DivergedError, OptionError, UsageError
from vssl_core.files import write_json
from vssl_core.interfaces import Backbone, EvaluationContext, EvaluationData, EvaluationPart
from vssl_core.metrics import average_clips
from vssl_core.options import Options
from vssl_core.types import ClipSpec
from vssl_plugins.evaluators.text_prompts import SetName, make_prompts, prompt_set
from vssl_plugins.evaluators.vision_language import Pooling, VisionLanguage, load_vision_language

__all__ = ["ZeroShot", "ZeroShotOptions"]

_GET_ONE = "get one with `hf download NAME --local-dir FOLDER`, or let the run: download=true with a revision"


class ZeroShotOptions(Options):
    """Options of zero-shot classification."""

    contents = frozenset({"model", "class_names"})

    model: str = ""
    """The checkpoint: a folder, as `save_pretrained` of transformers writes it; must be given."""
    download: bool = False
    """`model` may be a name on the Hugging Face hub, to be fetched at `revision` where its cache lacks it."""
    revision: str = Field("", pattern=r"^([0-9a-f]{40})?$")
    """Commit on the hub, which the key then holds; needed with `download`."""
    prompts: Literal["auto"] | SetName = "auto"
    """Words and templates of a dataset; `auto`: those of the target, `plain` where it has none of its own."""
    templates: tuple[str, ...] = ()
    """Sentences with {} for the words of a class, instead of those of `prompts`; several are an ensemble."""
    class_names: str = ""
    """JSON file, class name → words, for classes that are to be said in other words."""
    pooling: Pooling = "embeddings"
    """What networks of images average over the frames of a clip: unit embeddings, or softmax scores."""
    num_frames: int | None = Field(None, ge=1)
    """Frames of a clip for networks of images; null: the protocol's. X-CLIP has its own number."""
    batch_size: int = Field(8, ge=1)
    """Clips that are scored at once."""

    @field_validator("templates")
    @classmethod
    def _have_a_place(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if any("{}" not in template for template in value):
            raise ValueError("templates must have {} where the words of a class go")
        return value

    @model_validator(mode="after")
    def _can_be_found(self) -> ZeroShotOptions:
        for option in ("model", "class_names"):
            named = getattr(self, option)
            there = Path(named).expanduser()
            if not named or (there.is_dir() if option == "model" else there.is_file()):
                continue
            if option == "class_names":
                raise ValueError(f"class_names: there is no file {named!r}")
            if not self.download:
                raise ValueError(f"model: there is no folder {named!r}; {_GET_ONE}")
            if not self.revision:
                raise ValueError(
                    f"model: {named!r} on the hub needs a revision, the commit whose files the result is of"
                )
        return self


class _Prompted(Classifier):
    """A vision-language model with the sentences of a target's classes; it was fitted on no video.

    Args:
        model: The network.
        texts_KPD: What it made of the sentences.
        clip: Geometry of the clips that it is shown.
        batch_size: Clips that are scored at once.
    """

    def __init__(self, model: VisionLanguage, texts_KPD: Tensor, *, clip: ClipSpec, batch_size: int) -> None:
        self.labels = np.arange(len(texts_KPD))  # every class has a sentence
        self._model, self._texts_KPD, self._clip, self._batch_size = model, texts_KPD, clip, batch_size

    def logits(self, video_NCTHW: Tensor) -> Tensor:
        """It takes plain pixels of its own geometry. Raises UsageError."""
        raise UsageError(
            "zero_shot scores plain pixels in the geometry of its own model, and gives no logits of the "
            "run's clips: name a classifier that is fitted on them, such as linear."
        )

    def scores(self, part: EvaluationPart, context: EvaluationContext, *, num_clips: int) -> np.ndarray:
        """Mean softmax score (V, K) float64 of every video's clips.

        Raises:
            DivergedError: A score is no finite number.
        """
        scores: list[np.ndarray] = []
        rows: list[np.ndarray] = []
        with context.progress.track("zero-shot scores", len(part.records), "videos") as bar:
            for video_NCTHW, rows_N in part.frames(
                self._clip, batch_size=self._batch_size, num_clips=num_clips
            ):
                logits_NK = self._model.logits(video_NCTHW, self._texts_KPD)
                scores.append(logits_NK.double().softmax(dim=1).cpu().numpy())
                rows.append(rows_N)
                bar.advance(len(rows_N) / num_clips)
        scores_NK = np.concatenate(scores)
        if not np.isfinite(scores_NK).all():
            raise DivergedError(
                "the model gives scores that are not finite; its weights are damaged, or not those of its "
                "configuration."
            )
        return average_clips(scores_NK, np.concatenate(rows), num_videos=len(part.records))


class ZeroShot(ClassifierEvaluator):
    """Scores of a vision-language model's own; the cell's backbone is not looked at.

    Only test videos are opened. The paper's table of such models is missing from its supplement (section 4.6
    refers to it as Table 11), so that its models and prompts are not known.
    """

    api_version = 1
    Options = ZeroShotOptions
    of_the_backbone = False
    paper = "https://arxiv.org/abs/2306.06010"

    def __init__(self, options: ZeroShotOptions) -> None:
        if not options.model:
            raise OptionError(
                "zero_shot needs a checkpoint of CLIP, SigLIP or X-CLIP: -o eval/zero_shot.model=FOLDER; "
                f"{_GET_ONE}."
            )
        super().__init__(options)

    def fit(self, backbone: Backbone, data: EvaluationData, context: EvaluationContext) -> Classifier:
        """Load the model and encode the prompts; no video is looked at. Writes `zero_shot.json` with them.

        Raises:
            OptionError: transformers is not installed, or an option does not fit the model.
            UsageError: A prompt is too long for the model.
            WeightsError: The checkpoint cannot be loaded.
        """
        del backbone
        model, options = self._load(context), self.options
        name = prompt_set(options.prompts, data.name)
        prompts = make_prompts(
            data.classes, name=name, templates=options.templates, names_file=options.class_names
        )
        clip = self._clip(model, context.clip)
        write_json(
            context.folder / "zero_shot.json",
            {
                "model": options.model,
                "kind": model.kind,
                "backbone": "not looked at",
                "prompt_set": name,
                "prompts": dict(zip(data.classes, prompts, strict=True)),
                "clip": [clip.num_frames, clip.frame_stride, clip.crop_size],
            },
        )
        context.progress.say(
            f"zero_shot: {Path(options.model).name} ({model.kind}) scores the videos; the cell's backbone "
            "is not looked at."
        )
        return _Prompted(model, model.encode(prompts), clip=clip, batch_size=options.batch_size)

    def fitted(self, backbone: Backbone, data: EvaluationData, context: EvaluationContext) -> Classifier:
        """`fit`, in every evaluation that asks: it is quick, and leaves its file where its scores are."""
        return self.fit(backbone, data, context)

    def _load(self, context: EvaluationContext) -> VisionLanguage:
        options = self.options
        model = load_vision_language(
            options.model if options.download else Path(options.model).expanduser(),
            pooling=options.pooling,
            device=context.device,
            download=options.download,
            revision=options.revision,
        )
        if options.num_frames is not None and model.num_frames not in (None, options.num_frames):
            raise OptionError(
                f"eval/zero_shot.num_frames: {model.kind} takes {model.num_frames} frames; got "
                f"{options.num_frames}. Leave the option out."
            )
        return model

    def _clip(self, model: VisionLanguage, clip: ClipSpec) -> ClipSpec:
        """The protocol's span of time in the model's number of frames, at the model's size."""
        num_frames = model.num_frames or self.options.num_frames or clip.num_frames
        stride = max(1, round(clip.num_frames * clip.frame_stride / num_frames))
        return ClipSpec(num_frames, stride, model.image_size)
