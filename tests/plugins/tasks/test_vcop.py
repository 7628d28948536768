"""VCOP: the clips that it samples, the order that it asks for, and what its loss can and cannot see."""

from __future__ import annotations

import pickle
import random
from itertools import permutations
from math import factorial

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy import stats
from torch import Tensor, nn

from vssl_core.augmentation import draw_view
from vssl_core.augmentation.ops import ColorJitter, HorizontalFlip, RandomCrop, RotationJitter
from vssl_core.interfaces import Backbone, TaskContext
from vssl_core.options import Options
from vssl_core.seeding import generator
from vssl_core.types import ClipSpec
from vssl_plugins.backbones.shufflenet import ShuffleNet, ShuffleNetOptions
from vssl_plugins.tasks.vcop import VCOP, OrderHead, ShuffledClips, VCOPOptions, permutation_rank

PAPER = ClipSpec(num_frames=16, frame_stride=1, crop_size=112)
SMALL = ClipSpec(num_frames=4, frame_stride=1, crop_size=32)


class MeanColour(Backbone):
    """The simplest backbone without BatchNorm: features are linear in the clip's mean colour."""

    def __init__(self, options: object, clip: ClipSpec) -> None:
        super().__init__(options, clip)
        self.embed_dim = 8
        self.project = nn.Conv3d(3, 8, 1)

    def forward_features(self, video_BCTHW: Tensor) -> Tensor:
        return self.project(video_BCTHW)

    def stages(self) -> dict[str, nn.Module]:
        return {"project": self.project}


def make_task(*, backbone: type[Backbone] = MeanColour, **options: object) -> VCOP:
    def make_backbone() -> Backbone:
        torch.manual_seed(0)
        settings = (
            ShuffleNetOptions(width=0.5, zero_init_residual=False) if backbone is ShuffleNet else Options()
        )
        return backbone(settings, SMALL)

    context = TaskContext(clip=SMALL, num_videos=8, batch_size=4)
    return VCOP(make_backbone, VCOPOptions(**options), context)


def make_views(num_clips: int, batch: int = 4, *, seed: int = 0) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    return {f"clip_{slot}": torch.randn(batch, 3, 4, 32, 32) for slot in range(num_clips)}


def sample(sampler: ShuffledClips, n_frames: int, draw: int = 0) -> tuple[np.ndarray, int]:
    """Frames (N, T) in slot order, and the label."""
    sampled = sampler(n_frames, 25.0, generator("test", draw))
    assert list(sampled.frames) == [f"clip_{slot}" for slot in range(sampler.num_clips)]
    return np.stack(list(sampled.frames.values())), sampled.info["order"]


def in_order_of_time(rows: np.ndarray) -> tuple[np.ndarray, tuple[int, ...]]:
    """The clips by first frame, and the original position of the clip in each slot."""
    by_start = np.argsort(rows[:, 0], kind="stable")
    return rows[by_start], tuple(np.argsort(by_start).tolist())


# --------------------------------------------------------------------------------------------- label


@pytest.mark.parametrize("num_clips", [2, 3, 4, 5])
def test_rank_is_the_place_in_the_lexicographic_list(num_clips: int) -> None:
    orders = list(permutations(range(num_clips)))
    assert [permutation_rank(order) for order in orders] == list(range(factorial(num_clips)))


@pytest.mark.parametrize("num_clips", [2, 3, 4, 5])
def test_label_is_the_rank_of_the_original_positions(num_clips: int) -> None:
    sampler = VCOP.sampler(VCOPOptions(num_clips=num_clips), PAPER)
    for draw in range(40):
        rows, label = sample(sampler, 300, draw)
        order = in_order_of_time(rows)[1]
        assert label == permutation_rank(order)
        for sigma in list(permutations(range(num_clips)))[:: num_clips + 1]:
            moved = in_order_of_time(rows[list(sigma)])[1]
            assert permutation_rank(moved) == permutation_rank([order[slot] for slot in sigma])


@pytest.mark.parametrize("num_clips", [2, 3, 4, 5])
def test_all_labels_are_reachable_and_uniform(num_clips: int) -> None:
    sampler = VCOP.sampler(VCOPOptions(num_clips=num_clips), PAPER)
    labels = [sample(sampler, 400, draw)[1] for draw in range(40 * factorial(num_clips))]
    counts = np.bincount(labels, minlength=factorial(num_clips))
    assert len(counts) == factorial(num_clips)
    assert counts.min() > 0
    assert stats.chisquare(counts).pvalue > 1e-3


