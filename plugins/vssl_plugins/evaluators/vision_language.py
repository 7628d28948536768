"""Networks that score clips against sentences, loaded from checkpoints of the `transformers` library.

Two kinds are known by the `model_type` of their configuration:

- `clip` and `siglip` (Radford and others, arXiv 2103.00020; Zhai and others, arXiv 2303.15343) see single
  images. Every frame is encoded alone; a clip's embedding is the mean of its frames' unit embeddings, of unit
  length again, or its scores are the mean of its frames' softmax scores.
- `xclip` (Ni and others, arXiv 2208.02816) sees the frames of a clip together, and bends the embedding of a
  sentence by what the clip shows.

A class that is said in several sentences has the mean of their unit embeddings, of unit length again. X-CLIP
bends every sentence before the mean is taken.

Weights are read from safetensors, or by torch's `weights_only` reader; no code of a checkpoint is run.

    model = load_vision_language("clip-vit-base-patch32")       # a folder
    texts = model.encode([["a video of a dog."], ["a video of a cat."]])
    logits_BK = model.logits(video_BCTHW, texts)                # uint8, of model.image_size pixels

Axes: B clip, C channel, T frame, H height, W width, K class, P sentence of a class, D embedding.
"""

from __future__ import annotations

import pickle
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize

from vssl_core.errors import ContractError, OptionError, UsageError, WeightsError

__all__ = ["ImageText", "Pooling", "VideoText", "VisionLanguage", "load_vision_language"]

Pooling = Literal["embeddings", "scores"]

_KINDS = ("clip", "siglip", "xclip")
_TEXTS_AT_ONCE = 256
_HOW_TO_GET_ONE = (
    "A folder is what `save_pretrained` writes, or what `hf download NAME --local-dir FOLDER` brings: "
    "config.json, model.safetensors, preprocessor_config.json and the files of the tokenizer"
)


class VisionLanguage(ABC):
    """A network that gives every clip a logit for every class; in eval mode, in float32.

    Args:
        network: Of transformers.
        tokenizer: Its tokenizer.
        mean: Channel means of its pixels in [0, 1].
        std: Channel standard deviations.
    """

    num_frames: int | None = None
    """Frames that a clip must have; None: any number."""

    def __init__(self, network: Any, tokenizer: Any, *, mean: Sequence[float], std: Sequence[float]) -> None:
        self.network = network.eval()
        self._tokenizer = tokenizer
        self.image_size: int = network.config.vision_config.image_size
        device = network.device
        self._mean = torch.tensor(mean, device=device).view(3, 1, 1, 1)
        self._std = torch.tensor(std, device=device).view(3, 1, 1, 1)

    @property
    def kind(self) -> str:
        """The `model_type` of its configuration."""
        return str(self.network.config.model_type)

    @torch.no_grad()
    def encode(self, prompts: Sequence[Sequence[str]]) -> Tensor:
        """Embeddings (K, P, D) of the sentences of every class, as many for each.

        Raises:
            UsageError: A sentence is longer than the text encoder reads.
        """
        texts = [text for of_class in prompts for text in of_class]
        embeddings = [
            self._encode(texts[start : start + _TEXTS_AT_ONCE])
            for start in range(0, len(texts), _TEXTS_AT_ONCE)
        ]
        return torch.cat(embeddings).unflatten(0, (len(prompts), -1))

    def _encode(self, texts: Sequence[str]) -> Tensor:
        longest = self.network.config.text_config.max_position_embeddings
        count = max(len(ids) for ids in self._tokenizer(list(texts))["input_ids"])
        if count > longest:
            raise UsageError(
                f"a prompt has {count} tokens, and the text encoder reads {longest}; the longest text is "
                f"{max(texts, key=len)!r}. Shorten the templates, or give shorter words in class_names."
            )
        # SigLIP was trained on sentences that are filled up.
        fill = (
            {"padding": "max_length", "max_length": longest} if self.kind == "siglip" else {"padding": True}
        )
        tokens = self._tokenizer(list(texts), return_tensors="pt", **fill)
        given = {name: tokens[name].to(self.network.device) for name in self._token_names if name in tokens}
        embeddings: Tensor = self.network.get_text_features(**given).pooler_output
        return embeddings

    @property
    def _token_names(self) -> tuple[str, ...]:
        return ("input_ids",) if self.kind == "siglip" else ("input_ids", "attention_mask")

    @torch.no_grad()
    def logits(self, video_BCTHW: Tensor, texts_KPD: Tensor) -> Tensor:
        """Logits (B, K) of clips, uint8 of `image_size` pixels, against what `encode` gave.

        Raises:
            ContractError: The clips have another type or shape.
        """
        size = self.image_size
        frames = video_BCTHW.shape[2] if video_BCTHW.ndim == 5 else 0
        fits = video_BCTHW.ndim == 5 and video_BCTHW.shape[3:] == (size, size)
        if not fits or video_BCTHW.dtype != torch.uint8 or frames != (self.num_frames or frames):
            raise ContractError(
                f"{self.kind} scores uint8 clips (B, 3, {self.num_frames or 'T'}, {size}, {size}); got "
                f"{video_BCTHW.dtype} {tuple(video_BCTHW.shape)}."
            )
        pixels_BCTHW = (video_BCTHW.to(self.network.device).float() / 255 - self._mean) / self._std
        return self._logits(pixels_BCTHW.transpose(1, 2).contiguous(), texts_KPD)

    @abstractmethod
    def _logits(self, pixels_BTCHW: Tensor, texts_KPD: Tensor) -> Tensor:
        """Logits (B, K) of normalised pixels."""


