"""`vssl plugins`: what is listed and shown, and what is imported for it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from command_line import vssl
from fake_distributions import evaluator, install

from vssl_core import cli


def listed(path: Path, *arguments: str) -> dict[tuple[str, str, str], dict[str, str]]:
    result = vssl("plugins", "list", "--json", *arguments, path=path)
    assert result.returncode == 0
    return {(row["kind"], row["distribution"], row["name"]): row for row in json.loads(result.stdout)}


def test_list_flags_conflicts_without_importing(crowded: Path) -> None:
    rows = listed(crowded)
    assert {row["status"] for row in rows.values()} == {"found"}
    assert "a built-in has this name" in rows["evaluator", "vssl-plugin-good", "linear"]["note"]
    assert "write vssl-plugin-clash:score" in rows["evaluator", "vssl-plugin-clash", "score"]["note"]
    assert rows["evaluator", "vssl", "linear"] == {
        "kind": "evaluator",
        "name": "linear",
        "distribution": "vssl",
        "version": rows["evaluator", "vssl", "linear"]["version"],
        "origin": "built-in",
        "target": "vssl_plugins.evaluators.linear:Linear",
        "status": "found",
        "note": "",
    }


def test_list_with_load_shows_what_is_broken_and_why(crowded: Path) -> None:
    rows = listed(crowded, "--load")
    assert rows["evaluator", "vssl-plugin-good", "score"]["status"] == "ok"
    assert rows["evaluator", "vssl-plugin-bad", "bad"]["status"] == "broken"
    assert "RuntimeError: on purpose" in rows["evaluator", "vssl-plugin-bad", "bad"]["note"]
    assert rows["hook", "vssl-plugin-bad", "bad_hook"]["status"] == "broken"


def test_list_can_be_of_one_kind(crowded: Path) -> None:
    assert {kind for kind, _, _ in listed(crowded, "--kind", "hook")} == {"hook"}


def test_list_for_people_is_one_line_each_and_reports_unreadable_metadata(crowded: Path) -> None:
    install(crowded, "vssl-plugin-garbled", "[vssl.tasks]\nno equals sign\n")
    result = vssl("plugins", "list", "--kind", "evaluator", path=crowded)
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["KIND", "NAME", "DISTRIBUTION", "VERSION", "ORIGIN", "STATUS"]
    assert {line.split()[0] for line in lines[1:]} == {"evaluator"}
    assert "vssl_plugin_garbled" in result.stderr


OPTIONS = '''
    class Options(Options):
        """Options of it."""
        width: int = 3
        """How wide; one | two."""
    api_version = 1
    paper = "https://example.org/paper"
    levels = {1: {"width": 2}, 2: {"width": 4}}
'''


@pytest.fixture
def documented(site: Path) -> Path:
    source = evaluator(body='"""Scores nothing.\n\n    At length."""\n' + OPTIONS)
    modules = {"plugin_a.py": source}
    install(site, "vssl-plugin-a", "[vssl.evaluators]\nscore = plugin_a:Score\n", modules=modules)
    return site


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert cli.main(["plugins", "show", *arguments]) == 0
    return capsys.readouterr().out


def test_show_for_programs(documented: Path, capsys: pytest.CaptureFixture[str]) -> None:
    del documented
    found = json.loads(shown(capsys, "evaluator", "score", "--format", "json"))
    assert found["text"] == "Scores nothing.\n\nAt length."
    assert found["paper"] == "https://example.org/paper"
    assert found["options"] == [
        {"name": "width", "type": "an integer", "default": "3", "description": "How wide; one | two."}
    ]
    assert re.search(r"plugin_a\.py:\d+$", found["source"])


def test_show_for_documentation_holds_no_path(documented: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = shown(capsys, "evaluator", "score", "--format", "md")
    assert page.startswith("### `score`\n\nScores nothing.")
    assert "- paper: https://example.org/paper\n\n" in page
    assert "| level | options |\n| --- | --- |\n| 1 | `width=2` |\n| 2 | `width=4` |\n\n" in page
    assert "| `width` | an integer | `3` | How wide; one \\| two. |" in page
    assert str(documented) not in page


def test_show_for_people_cuts_nothing_off(
    documented: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    del documented
    monkeypatch.setenv("COLUMNS", "30")
    assert "https://example.org/paper" in "".join(shown(capsys, "evaluator", "score").split())
    monkeypatch.setenv("COLUMNS", "120")
    text = shown(capsys, "evaluator", "score")
    for part in (
        "evaluator score",
        "Scores nothing.",
        "vssl-plugin-a 1.0 (installed)",
        "width",
        "an integer",
    ):
        assert part in text


def test_show_takes_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.py").write_text(evaluator(body="pass"))
    assert "Score" in shown(capsys, "evaluator", f"{tmp_path}/mine.py:Score")


def test_show_takes_a_hook(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = '"""Watches."""\nfrom vssl_core.hooks import hookimpl\n@hookimpl\ndef vssl_run_start(run): ...\n'
    modules = {"watching.py": source}
    install(site, "vssl-plugin-h", "[vssl.hooks]\nwatch = watching\n", modules=modules)
    found = json.loads(shown(capsys, "hook", "watch", "--format", "json"))
    assert (found["text"], found["events"]) == ("Watches.", ["vssl_run_start"])


# ------------------------------------------------------------------------------- costs and companions

TASK = """
import torch
from torch import nn
from vssl_core import PretextTask, Sampled, TaskOutput, UniformClip
from vssl_core.augmentation import RandomCrop, ViewAugmentation


