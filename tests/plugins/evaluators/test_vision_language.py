"""Logits are those that transformers computes from the same pixels and sentences, for every network."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

pytest.importorskip("transformers")

from small_checkpoints import LONGEST, SIDE, save
from transformers import AutoModel, AutoTokenizer, BertConfig, BertModel

from vssl_core.errors import ContractError, UsageError, WeightsError
from vssl_plugins.evaluators.vision_language import load_vision_language

ONE = [["a video of a dog."], ["a photo of the cat."], ["slide left"]]
TWO = [["a video of a dog.", "dog"], ["a photo of the cat.", "cat"], ["slide left", "left"]]
KINDS = ("clip", "siglip", "xclip")


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    home = tmp_path_factory.mktemp("checkpoints")
    return {kind: save(kind, home / kind) for kind in KINDS}


@pytest.fixture(name="video_BCTHW")
def some_clips() -> Tensor:
    draw = torch.Generator().manual_seed(3)
    return torch.randint(0, 256, (3, 3, 4, SIDE, SIDE), generator=draw, dtype=torch.uint8)


def normalised(video_BCTHW: Tensor, folder: Path) -> Tensor:
    """(B, T, C, H, W) float, by the image processor of the checkpoint itself."""
    from transformers import AutoImageProcessor

    processor = AutoImageProcessor.from_pretrained(folder)
    frames = video_BCTHW.transpose(1, 2).flatten(0, 1)
    pixels = processor(list(frames), do_resize=False, do_center_crop=False, return_tensors="pt")[
        "pixel_values"
    ]
    return pixels.reshape(len(video_BCTHW), -1, *pixels.shape[-3:])


def theirs(folder: Path, texts: list[str], pixels: Tensor) -> Any:
    """What the model of transformers gives by its own `forward`."""
    network = AutoModel.from_pretrained(folder).eval()
    filled = (
        {"padding": "max_length", "max_length": LONGEST} if "siglip" in str(folder) else {"padding": True}
    )
    tokens = AutoTokenizer.from_pretrained(folder)(texts, return_tensors="pt", **filled)
    keys = ("input_ids",) if "siglip" in str(folder) else ("input_ids", "attention_mask")
    with torch.no_grad():
        return network(pixel_values=pixels, **{key: tokens[key] for key in keys})


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_a_clip_of_one_frame_has_the_logits_of_the_image(
    kind: str, folders: dict[str, Path], video_BCTHW: Tensor
) -> None:
    model = load_vision_language(folders[kind])
    images = video_BCTHW[:, :, :1]
    ours = model.logits(images, model.encode(ONE))
    expected = theirs(folders[kind], [one[0] for one in ONE], normalised(images, folders[kind])[:, 0])
    assert torch.allclose(ours, expected.logits_per_image, atol=1e-4)
    assert ours.std() > 0.5  # else agreement would say little


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_frames_are_pooled_by_unit_embeddings(
    kind: str, folders: dict[str, Path], video_BCTHW: Tensor
) -> None:
    model = load_vision_language(folders[kind])
    ours = model.logits(video_BCTHW, model.encode(ONE))
    frames = normalised(video_BCTHW, folders[kind]).flatten(0, 1)
    out = theirs(folders[kind], [one[0] for one in ONE], frames)
    mean_BD = out.image_embeds.unflatten(0, (3, 4)).mean(dim=1)
    mean_BD = mean_BD / mean_BD.norm(dim=-1, keepdim=True)
    bias = model.network.logit_bias if kind == "siglip" else 0.0
    expected = mean_BD @ out.text_embeds.T * model.network.logit_scale.exp() + bias
    assert torch.allclose(ours, expected, atol=1e-4)


def test_frames_may_be_pooled_by_their_softmax_scores(folders: dict[str, Path], video_BCTHW: Tensor) -> None:
    model = load_vision_language(folders["clip"], pooling="scores")
    ours = model.logits(video_BCTHW, model.encode(ONE)).softmax(dim=1)
    frames = normalised(video_BCTHW, folders["clip"]).flatten(0, 1)
    each = theirs(folders["clip"], [one[0] for one in ONE], frames).logits_per_image.softmax(dim=1)
    assert torch.allclose(ours, each.unflatten(0, (3, 4)).mean(dim=1), atol=1e-5)
    other = load_vision_language(folders["clip"])
    assert not torch.allclose(ours, other.logits(video_BCTHW, other.encode(ONE)).softmax(dim=1), atol=1e-3)


def test_x_clip_gives_its_own_logits(folders: dict[str, Path], video_BCTHW: Tensor) -> None:
    model = load_vision_language(folders["xclip"])
    assert (model.num_frames, model.image_size) == (4, SIDE)
    ours = model.logits(video_BCTHW, model.encode(ONE))
    out = theirs(folders["xclip"], [one[0] for one in ONE], normalised(video_BCTHW, folders["xclip"]))
    assert torch.allclose(ours, out.logits_per_video, atol=1e-4)
    assert ours.std() > 0.5


def test_x_clip_bends_every_sentence_before_the_mean(folders: dict[str, Path], video_BCTHW: Tensor) -> None:
    model = load_vision_language(folders["xclip"])
    ours = model.logits(video_BCTHW, model.encode(TWO))
    texts = [text for one in TWO for text in one]
    out = theirs(folders["xclip"], texts, normalised(video_BCTHW, folders["xclip"]))
    mean_BKD = out.text_embeds.unflatten(1, (3, 2)).mean(dim=2)
    mean_BKD = mean_BKD / mean_BKD.norm(dim=-1, keepdim=True)
    scale = model.network.logit_scale.exp()
    assert torch.allclose(ours, torch.einsum("bd,bkd->bk", out.video_embeds, mean_BKD) * scale, atol=1e-4)


def test_an_ensemble_is_the_mean_of_unit_embeddings(folders: dict[str, Path], video_BCTHW: Tensor) -> None:
    model = load_vision_language(folders["clip"])
    images = video_BCTHW[:, :, :1]
    out = theirs(folders["clip"], [t for one in TWO for t in one], normalised(images, folders["clip"])[:, 0])
    mean_KD = out.text_embeds.unflatten(0, (3, 2)).mean(dim=1)
    mean_KD = mean_KD / mean_KD.norm(dim=-1, keepdim=True)
    expected = out.image_embeds @ mean_KD.T * model.network.logit_scale.exp()
    assert torch.allclose(model.logits(images, model.encode(TWO)), expected, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_clip_and_a_sentence_do_not_depend_on_their_neighbours(
    kind: str, folders: dict[str, Path], video_BCTHW: Tensor
) -> None:
    model = load_vision_language(folders[kind])
    together = model.logits(video_BCTHW, model.encode(ONE))
    alone = torch.cat([model.logits(clip[None], model.encode(ONE)) for clip in video_BCTHW])
    assert torch.allclose(together, alone, atol=1e-4)
    one_by_one = torch.cat([model.encode([one]) for one in ONE])
    assert torch.allclose(together, model.logits(video_BCTHW, one_by_one), atol=1e-4)


def test_clips_of_another_shape_or_type_are_refused(folders: dict[str, Path], video_BCTHW: Tensor) -> None:
    model = load_vision_language(folders["xclip"])
    texts = model.encode(ONE)
    for wrong in (video_BCTHW[:, :, :3], video_BCTHW.float(), video_BCTHW[..., :8], video_BCTHW[0]):
        with pytest.raises(ContractError, match=r"xclip scores uint8 clips \(B, 3, 4, 16, 16\); got"):
            model.logits(wrong, texts)


@pytest.mark.parametrize("kind", KINDS)
def test_a_sentence_that_is_too_long_is_refused_and_never_cut(kind: str, folders: dict[str, Path]) -> None:
    model = load_vision_language(folders[kind])
    with pytest.raises(UsageError, match=rf"has {LONGEST + 1} tokens, and the text encoder reads {LONGEST}"):
        model.encode([["dog"], [" ".join(["dog"] * (LONGEST - 1))]])


def test_weights_are_read_in_float32(folders: dict[str, Path], tmp_path: Path) -> None:
    AutoModel.from_pretrained(folders["clip"]).half().save_pretrained(tmp_path)
    for name in ("preprocessor_config.json", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((folders["clip"] / name).read_bytes())
    assert {p.dtype for p in load_vision_language(tmp_path).network.parameters()} == {torch.float32}


def test_weights_of_torch_are_read_as_tensors_alone(folders: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(folders["clip"], tmp_path, dirs_exist_ok=True)
    (tmp_path / "model.safetensors").unlink()
    whole = load_vision_language(folders["clip"])
    torch.save(whole.network.state_dict(), tmp_path / "pytorch_model.bin")
    assert torch.equal(load_vision_language(tmp_path).encode(ONE), whole.encode(ONE))
    torch.save({"weight": Path}, tmp_path / "pytorch_model.bin")  # a class, which a pickle would import
    with pytest.raises(WeightsError, match="no file of tensors alone"):
        load_vision_language(tmp_path)


@pytest.mark.parametrize(
    "lost", ["config.json", "model.safetensors", "preprocessor_config.json", "tokenizer.json"]
)
def test_a_folder_that_is_no_whole_checkpoint_is_refused(
    lost: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    shutil.copytree(folders["clip"], tmp_path, dirs_exist_ok=True)
    (tmp_path / lost).unlink()
    with pytest.raises(WeightsError, match=r"cannot load a checkpoint from .*`save_pretrained` writes"):
        load_vision_language(tmp_path)
    (tmp_path / lost).write_bytes(b"damaged")
    with pytest.raises(WeightsError, match=r"cannot load a checkpoint from .*`save_pretrained` writes"):
        load_vision_language(tmp_path)


def test_tensors_that_are_missing_are_not_made_up(folders: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(folders["clip"], tmp_path, dirs_exist_ok=True)
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["visual_projection.weight"]
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        WeightsError, match=r"lack 1 tensors of its network, such as 'visual_projection.weight'"
    ):
        load_vision_language(tmp_path)


def test_a_network_of_another_kind_is_refused(tmp_path: Path) -> None:
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    BertModel(BertConfig(vocab_size=8, **sizes)).save_pretrained(tmp_path)
    with pytest.raises(WeightsError, match="checkpoint of 'bert'; expected one of clip, siglip, xclip"):
        load_vision_language(tmp_path)


def test_nothing_is_asked_of_the_hub_without_download(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("something asked for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with pytest.raises(WeightsError, match="cannot load a checkpoint from 'nobody/nothing'"):
        load_vision_language("nobody/nothing")


@pytest.mark.parametrize("download", [False, True])
def test_the_hub_is_asked_for_the_commit_alone(download: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    import transformers

    asked: list[dict[str, Any]] = []

    def refuse(name: str, **given: Any) -> None:
        asked.append({"name": name, **given})
        raise OSError("not here")

    monkeypatch.setattr(transformers.AutoConfig, "from_pretrained", refuse)
    with pytest.raises(WeightsError, match="not here"):
        load_vision_language("some/network", download=download, revision="abc")
    assert asked == [{"name": "some/network", "revision": "abc", "local_files_only": not download}]
