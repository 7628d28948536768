"""The examples, loaded by file path as a user's own files are, keep the contracts that they show."""

from __future__ import annotations

import importlib.util
import json
import pickle
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from pydantic import ValidationError

import vssl_core
from vssl_core import CellHandle, ClipSpec, DatasetContext, DatasetError, TaskContext, TrainProgress
from vssl_core.hooks import Hooks, RunInfo
from vssl_core.progress import quiet_progress
from vssl_core.registry import PluginRef
from vssl_core.seeding import generator

ROOT = Path(__file__).resolve().parents[1]
CLIP = ClipSpec(num_frames=4, frame_stride=2, crop_size=8)


def load(path: str) -> ModuleType:
    file = ROOT / path
    name = f"loaded_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # pickling looks classes up here
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def memory() -> ModuleType:
    """The evaluators' data in memory."""
    return load("tests/plugins/evaluators/conftest.py")


@pytest.mark.parametrize(
    "name",
    ["my_task", "my_backbone", "my_dataset", "my_evaluator", "my_corruption", "my_executor", "my_hook"],
)
def test_an_example_fits_on_a_page(name: str) -> None:
    assert len((ROOT / "examples" / f"{name}.py").read_text().splitlines()) <= 60


@pytest.mark.parametrize(
    ("path", "cls", "parent"),
    [
        ("examples/my_task.py", "MyTask", vssl_core.PretextTask),
        ("examples/my_contrast.py", "MyContrast", vssl_core.PretextTask),
        ("examples/my_backbone.py", "MyBackbone", vssl_core.Backbone),
        ("examples/my_dataset.py", "MyDataset", vssl_core.VideoDataset),
        ("examples/my_evaluator.py", "MyEvaluator", vssl_core.Evaluator),
        ("examples/my_corruption.py", "Fog", vssl_core.Corruption),
        ("examples/my_executor.py", "MyExecutor", vssl_core.Executor),
    ],
)
def test_an_example_is_a_component_whose_options_explain_themselves(path, cls, parent) -> None:
    component = getattr(load(path), cls)
    assert issubclass(component, parent)
    options = component.Options()
    assert isinstance(options, vssl_core.Options)
    for field in type(options).model_fields.values():
        assert field.description
    with pytest.raises(ValidationError):
        component.Options(no_such_option=1)


# --------------------------------------------------------------------------------------------- my_task


@pytest.mark.parametrize("n_frames", [1, 2, 7, 8, 300])
def test_the_tasks_sampler_plays_a_clip_in_one_of_two_directions(n_frames: int) -> None:
    task = load("examples/my_task.py").MyTask
    sampler = pickle.loads(pickle.dumps(task.sampler(task.Options(), CLIP)))
    seen = set()
    for draw in range(40):
        sampled = sampler(n_frames, 25.0, generator("test", draw))
        frames, backwards = sampled.frames["clip"], sampled.info["backwards"]
        assert frames.shape == (4,)
        assert frames.dtype == np.int64
        assert frames.min() >= 0
        assert frames.max() < n_frames
        if n_frames >= 8:
            assert (np.diff(frames) == (-2 if backwards else 2)).all()
        again = sampler(n_frames, 25.0, generator("test", draw))
        np.testing.assert_array_equal(again.frames["clip"], frames)
        assert again.info == sampled.info
        seen.add(backwards)
    assert seen == {0, 1}


def test_the_task_learns_the_direction_of_a_brightening_clip(memory: ModuleType) -> None:
    task_class = load("examples/my_task.py").MyTask
    options = task_class.Options()
    assert set(task_class.augmentation(options, CLIP)) == {"clip"}
    torch.manual_seed(0)
    task = task_class(memory.TinyBackbone, options, TaskContext(CLIP, num_videos=32, batch_size=32))
    backwards = torch.arange(32) % 2
    rising = torch.linspace(-1, 1, 4).view(1, 1, 4, 1, 1).expand(32, 3, 4, 8, 8)
    clips = torch.where(backwards.view(-1, 1, 1, 1, 1) == 1, rising.flip(2), rising)
    clips = clips + 0.1 * torch.randn(clips.shape)
    optimizer = torch.optim.Adam(task.parameters(), lr=1e-2)
    for _ in range(40):
        output = task({"clip": clips}, {"backwards": backwards})
        assert output.loss.shape == ()
        assert not output.metrics["accuracy"].requires_grad
        optimizer.zero_grad()
        output.loss.backward()
        optimizer.step()
    task.eval()
    assert task({"clip": clips}, {"backwards": backwards}).metrics["accuracy"] > 0.95
    assert output.chance == {"accuracy": 0.5}


# ----------------------------------------------------------------------------------------- my_contrast


def my_contrast(memory: ModuleType) -> vssl_core.PretextTask:
    cls = load("examples/my_contrast.py").MyContrast
    torch.manual_seed(0)
    return cls(memory.TinyBackbone, cls.Options(queue_size=8, output_dim=4), TaskContext(CLIP, 64, 4))