# -------------------------------------------------------------------------------------------- frames


@pytest.mark.parametrize("stride", [1, 2, 4])
@pytest.mark.parametrize("num_clips", [2, 3, 4, 5])
def test_long_video_gives_disjoint_clips_with_the_exact_gap(num_clips: int, stride: int) -> None:
    clip = ClipSpec(num_frames=16, frame_stride=stride, crop_size=112)
    sampler = VCOP.sampler(VCOPOptions(num_clips=num_clips), clip)
    needed = num_clips * (15 * stride + 1) + (num_clips - 1) * 8 * stride
    for n_frames in (needed, needed + 1, 1000):
        rows, _ = in_order_of_time(sample(sampler, n_frames, n_frames)[0])
        assert (np.diff(rows, axis=1) == stride).all()
        assert (rows[1:, 0] - rows[:-1, -1] - 1 == 8 * stride).all()


def test_gap_is_the_papers_by_default_and_an_option() -> None:
    assert VCOP.sampler(VCOPOptions(), PAPER).gap == 8
    assert VCOP.sampler(VCOPOptions(gap=3), PAPER).gap == 3
    rows, _ = in_order_of_time(sample(VCOP.sampler(VCOPOptions(gap=0), PAPER), 48)[0])
    assert rows.ravel().tolist() == list(range(48))


def test_start_is_uniform_over_all_places_that_fit() -> None:
    sampler = VCOP.sampler(VCOPOptions(), PAPER)
    starts = [sample(sampler, 64 + 9, draw)[0].min() for draw in range(2000)]
    counts = np.bincount(starts)
    assert len(counts) == 10
    assert stats.chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize("num_clips", [2, 3, 4, 5])
@pytest.mark.parametrize("frames_and_stride", [(16, 1), (16, 2), (8, 4), (1, 1), (2, 3)])
def test_every_length_gives_valid_clips(num_clips: int, frames_and_stride: tuple[int, int]) -> None:
    clip = ClipSpec(*frames_and_stride, crop_size=32)
    sampler = VCOP.sampler(VCOPOptions(num_clips=num_clips), clip)
    for n_frames in range(1, 201):
        rows, label = sample(sampler, n_frames, n_frames)
        assert rows.shape == (num_clips, clip.num_frames)
        assert rows.dtype == np.int64
        assert rows.min() >= 0
        assert rows.max() < n_frames
        assert 0 <= label < factorial(num_clips)
        if n_frames >= num_clips:
            assert len(np.unique(rows[:, 0])) == num_clips, "an order that can be known"


def test_remedies_come_in_the_documented_order() -> None:
    clip = ClipSpec(num_frames=8, frame_stride=2, crop_size=32)  # span 15, gap 8, 3 clips: 61 frames
    sampler = VCOP.sampler(VCOPOptions(), clip)

    def layout(n_frames: int) -> tuple[int, int, int]:
        rows, _ = in_order_of_time(sample(sampler, n_frames)[0])
        stride, gap = int(rows[0, 1] - rows[0, 0]), int(rows[1, 0] - rows[0].max() - 1)
        assert (np.diff(rows, axis=0) == rows[1] - rows[0]).all(), "clips are equally spaced"
        return stride, gap, int(rows.max() - rows.min() + 1)

    assert layout(61) == (2, 8, 61)
    assert layout(60) == (2, 7, 59)  # a smaller gap
    assert layout(45) == (2, 0, 45)
    assert layout(44) == (1, 8, 40)  # a smaller stride, the gap is back
    assert layout(24) == (1, 0, 24)
    assert layout(23) == (1, -1, 22)  # overlap, spread over the video
    assert layout(10) == (1, -7, 10)
    rows, _ = in_order_of_time(sample(sampler, 9)[0])  # loops of a third each
    assert rows[:, :6].tolist() == [[0, 1, 2, 0, 1, 2], [3, 4, 5, 3, 4, 5], [6, 7, 8, 6, 7, 8]]


def test_sampler_is_a_pure_picklable_function() -> None:
    sampler = VCOP.sampler(VCOPOptions(num_clips=4), PAPER)
    copy = pickle.loads(pickle.dumps(sampler))
    np.random.seed(1)
    before = (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())
    first, second = sample(sampler, 150), sample(copy, 150)
    after = (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())
    assert before == after
    assert first[1] == second[1]
    assert np.array_equal(first[0], second[0])


