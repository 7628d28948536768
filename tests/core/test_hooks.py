"""Hooks see every event, change nothing, and are named when they fail."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fake_distributions import install

from vssl_core import hooks
from vssl_core.errors import HookError, PluginLoadError, UnknownNameError
from vssl_core.hooks import EVENTS, Hooks, RunInfo, hookimpl, load_hooks
from vssl_core.registry import PluginRef
from vssl_core.rows import Cost, Row

RUN = RunInfo(
    "cell", Path("runs/cell"), task="vcop", backbone="r2plus1d", seed=0, budget=5, currency="epochs"
)
COST = Cost(
    parameters=1,
    gflops=1,
    unsupported_ops={"a": 1},
    pretrain_seconds=1,
    pretrain_clips_per_second=1,
    peak_memory_mib=1,
)


def ref(name: str) -> PluginRef:
    return PluginRef("hook", name, f"{name}_module", f"vssl-plugin-{name}", "1.0", "installed")


def row() -> Row:
    given: dict[str, Any] = {"seed": 0, "primary": True, "value": 1.0, "num_videos": 1, "coverage": 1.0}
    given |= {"deterministic": True, "cost": COST}
    missing = {
        name: "x" for name, field in Row.model_fields.items() if field.is_required() and name not in given
    }
    return Row(**given, **missing)


class Recorder:
    """Notes every event, and spoils what it is given."""

    def __init__(self) -> None:
        self.seen: list[tuple[Any, ...]] = []

    @hookimpl
    def vssl_run_start(self, run: RunInfo) -> None:
        self.seen.append(("start", run))

    @hookimpl
    def vssl_step_end(self, step: int, metrics: dict[str, float]) -> None:
        self.seen.append(("step", step, dict(metrics)))
        metrics.clear()

    @hookimpl
    def vssl_checkpoint_saved(self, path: Path) -> None:
        self.seen.append(("checkpoint", path))

    @hookimpl
    def vssl_result(self, row: Row) -> None:
        self.seen.append(("result", row.cost.unsupported_ops.copy()))
        row.cost.unsupported_ops.clear()

    @hookimpl
    def vssl_run_end(self, error: BaseException | None) -> None:
        self.seen.append(("end", error))


def raising(event: str) -> object:
    class Raising:
        pass

    def fail(run: RunInfo) -> None:
        raise ValueError("on purpose")

    setattr(Raising, event, staticmethod(hookimpl(fail)))
    return Raising()


def test_there_are_five_events() -> None:
    assert EVENTS == (
        "vssl_run_start",
        "vssl_step_end",
        "vssl_checkpoint_saved",
        "vssl_result",
        "vssl_run_end",
    )


def test_every_hook_gets_every_event_and_copies_of_what_it_could_change() -> None:
    first, second = Recorder(), Recorder()
    loaded = Hooks({ref("a"): first, ref("b"): second})
    metrics, result = {"loss": 1.0}, row()
    loaded.run_start(RUN)
    loaded.step_end(RUN, 3, metrics)
    loaded.checkpoint_saved(RUN, Path("x"))
    loaded.result(RUN, result)
    loaded.run_end(RUN)
    expected = [
        ("start", RUN),
        ("step", 3, {"loss": 1.0}),
        ("checkpoint", Path("x")),
        ("result", {"a": 1}),
        ("end", None),
    ]
    assert first.seen == second.seen == expected
    assert metrics == {"loss": 1.0}
    assert result.cost.unsupported_ops == {"a": 1}


def test_the_run_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        RUN.seed = 1  # type: ignore[misc]


@pytest.mark.parametrize("event", ["vssl_run_start", "vssl_step_end", "vssl_run_end"])
def test_a_raising_hook_is_named(event: str) -> None:
    loaded = Hooks({ref("bad"): raising(event)})

    def run() -> None:
        loaded.run_start(RUN)
        loaded.step_end(RUN, 0, {})
        loaded.run_end(RUN)

    with pytest.raises(HookError) as caught:
        run()
    for part in (
        "vssl-plugin-bad 1.0",
        event,
        "ValueError: on purpose",
        "--no-plugin bad",
        "VSSL_DISABLE_PLUGINS",
    ):
        assert part in str(caught.value)
    assert isinstance(caught.value.__cause__, ValueError)


def test_the_end_reaches_all_hooks_and_never_hides_the_error_of_the_run() -> None:
    recorder, error = Recorder(), RuntimeError("of the run")
    loaded = Hooks({ref("bad"): raising("vssl_run_end"), ref("good"): recorder})
    loaded.run_end(RUN, error)
    assert recorder.seen == [("end", error)]
    assert any("vssl-plugin-bad" in note for note in error.__notes__)
    with pytest.raises(HookError, match="vssl-plugin-bad"):
        loaded.run_end(RUN)
    assert recorder.seen[1:] == [("end", None)]


def marked(name: str, function: Any) -> SimpleNamespace:
    return SimpleNamespace(**{name: hookimpl(function)})


@pytest.mark.parametrize(
    ("plugin", "reason"),
    [
        (marked("vssl_run_strat", lambda run: None), "vssl_run_strat"),
        (SimpleNamespace(vssl_step_ends=lambda run: None), "is no event. Did you mean 'vssl_step_end'"),
        (SimpleNamespace(vssl_step_end=lambda run: None), "vssl_step_end is not marked @hookimpl"),
        (marked("vssl_run_start", lambda run, loss: None), "loss"),
        (SimpleNamespace(), "it has none of vssl_run_start"),
        (Recorder, "got a class"),
    ],
)
def test_what_is_no_hook_is_refused(plugin: object, reason: str) -> None:
    with pytest.raises(PluginLoadError) as caught:
        hooks.check_hook(ref("odd"), plugin)
    assert reason in str(caught.value)
    assert "vssl-plugin-odd" in str(caught.value)


# -------------------------------------------------------------------------------------------- installed

GOOD = """
from vssl_core.hooks import hookimpl