def test_the_contrast_takes_its_clips_apart_and_augments_them_apart() -> None:
    cls = load("examples/my_contrast.py").MyContrast
    sampler = pickle.loads(pickle.dumps(cls.sampler(cls.Options(), CLIP)))
    pairs = [sampler(300, 25.0, generator("test", draw)).frames for draw in range(40)]
    assert len({tuple(pair["query"] - pair["key"]) for pair in pairs}) > 20
    views = cls.augmentation(cls.Options(), CLIP)
    assert list(views) == ["query", "key"]
    assert {(view.frames, view.draw) for view in views.values()} == {(None, None)}


def test_the_contrasts_loss_is_that_of_its_docstring(memory: ModuleType) -> None:
    task = my_contrast(memory).eval()
    views = {name: torch.rand(4, 3, 4, 8, 8) for name in ("query", "key")}
    with torch.no_grad():
        q = torch.nn.functional.normalize(task.head(task.backbone(views["query"])), dim=1)
        k = torch.nn.functional.normalize(task.key_encoder(views["key"]), dim=1)
        positive, negatives = (q * k).sum(dim=1) / 0.1, q @ task.queue.features.T / 0.1
        expected = -(positive.exp() / (positive.exp() + negatives.exp().sum(dim=1))).log().mean()
        output = task(views, {})
    torch.testing.assert_close(output.loss, expected)
    assert output.chance == {"accuracy": 1 / 9}


def test_the_contrasts_twin_starts_equal_and_follows_and_held_out_videos_leave_no_trace(
    memory: ModuleType,
) -> None:
    task, now = my_contrast(memory), TrainProgress(0, 0, 0.0)
    online = [*task.backbone.state_dict().values(), *task.head.state_dict().values()]
    twin = task.key_encoder.state_dict().values()
    assert all(torch.equal(one, other) for one, other in zip(online, twin, strict=True))
    views = {name: torch.rand(4, 3, 4, 8, 8) for name in ("query", "key")}
    before = {name: value.clone() for name, value in task.state_dict().items()}
    task.eval()(views, {})
    task.after_step(now)
    assert all(torch.equal(value, before[name]) for name, value in task.state_dict().items())
    task.train()(views, {}).loss.backward()
    with torch.no_grad():
        task.head.weight.sub_(task.head.weight.grad)
    task.after_step(now)
    task.before_step(now)
    changed = {name for name, value in task.state_dict().items() if not torch.equal(value, before[name])}
    weights = {name for name in changed if "running" not in name and "batches" not in name}  # of BatchNorm
    assert weights == {"head.weight", "key_encoder.encoder.1.weight", "queue.features", "queue.pointer"}


# ----------------------------------------------------------------------------------------- my_backbone