# -------------------------------------------------------------------------------------- augmentation


def test_augmentations_draw_for_each_clip_alone() -> None:
    for name, ops in {
        "benchmark": (RotationJitter, RandomCrop, ColorJitter, HorizontalFlip),
        "paper": (RandomCrop,),
    }.items():
        views = VCOP.augmentation(VCOPOptions(num_clips=4, augmentation=name), PAPER)
        assert list(views) == ["clip_0", "clip_1", "clip_2", "clip_3"]
        for view in views.values():
            assert tuple(type(op) for op in view.ops) == ops
            assert view.draw is None
            assert view.frames is None


@pytest.mark.parametrize("name", ["benchmark", "paper"])
def test_no_place_colour_or_flip_tells_the_slot(name: str) -> None:
    """Over many videos each slot has the same distribution, and slots of one video are independent."""
    views = VCOP.augmentation(VCOPOptions(augmentation=name), PAPER)
    size = {"num_frames": 16, "height": 120, "width": 160, "crop_size": 112}
    tuples = [[draw_view(v, key=(i, n), **size) for n, v in views.items()] for i in range(400)]
    columns = {"left": [[view.crop.left for view in drawn] for drawn in tuples]}
    if name == "benchmark":
        columns["degrees"] = [[view.degrees for view in drawn] for drawn in tuples]
        columns["brightness"] = [[view.pixels[0].brightness for view in drawn] for drawn in tuples]
        columns["flip"] = [[view.pixels[1].applied for view in drawn] for drawn in tuples]
    for what, column in columns.items():
        values = np.array(column, dtype=float)
        assert values.std(axis=0).min() > 0, what
        assert stats.kruskal(*values.T).pvalue > 1e-3, what
        assert abs(np.corrcoef(values.T)[np.triu_indices(3, 1)]).max() < 0.2, what


# ------------------------------------------------------------------------------------- head and loss


@pytest.mark.parametrize("num_clips", [2, 3, 4, 5])
def test_head_has_the_papers_shapes(num_clips: int) -> None:
    head = OrderHead(512, num_clips=num_clips, hidden_dim=512, dropout=0.5)
    pairs = num_clips * (num_clips - 1) // 2
    assert head.pair.weight.shape == (512, 1024)
    assert head.classifier.weight.shape == (factorial(num_clips), 512 * pairs)
    assert head(torch.randn(3, num_clips, 512)).shape == (3, factorial(num_clips))


def test_head_equals_the_papers_formulas() -> None:
    head = OrderHead(6, num_clips=3, hidden_dim=5, dropout=0.5).eval()
    f = torch.randn(2, 3, 6)
    hidden = [head.pair(torch.cat([f[:, i], f[:, j]], 1)).relu() for i, j in ((0, 1), (0, 2), (1, 2))]
    torch.testing.assert_close(head(f), head.classifier(torch.cat(hidden, 1)))


def test_loss_is_the_cross_entropy_with_its_chance_levels() -> None:
    task = make_task(num_clips=3)
    nn.init.zeros_(task.head.classifier.weight)
    nn.init.zeros_(task.head.classifier.bias)
    output = task(make_views(3), {"order": torch.tensor([0, 5, 2, 3])})
    assert output.loss.item() == pytest.approx(np.log(6), rel=1e-6)
    assert output.chance == {"accuracy": 1 / 6, "kendall_tau": 0.0}
    assert set(output.chance) == set(output.metrics)
    assert not any(value.requires_grad for value in (*output.metrics.values(), *output.losses.values()))


def test_kendall_tau_is_scipys() -> None:
    task = make_task(num_clips=4)
    orders = list(permutations(range(4)))
    for predicted in range(0, 24, 5):
        logits = torch.eye(24)[predicted].expand(24, 24)
        for true in range(24):
            metrics = task._metrics(logits[:1], torch.tensor([true]))
            expected = stats.kendalltau(orders[predicted], orders[true]).statistic
            assert metrics["kendall_tau"].item() == pytest.approx(expected, abs=1e-6)
    uniform = task._metrics(torch.eye(24)[[7] * 24], torch.arange(24))
    assert uniform["kendall_tau"].item() == pytest.approx(0.0, abs=1e-6)
    assert uniform["accuracy"].item() == pytest.approx(1 / 24)


