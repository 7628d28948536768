"""What must hold for each of the six tasks alike."""

from __future__ import annotations

import pickle
import random

import numpy as np
import pytest
import torch
from small_tasks import SMALL, MeanColour, make_batch, make_task, step

from vssl_core.interfaces import PretextTask
from vssl_core.seeding import generator
from vssl_core.types import ClipSpec
from vssl_plugins.backbones.c3d import C3D
from vssl_plugins.backbones.mobilenetv2 import MobileNetV2
from vssl_plugins.backbones.r2plus1d import R2Plus1D
from vssl_plugins.backbones.r3d import R3D
from vssl_plugins.backbones.shufflenet import ShuffleNet
from vssl_plugins.backbones.squeezenet import SqueezeNet
from vssl_plugins.tasks.cvrl import CVRL
from vssl_plugins.tasks.prp import PRP
from vssl_plugins.tasks.rotnet import RotNet
from vssl_plugins.tasks.rspnet import RSPNet
from vssl_plugins.tasks.tdl import TDL
from vssl_plugins.tasks.vcop import VCOP

TASKS = [CVRL, PRP, RotNet, RSPNet, TDL, VCOP]
SMALLER = {
    CVRL: {"hidden_dim": 16},
    PRP: {"hidden_dim": 16},
    TDL: {"queue_size": 8},
    RSPNet: {"queue_size": 8},
}
LEVELS = [(task, level) for task in TASKS for level in task.levels]


def make(cls: type[PretextTask], **changes: object) -> tuple[PretextTask, object]:
    options = {**SMALLER.get(cls, {}), **changes}
    chosen = {k: v for k, v in options.items() if k in cls.Options.model_fields}
    rest = {k: v for k, v in options.items() if k not in chosen}
    return make_task(cls, **chosen, **rest), cls.Options(**chosen)


@pytest.mark.parametrize("cls", TASKS)
@pytest.mark.parametrize("clip", [SMALL, ClipSpec(16, 2, 112), ClipSpec(8, 4, 48), ClipSpec(1, 1, 32)])
def test_sampler_names_frames_of_videos_of_every_length(cls: type[PretextTask], clip: ClipSpec) -> None:
    options = cls.Options()
    sampler, views = cls.sampler(options, clip), cls.augmentation(options, clip)
    shapes = set()
    for n_frames in [*range(1, 150), 1000]:
        sampled = sampler(n_frames, 25.0, generator("length", n_frames))
        assert {view.frames or name for name, view in views.items()} <= sampled.frames.keys()
        for row in sampled.frames.values():
            assert row.dtype == np.int64
            assert row.min() >= 0
            assert row.max() < n_frames
        shapes.add(tuple((name, row.shape) for name, row in sampled.frames.items()))
    assert len(shapes) == 1, "clips of different videos stack"


@pytest.mark.parametrize("cls", TASKS)
def test_sampler_is_a_pure_picklable_function(cls: type[PretextTask]) -> None:
    sampler = cls.sampler(cls.Options(), SMALL)
    copy = pickle.loads(pickle.dumps(sampler))
    states = lambda: (random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist())  # noqa: E731
    before = states()
    for draw in range(20):
        first = sampler(90, 25.0, generator("pure", draw))
        second = copy(90, 30.0, generator("pure", draw))
        assert first.info == second.info
        assert all(np.array_equal(row, second.frames[name]) for name, row in first.frames.items())
    assert states() == before


@pytest.mark.parametrize("cls", TASKS)
@pytest.mark.parametrize(
    ("backbone", "pixels"),
    [(ShuffleNet, 64), (MobileNetV2, 64), (SqueezeNet, 64), (R2Plus1D, 32), (R3D, 32), (C3D, 32)],
)
def test_every_trained_parameter_of_every_cnn_receives_gradient(
    cls: type[PretextTask], backbone: type, pixels: int
) -> None:
    """On maps of 2 x 2."""
    clip = ClipSpec(num_frames=4, frame_stride=1, crop_size=pixels)
    task, options = make(cls, backbone=backbone, clip=clip)
    output = task.train()(*make_batch(task, options, batch=2, clip=clip))
    output.loss.backward()
    assert output.loss.ndim == 0
    assert torch.isfinite(output.loss)
    lacking = [
        n for n, p in task.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())
    ]
    assert lacking == []
    assert not [n for n, p in task.named_parameters() if not p.requires_grad and p.grad is not None]