seen = []


@hookimpl
def vssl_run_start(run):
    seen.append(run.task)
"""


def with_hooks(site: Path) -> None:
    install(site, "vssl-plugin-good", "[vssl.hooks]\ngood = good_hook\n", modules={"good_hook.py": GOOD})
    install(
        site,
        "vssl-plugin-bad",
        "[vssl.hooks]\nbad = bad_hook\n",
        modules={"bad_hook.py": "raise RuntimeError(1)"},
    )
    source = GOOD.replace("run_start", "run_begin")
    install(site, "vssl-plugin-odd", "[vssl.hooks]\nodd = odd_hook\n", modules={"odd_hook.py": source})


def test_broken_hooks_are_left_out_and_reported(site: Path) -> None:
    with_hooks(site)
    loaded = load_hooks(environ={})
    assert [ref.name for ref in loaded.refs] == ["good"]
    assert len(loaded.problems) == 2
    assert "vssl-plugin-bad 1.0" in loaded.problems[0]
    assert "vssl_run_begin" in loaded.problems[1]
    loaded.run_start(RUN)
    import good_hook  # type: ignore[import-not-found]

    assert good_hook.seen == ["vcop"]


@pytest.mark.parametrize("name", ["good", "vssl-plugin-good", "vssl-plugin-good:good"])
def test_a_hook_can_be_left_out(site: Path, name: str) -> None:
    with_hooks(site)
    assert load_hooks(disabled=[name, "bad", "odd"], environ={}).refs == ()
    assert [ref.name for ref in hooks.selected_hooks(disabled=["bad", "odd"], environ={})] == ["good"]


def test_all_hooks_can_be_left_out(site: Path) -> None:
    with_hooks(site)
    off = load_hooks(environ={"VSSL_DISABLE_PLUGINS": "1"})
    assert off.refs == off.problems == ()
    assert load_hooks(environ={"VSSL_DISABLE_PLUGINS": "0"}).refs != ()


def test_leaving_out_what_is_not_there_is_wrong_usage(site: Path) -> None:
    with_hooks(site)
    with pytest.raises(UnknownNameError, match="Did you mean 'good'"):
        load_hooks(disabled=["goood"], environ={})
