"""Files of weights: which are opened, how keys are renamed, and what is said when they do not fit."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from vssl_core.errors import WeightsError
from vssl_core.weights import KeyMap, file_digest, load_into, load_weights


class Net(nn.Module):
    """A stem with a normalisation and a projection."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv3d(3, 4, 1), nn.BatchNorm3d(4))
        self.proj = nn.Linear(4, 2)


def published(net: Net) -> dict[str, Tensor]:
    """The state under a publisher's names, with a classifier."""
    names = {"stem.0.": "conv.", "stem.1.": "bn.", "proj.": "fc."}
    state = {}
    for key, value in net.state_dict().items():
        old = next(start for start in names if key.startswith(start))
        state[key.replace(old, names[old])] = value.clone()
    state["head.weight"] = torch.zeros(5, 2)
    return state


PUBLISHED = KeyMap(
    "a publisher",
    recognise=(r"conv\.", r"head\."),
    rename=((r"^conv\.", "stem.0."), (r"^bn\.", "stem.1."), (r"^fc\.", "proj.")),
    drop=(r"head\.",),
)


def same(one: nn.Module, other: nn.Module) -> bool:
    return all(map(torch.equal, one.state_dict().values(), other.state_dict().values()))


def test_own_names_load_without_any_map(tmp_path: Path) -> None:
    source, net = Net(), Net()
    save_file(source.state_dict(), tmp_path / "w.safetensors")
    loaded = load_into(net, tmp_path / "w.safetensors")
    assert same(net, source)
    assert loaded.tensors == len(source.state_dict())
    assert str(loaded) == "9 tensors by key map 'names of vssl'"


@pytest.mark.parametrize("part", ["model", "module", "backbone"])
def test_own_names_that_look_like_a_wrapper_load(tmp_path: Path, part: str) -> None:
    source, net = nn.Module(), nn.Module()
    source.add_module(part, Net())
    net.add_module(part, Net())
    save_file(source.state_dict(), tmp_path / "w.safetensors")
    assert load_into(net, tmp_path / "w.safetensors", [PUBLISHED]).key_map == "names of vssl"
    assert same(net, source)


@pytest.mark.parametrize("wrapper", [None, "state_dict", "model_state", "model"])
@pytest.mark.parametrize("prefix", ["", "module.", "backbone.", "module.backbone."])
def test_a_published_layout_loads_by_its_map_and_says_what_is_left_out(
    tmp_path: Path, wrapper: str | None, prefix: str
) -> None:
    source, net = Net(), Net()
    state = {prefix + key: value for key, value in published(source).items()}
    torch.save({wrapper: state, "epoch": 3} if wrapper else state, tmp_path / "w.pth")
    loaded = load_into(net, tmp_path / "w.pth", [PUBLISHED])
    assert same(net, source)
    assert loaded.key_map == "a publisher"
    assert loaded.dropped == ("head.weight",)
    assert str(loaded).endswith("left out of the file: head.weight")


def test_a_prefix_of_the_backbone_alone_is_taken_off_beside_a_head(tmp_path: Path) -> None:
    net, state = Net(), published(Net())
    head = state.pop("head.weight")
    torch.save({**{f"backbone.{key}": v for key, v in state.items()}, "head.weight": head}, tmp_path / "w.pt")
    assert load_into(net, tmp_path / "w.pt", [PUBLISHED]).key_map == "a publisher"


def test_old_files_without_batch_counters_load(tmp_path: Path) -> None:
    state = {key: value for key, value in Net().state_dict().items() if "num_batches" not in key}
    torch.save(state, tmp_path / "w.pt")
    assert load_into(Net(), tmp_path / "w.pt").tensors == 8


def test_parts_that_the_publisher_does_not_have_keep_their_initial_values(tmp_path: Path) -> None:
    state = {key: value for key, value in published(Net()).items() if not key.startswith("fc.")}
    torch.save(state, tmp_path / "w.pt")
    net = Net()
    before = net.proj.weight.clone()
    without = KeyMap("without proj", PUBLISHED.recognise, PUBLISHED.rename, PUBLISHED.drop, (r"proj\.",))
    loaded = load_into(net, tmp_path / "w.pt", [PUBLISHED, without])
    assert loaded.key_map == "without proj"
    assert loaded.initial == ("proj.weight", "proj.bias")
    assert torch.equal(net.proj.weight, before)


def test_convert_sees_renamed_tensors_and_the_network(tmp_path: Path) -> None:
    def inflate(tensors: dict[str, Tensor], module: nn.Module) -> dict[str, Tensor]:
        weight = tensors["stem.0.weight"]
        return {**tensors, "stem.0.weight": weight.reshape(module.stem[0].weight.shape)}

    state = published(Net())
    state["conv.weight"] = state["conv.weight"].flatten(2)
    torch.save(state, tmp_path / "w.pt")
    flat = KeyMap("flat", PUBLISHED.recognise, PUBLISHED.rename, PUBLISHED.drop, convert=inflate)
    net = Net()
    assert load_into(net, tmp_path / "w.pt", [PUBLISHED, flat]).key_map == "flat"
    assert torch.equal(net.stem[0].weight.flatten(), state["conv.weight"].flatten())


# ------------------------------------------------------------------------------------------- refusals