@pytest.mark.parametrize("cls", TASKS)
def test_metrics_are_detached_finite_scalars_and_chance_is_of_metrics(cls: type[PretextTask]) -> None:
    task, options = make(cls)
    output = task(*make_batch(task, options))
    for value in (*output.losses.values(), *output.metrics.values()):
        assert value.ndim == 0
        assert not value.requires_grad
        assert torch.isfinite(value)
    assert output.chance.keys() <= output.metrics.keys()
    assert all(0 <= value < 1 for value in output.chance.values())


@pytest.mark.parametrize("cls", TASKS)
def test_eval_is_deterministic_and_changes_no_state(cls: type[PretextTask]) -> None:
    task, options = make(cls, backbone=ShuffleNet)
    task.eval()
    batch = make_batch(task, options)
    before = {name: value.clone() for name, value in task.state_dict().items()}
    with torch.no_grad():
        assert task(*batch).loss == task(*batch).loss
    task.after_step(None)
    queues = {name for name in before if name.startswith(("key_encoder.", "queue."))}
    assert all(torch.equal(v, before[k]) for k, v in task.state_dict().items() if k not in queues)
    assert all(torch.equal(v, before[k]) for k, v in task.state_dict().items() if k.startswith("queue."))


@pytest.mark.parametrize("cls", TASKS)
def test_a_restored_task_goes_on_as_if_it_had_not_stopped(cls: type[PretextTask]) -> None:
    going, options = make(cls, backbone=ShuffleNet)
    batches = [make_batch(going, options, seed=seed) for seed in range(4)]
    for batch in batches[:2]:
        step(going, batch, lr=0.01)
    resumed, _ = make(cls, backbone=ShuffleNet, seed=5)
    resumed.load_state_dict(going.state_dict())
    for number, batch in enumerate(batches[2:]):
        torch.manual_seed(number)
        one = step(going, batch, lr=0.01)
        torch.manual_seed(number)
        assert torch.equal(one, step(resumed, batch, lr=0.01))
    assert all(torch.equal(v, resumed.state_dict()[k]) for k, v in going.state_dict().items())


@pytest.mark.parametrize("cls", TASKS)
def test_a_few_clips_are_overfitted(cls: type[PretextTask]) -> None:
    task, options = make(cls, backbone=ShuffleNet, **({"dropout": 0.0} if cls is VCOP else {}))
    batch = make_batch(task, options)
    losses = [float(step(task, batch, lr=0.02, queues=False)) for _ in range(25)]
    assert min(losses[-5:]) < 0.8 * losses[0]


@pytest.mark.parametrize("cls", TASKS)
def test_loss_is_finite_float32_under_autocast(cls: type[PretextTask]) -> None:
    task, options = make(cls)
    batch = make_batch(task.eval(), options)
    expected = task(*batch).loss
    with torch.autocast("cpu", torch.bfloat16):
        loss = task(*batch).loss
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, expected, rtol=0.05, atol=0.05)


@pytest.mark.parametrize(("cls", "level"), LEVELS)
def test_every_level_of_complexity_works(cls: type[PretextTask], level: int) -> None:
    task, options = make(cls, **cls.levels[level])
    output = task(*make_batch(task, options))
    assert torch.isfinite(output.loss)
    classes = {RotNet: (2, 3, 4), VCOP: (2, 6, 24, 120), PRP: (2, 3, 4)}[cls]
    assert output.chance["accuracy"] == pytest.approx(1 / classes[level - 1])


def test_contrastive_tasks_have_no_levels() -> None:
    assert all(not cls.levels for cls in (CVRL, TDL, RSPNet))


@pytest.mark.parametrize("cls", TASKS)
def test_equal_videos_give_chance(cls: type[PretextTask]) -> None:
    """All videos one grey: nothing is left to tell, whatever the task asks."""
    task, options = make(cls, backbone=MeanColour, batch_size=48)
    views, info = make_batch(task.eval(), options, batch=48)
    output = task({name: torch.full_like(view, 0.5) for name, view in views.items()}, info)
    for name, chance in output.chance.items():
        if name in ("contrast_accuracy", "same_speed_accuracy", "other_speed_accuracy"):
            continue  # against a queue of random vectors, which are not videos
        assert float(output.metrics[name]) == pytest.approx(chance, abs=0.2), name