class ImageText(VisionLanguage):
    """A network of images and sentences, frame by frame; see `VisionLanguage`.

    Args:
        pooling: What is averaged over frames: unit `embeddings`, or softmax `scores`, whose logarithm is
            then the logit.
    """

    def __init__(
        self,
        network: Any,
        tokenizer: Any,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        pooling: Pooling = "embeddings",
    ) -> None:
        super().__init__(network, tokenizer, mean=mean, std=std)
        self._pooling = pooling

    def _logits(self, pixels_BTCHW: Tensor, texts_KPD: Tensor) -> Tensor:
        encoded = self.network.get_image_features(pixel_values=pixels_BTCHW.flatten(0, 1)).pooler_output
        frames_BTD = normalize(encoded, dim=-1).unflatten(0, pixels_BTCHW.shape[:2])
        texts_KD = _ensemble(texts_KPD)
        scale, bias = self.network.logit_scale.exp(), getattr(self.network, "logit_bias", 0.0)
        if self._pooling == "scores":
            logits_BTK = frames_BTD @ texts_KD.T * scale + bias
            return logits_BTK.softmax(dim=-1).mean(dim=1).log()
        logits: Tensor = normalize(frames_BTD.mean(dim=1), dim=-1) @ texts_KD.T * scale + bias
        return logits


class VideoText(VisionLanguage):
    """X-CLIP, which takes a fixed number of frames at once; see `VisionLanguage`."""

    def __init__(self, network: Any, tokenizer: Any, *, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__(network, tokenizer, mean=mean, std=std)
        self.num_frames = network.config.vision_config.num_frames

    def _logits(self, pixels_BTCHW: Tensor, texts_KPD: Tensor) -> Tensor:
        """What `XCLIPModel.forward` computes, with sentences that were encoded once for all clips."""
        net = self.network
        batch, num_frames = pixels_BTCHW.shape[:2]
        seen = net.get_video_features(pixel_values=pixels_BTCHW)
        video_BD = normalize(seen.pooler_output, dim=-1)
        patches = net.prompts_visual_layernorm(seen.last_hidden_state[:, 1:]) @ net.prompts_visual_projection
        shown_BND = patches.unflatten(0, (batch, num_frames)).mean(dim=1)
        texts = texts_KPD.flatten(0, 1).expand(batch, -1, -1)
        bent = normalize(texts + net.prompts_generator(texts, shown_BND), dim=-1)
        texts_BKD = _ensemble(bent.unflatten(1, texts_KPD.shape[:2]))
        return torch.einsum("bd,bkd->bk", video_BD, texts_BKD) * net.logit_scale.exp()


def _ensemble(texts_KPD: Tensor) -> Tensor:
    """The mean over the sentences of a class (axis -2) of unit embeddings, of unit length again."""
    return normalize(normalize(texts_KPD, dim=-1).mean(dim=-2), dim=-1)


# --------------------------------------------------------------------------------------------- loading


def load_vision_language(
    source: str | Path,
    *,
    pooling: Pooling = "embeddings",
    device: torch.device | str = "cpu",
    download: bool = False,
    revision: str = "",
) -> VisionLanguage:
    """The network of a checkpoint.

    Args:
        source: Its folder; with `download` also a name on the hub.
        pooling: Of frames, for a network of images.
        device: Where to.
        download: Whether the hub may be asked. Else nothing leaves this machine.
        revision: Commit on the hub.

    Raises:
        OptionError: transformers is not installed.
        WeightsError: There is no such checkpoint, it is not whole, or is of a kind that is not known here.
    """
    transformers = _transformers()
    transformers.utils.logging.disable_progress_bar()
    place = {"local_files_only": not download, **({"revision": revision} if revision else {})}
    name = str(source)
    with _explained(name):
        config = transformers.AutoConfig.from_pretrained(name, **place)
    if config.model_type not in _KINDS:
        raise WeightsError(
            f"{name!r} is a checkpoint of {config.model_type!r}; expected one of {', '.join(_KINDS)}."
        )
    with _explained(name):
        tokenizer = transformers.AutoTokenizer.from_pretrained(name, **place)
        pixels = transformers.AutoImageProcessor.from_pretrained(name, **place)
        network, found = transformers.AutoModel.from_pretrained(
            name, dtype=torch.float32, output_loading_info=True, **place
        )
    if missing := sorted(found["missing_keys"]):
        raise WeightsError(
            f"the weights of {name!r} lack {len(missing)} tensors of its network, such as {missing[0]!r}, "
            f"and random ones would stand there. {_HOW_TO_GET_ONE}."
        )
    common = {"mean": pixels.image_mean, "std": pixels.image_std}
    if config.model_type == "xclip":
        return VideoText(network.to(device), tokenizer, **common)
    return ImageText(network.to(device), tokenizer, pooling=pooling, **common)


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Errors of the library, which may be any, as one that says what to do."""
    try:
        yield
    except pickle.UnpicklingError as error:
        raise WeightsError(
            f"the weights of {name!r} are no file of tensors alone, and anything else could run code when it "
            "is opened. Get the checkpoint as safetensors."
        ) from error
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise WeightsError(f"cannot load a checkpoint from {name!r}: {reason}. {_HOW_TO_GET_ONE}.") from error


def _transformers() -> ModuleType:
    try:
        import transformers
    except ImportError as error:
        raise OptionError(
            f"zero_shot loads networks by transformers, which cannot be imported ({error}): "
            "pip install 'vssl[zero-shot]'."
        ) from error
    return transformers