@pytest.mark.parametrize("encode", ["together", "slots"])
def test_all_clips_and_parameters_receive_gradient(encode: str) -> None:
    task = make_task(backbone=ShuffleNet, num_clips=4, encode=encode).eval()
    views = {name: view.requires_grad_() for name, view in make_views(4).items()}
    task(views, {"order": torch.tensor([0, 9, 17, 23])}).loss.backward()
    assert all(view.grad.flatten(1).any(dim=1).all() for view in views.values())
    assert [name for name, p in task.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_encoding_together_and_by_slots_differ_in_batchnorm_alone() -> None:
    views, info = make_views(3), {"order": torch.tensor([0, 1, 4, 5])}
    losses = {}
    for training in (False, True):
        for encode in ("together", "slots"):
            torch.manual_seed(3)
            task = make_task(backbone=ShuffleNet, num_clips=3, encode=encode, dropout=0.0)
            losses[training, encode] = task.train(training)(views, info).loss
    torch.testing.assert_close(losses[False, "together"], losses[False, "slots"])
    assert abs(losses[True, "together"] - losses[True, "slots"]) > 1e-4


def test_identical_clips_carry_no_order() -> None:
    task = make_task(backbone=ShuffleNet, num_clips=3).eval()
    clip = make_views(1, batch=1)["clip_0"].expand(6, -1, -1, -1, -1)
    metrics = task({f"clip_{slot}": clip for slot in range(3)}, {"order": torch.arange(6)}).metrics
    assert metrics["accuracy"].item() == pytest.approx(1 / 6)
    assert metrics["kendall_tau"].item() == pytest.approx(0.0, abs=1e-6)


def test_eval_is_deterministic_and_changes_no_state() -> None:
    task = make_task(backbone=ShuffleNet, num_clips=3).eval()
    views, info = make_views(3), {"order": torch.tensor([0, 1, 4, 5])}
    before = {name: value.clone() for name, value in task.state_dict().items()}
    with torch.no_grad():
        assert task(views, info).loss == task(views, info).loss
    assert all(torch.equal(value, before[name]) for name, value in task.state_dict().items())


def test_order_of_visible_cues_is_learnt() -> None:
    torch.manual_seed(0)
    task = make_task(num_clips=3, dropout=0.0).train()
    optimizer = torch.optim.Adam(task.parameters(), lr=0.01)
    orders = list(permutations(range(3)))
    for _ in range(60):
        label = torch.randint(6, (32,))
        place = torch.tensor([orders[i] for i in label])
        views = {
            f"clip_{s}": place[:, s].view(-1, 1, 1, 1, 1) + 0.1 * torch.randn(32, 3, 1, 2, 2)
            for s in range(3)
        }
        output = task(views, {"order": label})
        optimizer.zero_grad()
        output.loss.backward()
        optimizer.step()
    assert output.metrics["accuracy"] == 1.0
    assert output.metrics["kendall_tau"] == 1.0


def test_loss_is_float32_under_autocast() -> None:
    task = make_task(num_clips=3).eval()
    views, info = make_views(3), {"order": torch.tensor([0, 1, 4, 5])}
    expected = task(views, info).loss
    with torch.autocast("cpu", torch.bfloat16):
        loss = task(views, info).loss
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, expected, rtol=0.02, atol=0.02)


# ------------------------------------------------------------------------------------------- options


def test_levels_are_two_to_five_clips() -> None:
    assert {level: VCOPOptions(**change).num_clips for level, change in VCOP.levels.items()} == {
        1: 2,
        2: 3,
        3: 4,
        4: 5,
    }


def test_options_are_described_and_checked() -> None:
    assert all(field.description for field in VCOPOptions.model_fields.values())
    for wrong in ({"num_clips": 1}, {"num_clips": 6}, {"gap": -1}, {"augmentation": "none"}, {"clips": 3}):
        with pytest.raises(ValidationError):
            VCOPOptions(**wrong)


def test_state_dict_reproduces_the_loss() -> None:
    views, info = make_views(3), {"order": torch.tensor([0, 1, 4, 5])}
    first, second = make_task(num_clips=3).eval(), make_task(num_clips=3).eval()
    nn.init.normal_(first.head.pair.weight)
    nn.init.normal_(first.backbone.project.weight)
    assert first(views, info).loss != second(views, info).loss
    second.load_state_dict(first.state_dict())
    assert first(views, info).loss == second(views, info).loss