@pytest.mark.parametrize("model", ["resnet10t", "resnet18", "resnet34"])
def test_the_backbone_gives_a_map_per_frame_whatever_the_clip(model: str) -> None:
    cls = load("examples/my_backbone.py").MyBackbone
    backbone = cls(cls.Options(model=model), CLIP).eval()
    for shape in ((2, 3, 4, 32, 32), (1, 3, 1, 33, 64)):
        video = torch.rand(shape)
        with torch.no_grad():
            maps, pooled = backbone.forward_features(video), backbone(video)
        height, width = -(-shape[3] // 32), -(-shape[4] // 32)
        assert maps.shape == (shape[0], backbone.embed_dim, shape[2], height, width)
        torch.testing.assert_close(pooled, maps.mean(dim=(2, 3, 4)))
    assert list(backbone.stages()) == ["layer1", "layer2", "layer3", "layer4"]


def test_the_backbone_sees_stills_and_not_their_order() -> None:
    cls = load("examples/my_backbone.py").MyBackbone
    torch.manual_seed(0)
    backbone = cls(cls.Options(model="resnet10t"), CLIP).eval()
    video = torch.rand(2, 3, 4, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(backbone(video), backbone(video.flip(2)))
        each = torch.stack([backbone(video[:, :, t : t + 1]) for t in range(4)])
        torch.testing.assert_close(backbone(video), each.mean(dim=0))
        assert (each[0] - each[1]).abs().max() > 1e-3


def test_the_backbone_refuses_images() -> None:
    cls = load("examples/my_backbone.py").MyBackbone
    with pytest.raises(vssl_core.ContractError, match=r"clips \(B, 3, T, H, W\); got \(2, 3, 32, 32\)"):
        cls(cls.Options(), CLIP).forward_features(torch.rand(2, 3, 32, 32))


# ------------------------------------------------------------------------------------------ my_dataset


def my_dataset(folder: Path) -> vssl_core.VideoDataset:
    cls = load("examples/my_dataset.py").MyDataset
    return cls(cls.Options(folder=str(folder)), DatasetContext(folder, quiet_progress()))


def test_the_dataset_reads_its_table(tmp_path: Path) -> None:
    rows = ["path,label,split", "a/1.mp4,run,train", '"b/2, x.mp4",jump,test', "a/é.mp4,jump,train"]
    (tmp_path / "videos.csv").write_text("\n".join(rows), encoding="utf-8")
    dataset = my_dataset(tmp_path)
    assert list(dataset.classes) == ["jump", "run"]
    train = dataset.records("train")
    assert [(r.video_id, r.label, r.group) for r in train] == [("a/1.mp4", 1, "a"), ("a/é.mp4", 0, "a")]
    assert train[0].path == str(tmp_path / "a/1.mp4")
    assert [r.video_id for r in dataset.records("test")] == ["b/2, x.mp4"]
    assert list(dataset.records("validation")) == []


def test_the_dataset_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"videos.csv: No such file.*target.folder"):
        my_dataset(tmp_path).records("train")
    (tmp_path / "videos.csv").write_text("file,class\na.mp4,run\n")
    with pytest.raises(DatasetError, match="columns path,label,split"):
        _ = my_dataset(tmp_path).classes


def test_the_dataset_looks_beside_its_own_file() -> None:
    cls = load("examples/my_dataset.py").MyDataset
    dataset = cls(cls.Options(), DatasetContext(ROOT, quiet_progress()))
    assert dataset.folder == ROOT / "examples"


# ---------------------------------------------------------------------------------------- my_evaluator


def my_evaluator() -> vssl_core.Evaluator:
    cls = load("examples/my_evaluator.py").MyEvaluator
    return cls(cls.Options())


@pytest.fixture
def context(tmp_path: Path, memory: ModuleType) -> vssl_core.EvaluationContext:
    return memory.make_context(tmp_path, quiet_progress())


def test_the_evaluator_finds_known_classes(memory: ModuleType, context) -> None:
    data = memory.MemoryData(num_classes=6)
    result = my_evaluator().evaluate(memory.TinyBackbone(), data, context)
    assert list(result.metrics) == ["top1", "top5", "mean_class_accuracy"]
    assert result.metrics["top1"].value > 80
    assert result.metrics["top1"].value == result.metrics["top1"].per_video.mean()
    assert len(result.video_ids) == len(result.metrics["top1"].per_video) == 30
    assert data.parts["train"].asked == [("features", 1)]
    assert data.parts["test"].asked == [("features", 3)]


def test_the_evaluator_never_answers_with_a_class_that_it_has_not_seen(memory: ModuleType, context) -> None:
    data = memory.MemoryData(train=[0, 2] * 8, test=[0, 1, 2])
    result = my_evaluator().evaluate(memory.TinyBackbone(), data, context)
    assert result.metrics["top1"].per_video[1] == 0
    assert (result.arrays["scores"].argmax(axis=1) != 1).all()


def test_the_evaluator_refuses_unlabelled_videos(memory: ModuleType, context) -> None:
    with pytest.raises(DatasetError, match="label"):
        my_evaluator().evaluate(memory.TinyBackbone(), memory.MemoryData(test=[0, None]), context)


# ----------------------------------------------------------------------------------------- my_executor


def test_the_executor_runs_every_cell_and_says_which_failed(tmp_path: Path) -> None:
    cls = load("examples/my_executor.py").MyExecutor
    code = "import os, sys; print(os.environ['FROM_VSSL']); sys.exit(int(sys.argv[1]))"
    cells = [
        CellHandle(
            f"cell-{wanted}", tmp_path, (sys.executable, "-c", code, str(wanted)), {"FROM_VSSL": "yes"}
        )
        for wanted in (0, 3)
    ]
    executor = cls(cls.Options(log_folder=str(tmp_path / "logs")))
    failures = executor.run(cells, quiet_progress())
    assert list(failures) == ["cell-3"]
    assert "exit code 3" in failures["cell-3"]
    assert (tmp_path / "logs" / "cell-0.log").read_text() == "yes\n"


def test_the_executor_lets_the_users_variables_win(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FROM_VSSL", "mine")
    cls = load("examples/my_executor.py").MyExecutor
    command = (sys.executable, "-c", "import os; print(os.environ['FROM_VSSL'])")
    cell = CellHandle("cell", tmp_path, command, {"FROM_VSSL": "yes"})
    assert cls(cls.Options(log_folder=str(tmp_path))).run([cell], quiet_progress()) == {}
    assert (tmp_path / "cell.log").read_text() == "mine\n"


# --------------------------------------------------------------------------------------------- my_hook


def test_the_hook_notes_steps_now_and_then(tmp_path: Path) -> None:
    ref = PluginRef("hook", "my_hook", "my_hook", "vssl-plugin-noted", "1.0", "installed")
    hooks = Hooks({ref: load("examples/my_hook.py")})
    run = RunInfo("cell", tmp_path, "vcop", "shufflenet", 2, 1.0, "epochs")
    for step in range(1, 201):
        hooks.step_end(run, step, {"loss": 1.0 / step})
    lines = [json.loads(line) for line in (tmp_path / "my_hook.jsonl").read_text().splitlines()]
    assert lines == [{"task": "vcop", "seed": 2, "step": s, "loss": 1.0 / s} for s in (100, 200)]