class Mine(PretextTask):
    \'\'\'Predicts its own noise.\'\'\'
    api_version = 1
    requires = frozenset({needs})

    @classmethod
    def sampler(cls, options, clip):
        return UniformClip(clip, "a")

    @classmethod
    def augmentation(cls, options, clip):
        return {{"a": ViewAugmentation((RandomCrop(),)), "b": ViewAugmentation((RandomCrop(),), frames="a")}}

    def __init__(self, make_backbone, options, context):
        super().__init__(make_backbone, options, context)
        self.backbone = make_backbone()
        self.twin = make_backbone().requires_grad_(False)
        self.head = nn.Linear(self.backbone.embed_dim, 10, bias=False)

    def forward(self, views, info):
        {forward}
"""
FORWARD = """loss = self.head(self.backbone(views["a"])).square().mean()
        return TaskOutput(loss + (self.backbone(views["b"]).mean() - self.twin(views["b"]).mean()) ** 2)"""
BACKBONE = """
from torch import nn
from vssl_core import Backbone


class Net(Backbone):
    \'\'\'One convolution.\'\'\'
    api_version = 1
    provides = frozenset({provides})

    def __init__(self, options, clip):
        super().__init__(options, clip)
        self.embed_dim = 5
        self.conv = nn.Conv3d(3, 5, 3, padding=1, bias=False)

    def forward_features(self, video_BCTHW):
        return self.conv(video_BCTHW)

    def stages(self):
        return {{"conv": self.conv}}
