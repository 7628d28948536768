"""Checkpoints of random weights, small enough for a test, as `save_pretrained` writes published ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    PreTrainedTokenizerFast,
    SiglipConfig,
    SiglipModel,
    VideoMAEImageProcessor,
    XCLIPConfig,
    XCLIPModel,
)

SIDE = 16
LONGEST = 24
WORDS = [
    "<s>", "</s>", "<unk>", "a", "an", "the", "of", ".", "photo", "video", "person", "doing", "using",
    "colour", "0", "1", "2", "3", "4", "5", "slide", "left", "right", "dog", "cat",
]  # fmt: skip

_SMALL = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
_TEXT = {
    **_SMALL, "vocab_size": len(WORDS), "max_position_embeddings": LONGEST,
    "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1,
}  # fmt: skip
_VISION = {**_SMALL, "image_size": SIDE, "patch_size": 8}
_SEVERAL_FRAMES = {
    "num_frames": 4, "mit_hidden_size": 8, "mit_intermediate_size": 16, "mit_num_hidden_layers": 1,
    "mit_num_attention_heads": 2,
}  # fmt: skip


def save(kind: str, folder: Path, *, seed: int = 0) -> Path:
    """A checkpoint of `clip`, `siglip` or `xclip` in this folder; gives the folder."""
    torch.manual_seed(seed)
    network: Any = {"clip": _clip, "siglip": _siglip, "xclip": _xclip}[kind]()
    _spread(network)
    network.save_pretrained(folder)
    _tokenizer().save_pretrained(folder)
    size = {"size": {"shortest_edge": SIDE}, "crop_size": {"height": SIDE, "width": SIDE}}
    if kind == "xclip":
        VideoMAEImageProcessor(**size, image_mean=(0.4, 0.5, 0.6), image_std=(0.2, 0.3, 0.4)).save_pretrained(
            folder
        )
    else:
        CLIPImageProcessor(**size).save_pretrained(folder)
    return folder


def _spread(network: Any) -> None:
    """Weights larger than initial ones, and a scale like that of trained ones, so that scores differ."""
    with torch.no_grad():
        for weight in network.parameters():
            if weight.ndim > 1:
                weight.normal_(std=0.3)
        network.logit_scale.fill_(3.0)


def _clip() -> CLIPModel:
    return CLIPModel(CLIPConfig(text_config=_TEXT, vision_config=_VISION, projection_dim=8))


def _siglip() -> SiglipModel:
    return SiglipModel(SiglipConfig(text_config=_TEXT, vision_config=_VISION))


def _xclip() -> XCLIPModel:
    config = XCLIPConfig(
        text_config=_TEXT,
        vision_config={**_VISION, **_SEVERAL_FRAMES},
        projection_dim=8,
        prompt_layers=1,
        prompt_num_attention_heads=2,
    )
    return XCLIPModel(config)


def _tokenizer() -> PreTrainedTokenizerFast:
    """Whole words of a short list; every other word is unknown."""
    words = Tokenizer(models.WordLevel({word: n for n, word in enumerate(WORDS)}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=words, bos_token="<s>", eos_token="</s>", pad_token="</s>", unk_token="<unk>",
        model_max_length=LONGEST,
    )  # fmt: skip