def test_a_file_that_fits_no_map_changes_nothing_and_lists_the_keys(tmp_path: Path) -> None:
    state = published(Net())
    del state["bn.running_var"]
    state["extra"] = torch.zeros(1)
    state["fc.weight"] = torch.zeros(2, 7)
    torch.save(state, tmp_path / "w.pt")
    net, before = Net(), Net()
    before.load_state_dict(net.state_dict())
    with pytest.raises(WeightsError) as caught:
        load_into(net, tmp_path / "w.pt", [PUBLISHED])
    text = str(caught.value)
    assert "not those of this Net. Nearest is key map 'a publisher'" in text
    assert "1 not in the file: stem.1.running_var" in text
    assert "1 in the file and not expected: extra" in text
    assert "1 of another shape: proj.weight (expected (2, 4), got (2, 7))" in text
    assert "It knows 'names of vssl', 'a publisher'" in text
    assert same(net, before)


def test_long_lists_are_cut_at_ten_with_their_count(tmp_path: Path) -> None:
    torch.save({f"layer{n}": torch.zeros(1) for n in range(25)}, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=r"25 in the file and not expected: layer0, .*layer9 and 15 more"):
        load_into(Net(), tmp_path / "w.pt")


def test_two_keys_of_one_new_name_are_refused(tmp_path: Path) -> None:
    state = {**published(Net()), "stem.0.weight": torch.zeros(4, 3, 1, 1, 1)}
    torch.save(state, tmp_path / "w.pt")
    with pytest.raises(
        WeightsError, match=r"'a publisher', which refuses it: two keys of the file become 'stem.0.weight'"
    ):
        load_into(Net(), tmp_path / "w.pt", [PUBLISHED])


def test_a_conversion_that_is_impossible_says_why(tmp_path: Path) -> None:
    def refuse(tensors: dict[str, Tensor], module: nn.Module) -> dict[str, Tensor]:
        raise WeightsError("a table of 7 rows where 3 are needed")

    torch.save(published(Net()), tmp_path / "w.pt")
    broken = KeyMap("broken", PUBLISHED.recognise, PUBLISHED.rename, PUBLISHED.drop, convert=refuse)
    with pytest.raises(
        WeightsError, match="'broken', which refuses it: a table of 7 rows where 3 are needed"
    ):
        load_into(Net(), tmp_path / "w.pt", [broken])


def test_a_map_that_lists_keys_is_nearer_than_one_that_refuses(tmp_path: Path) -> None:
    """A user who forgot an option is told by the file's own layout what differs."""

    def refuse(tensors: dict[str, Tensor], module: nn.Module) -> dict[str, Tensor]:
        raise WeightsError("expected an image's patch kernel")

    torch.save({**published(Net()), "fc.weight": torch.zeros(9, 9)}, tmp_path / "w.pt")
    image = KeyMap("an image model", PUBLISHED.recognise, PUBLISHED.rename, convert=refuse)
    with pytest.raises(WeightsError) as caught:
        load_into(Net(), tmp_path / "w.pt", [image, PUBLISHED])
    text = str(caught.value)
    assert "Nearest is key map 'a publisher', by which there are 1 of another shape: proj.weight" in text
    assert "There is also 'an image model', which refuses it: expected an image's patch kernel." in text


def test_own_names_are_nearest_to_a_file_of_own_names(tmp_path: Path) -> None:
    def refuse(tensors: dict[str, Tensor], module: nn.Module) -> dict[str, Tensor]:
        raise WeightsError("expected an image's patch kernel")

    torch.save({**Net().state_dict(), "proj.weight": torch.zeros(9, 9)}, tmp_path / "w.pt")
    image = KeyMap("an image model", recognise=(r"stem\.",), convert=refuse)
    with pytest.raises(
        WeightsError, match=r"Nearest is key map 'names of vssl', by which there are 1 of ano"
    ):
        load_into(Net(), tmp_path / "w.pt", [image])


def test_pickled_objects_are_never_unpickled(tmp_path: Path) -> None:
    state = {"state_dict": Net().state_dict(), "args": argparse.Namespace(lr=1)}
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(
        WeightsError, match=r"\(it holds argparse\.Namespace\).*save its state dict anew"
    ) as caught:
        load_weights(tmp_path / "w.pth")
    assert "\x1b" not in str(caught.value)
    assert "weights_only" not in str(caught.value)


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_what_is_no_file_of_tensors_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"these are no weights, whatever the name says")
    with pytest.raises(WeightsError, match=r"neither safetensors nor a PyTorch file|no file of tensors"):
        load_weights(tmp_path / name)
    with pytest.raises(WeightsError, match=r"cannot read weights .*No such file"):
        load_weights(tmp_path / "missing" / name)
    with pytest.raises(WeightsError, match=r"cannot read weights .*No such file"):
        file_digest(tmp_path / "missing" / name)


@pytest.mark.parametrize("content", [{}, {"epoch": 1, "lr": 0.1}, [torch.zeros(1)], torch.zeros(2)])
def test_a_file_without_a_state_dict_says_what_it_holds(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"holds no state dict: expected tensors by name, or one under"):
        load_weights(tmp_path / "w.pth")


@pytest.mark.parametrize("wrapper", ["", "state_dict"])
def test_entries_that_are_no_tensors_are_named(wrapper: str, tmp_path: Path) -> None:
    state = {**Net().state_dict(), "epoch": 3, "note": "best"}
    torch.save({wrapper: state, "lr": 0.1} if wrapper else state, tmp_path / "w.pth")
    with pytest.raises(
        WeightsError, match=r"got tensors beside .*must go: epoch \(int\), note \(str\)"
    ) as caught:
        load_weights(tmp_path / "w.pth")
    assert "proj" not in str(caught.value)
    assert str(caught.value).endswith(f" under {wrapper!r}." if wrapper else "note (str).")