"""


@pytest.fixture
def companions(site: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from vssl_core.cli import relations

    monkeypatch.setattr(relations, "_IMPORT_SECONDS", 2.0)
    install(
        site,
        "vssl-plugin-companions",
        "[vssl.tasks]\nmine = comp_task:Mine\npicky = comp_picky:Mine\nill = comp_ill:Mine\n"
        "[vssl.backbones]\nnet = comp_net:Net\nspecial = comp_special:Net\n"
        "hangs = comp_hangs:Net\nraises = comp_raises:Net\nr2plus1d = comp_net:Net\n",
        modules={
            "comp_task.py": TASK.format(needs={"feature_map"}, forward=FORWARD),
            "comp_picky.py": TASK.format(needs={"special"}, forward=FORWARD),
            "comp_ill.py": TASK.format(needs={"feature_map"}, forward="raise ValueError('I am ill')"),
            "comp_net.py": BACKBONE.format(provides={"feature_map"}),
            "comp_special.py": BACKBONE.format(provides={"feature_map", "special"}),
            "comp_hangs.py": "import time\ntime.sleep(600)\n",
            "comp_raises.py": "raise RuntimeError\n",
        },
    )
    return site


def test_the_cost_of_a_task_is_counted(companions: Path, capsys: pytest.CaptureFixture[str]) -> None:
    del companions
    arguments = ("task", "mine", "--format", "json", "--backbone", "net", "--protocol", "smoke")
    found = json.loads(shown(capsys, *arguments))
    cost = found["cost"]
    voxels, weights = 4 * 32 * 32, 5 * 3 * 27
    passes = 2 * 2 + 1  # two views forward and backward (no gradient of the input), one forward in the twin
    flops = 2 * voxels * weights * passes + 3 * 2 * 5 * 10
    assert cost["step_gflops_per_video"] == pytest.approx(flops / 1e9, rel=1e-3)
    assert (cost["clip"], cost["backbone"]) == ("4 x 32 x 32", "net")
    assert (cost["views_per_video"], cost["frames_per_video"]) == (2, 4.0)
    assert cost["parameters_of_backbone"] == weights
    assert cost["parameters_beside_it"] == weights + 50
    assert cost["parameters_trained"] == weights + 50
    assert found["backbones"]["unknown"] == ["hangs", "raises"]
    compatible = set(found["backbones"]["compatible"])
    assert {"net", "special", "shufflenet", "r2plus1d", "vssl-plugin-companions:r2plus1d"} <= compatible


def test_a_page_about_a_task_is_the_same_each_time_and_wherever_it_is_made(
    companions: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del companions
    first, second = (shown(capsys, "task", "vcop", "--format", "md") for _ in range(2))
    assert first == second
    assert "shufflenet" in first
    assert "net, special" not in first
    assert "| clip | 8 x 48 x 48 |" in first
    assert "| backbone | shufflenet |" in first


def test_what_a_task_requires_decides_about_its_backbones(
    companions: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del companions
    text = shown(capsys, "task", "picky", "--no-cost")
    assert re.search(r"compatible backbones +special *\n", text)
    assert "GFLOPs" not in text
    page = shown(capsys, "task", "picky", "--format", "md")
    assert "| unknown | no built-in backbone provides special; name one with --backbone |" in page
    assert cli.main(["plugins", "show", "task", "picky", "--backbone", "net"]) == 2
    assert "requires special" in capsys.readouterr().err


def test_a_cost_that_cannot_be_counted_is_said_and_the_rest_is_shown(
    companions: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del companions
    text = shown(capsys, "task", "ill", "--format", "md", "--backbone", "net")
    assert "| unknown | ValueError: I am ill |" in text
    assert "Predicts its own noise." in text


def test_the_cost_of_a_backbone_is_counted(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "backbone", "r2plus1d", "--format", "md", "--protocol", "smoke")
    assert "| parameters | 14,365,303 |" in text
    assert "| embed dim | 512 |" in text
    assert re.search(r"\| GFLOPs per clip \| [\d.]+ \|", text)


def test_an_evaluator_has_no_cost(capsys: pytest.CaptureFixture[str]) -> None:
    assert "cost" not in json.loads(shown(capsys, "evaluator", "linear", "--format", "json"))


@pytest.mark.parametrize("kind", ["task", "backbone", "dataset", "evaluator", "corruption", "executor"])
def test_every_built_in_states_a_text_and_described_options(kind: str) -> None:
    from vssl_core.cli.describe import describe
    from vssl_core.registry import scan

    for ref in scan():
        if (ref.kind, ref.origin) == (kind, "built-in"):
            found = describe(ref)
            assert found.text, ref
            for option in found.options:
                assert option.description, f"{ref}: option {option.name} has no description"
                assert option.default != "required", f"{ref}: option {option.name} has no default"
