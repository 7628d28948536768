"""A hundred distributions, with broken, clashing and hanging ones among them: the others keep working."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from fake_distributions import evaluator, install

from vssl_core import cli
from vssl_core.cli import bench

TINY = f"{Path(__file__).resolve().parents[1] / 'tiny_dataset.py'}:Tiny"
BAD = {
    "raises": "raise RuntimeError('on purpose')\n",
    "hangs": "import time\ntime.sleep(600)\n",
    "spins": "while True:\n    pass\n",
    "exits": "import os\nos._exit(7)\n",
    "quits": "import sys\nsys.exit(1)\n",
    "dies": "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n",
    "newer": evaluator(body="api_version = 2"),
    "empty": "",
}
HOOK = (
    "from vssl_core.hooks import hookimpl\n@hookimpl\ndef vssl_run_start(run): print('I watch', run.task)\n"
)


@pytest.fixture
def crowd(site: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As many as real distributions could be, in every state."""
    monkeypatch.setenv("PYTHONPATH", str(site))
    for number in range(86):
        entry = f"[vssl.evaluators]\nscore_{number} = crowd_{number}:Score\n"
        install(site, f"vssl-plugin-{number}", entry, modules={f"crowd_{number}.py": evaluator()})
    for word, source in BAD.items():
        entry = f"[vssl.evaluators]\n{word} = crowd_{word}:Score\n"
        install(site, f"vssl-plugin-{word}", entry, modules={f"crowd_{word}.py": source})
    for word in ("one", "two"):
        install(site, f"vssl-plugin-{word}", "[vssl.evaluators]\ntwin = crowd_0:Score\n")
    install(site, "vssl-plugin-shadow", "[vssl.evaluators]\nretrieval = crowd_0:Score\n")
    for word, source in (("hook-ok", HOOK), ("hook-hangs", BAD["hangs"]), ("hook-exits", BAD["exits"])):
        module = f"crowd_{word.replace('-', '_')}"
        entry = f"[vssl.hooks]\n{word.replace('-', '_')} = {module}\n"
        install(site, f"vssl-plugin-{word}", entry, modules={f"{module}.py": source})
    assert len(list(site.glob("*.dist-info"))) == 100
    return site


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = cli.main(list(arguments))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def by_name(text: str) -> dict[str, dict[str, Any]]:
    rows = json.loads(text)
    return {f"{row['distribution']}:{row['name']}": row for row in rows}


def test_list_imports_none_of_them(crowd: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Torch itself fails to be imported beside such a file, so it stands here alone.
    install(crowd, "vssl-plugin-garbled", "[vssl.tasks]\nno equals sign\n")
    code, out, err = run(capsys, "plugins", "list", "--json")
    rows = by_name(out)
    assert code == 0
    assert {row["status"] for row in rows.values()} == {"found"}
    assert "vssl_plugin_garbled" in err
    assert "vssl-plugin-two:twin" in rows["vssl-plugin-two:twin"]["note"]
    assert "a built-in has this name" in rows["vssl-plugin-shadow:retrieval"]["note"]
    assert not [name for name in sys.modules if name.startswith("crowd_")]


def test_list_with_load_says_of_each_whether_it_can_be_used(
    crowd: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del crowd
    code, out, _ = run(capsys, "plugins", "list", "--json", "--load", "--kind", "evaluator", "--timeout", "5")
    rows = by_name(out)
    assert code == 0
    broken = {key.partition(":")[2]: row["note"] for key, row in rows.items() if row["status"] == "broken"}
    assert set(broken) == set(BAD)
    assert "did not end within 5 s" in broken["hangs"]
    assert "exit code 7" in broken["exits"]
    assert "SIGSEGV" in broken["dies"]
    assert Counter(row["status"] for row in rows.values() if row["name"].startswith("score_")) == {"ok": 86}
    assert not [name for name in sys.modules if name.startswith("crowd_")]


def test_others_are_shown_and_checked(crowd: Path, capsys: pytest.CaptureFixture[str]) -> None:
    del crowd
    assert run(capsys, "plugins", "show", "evaluator", "score_3")[0] == 0
    assert run(capsys, "plugins", "show", "task", "vcop", "--no-cost")[0] == 0
    only = ("--only", "check_options_have_defaults")
    assert run(capsys, "plugins", "check", "score_3", *only)[0] == 0
    assert run(capsys, "plugins", "check", "vssl-plugin-one:twin", *only)[0] == 0
    code, _, err = run(capsys, "plugins", "check", "twin")
    assert code == 2
    assert "write vssl-plugin-one:twin or vssl-plugin-two:twin" in err
    code, out, _ = run(capsys, "plugins", "check", "hook_hangs", "--timeout", "1")
    assert code == 1
    assert "did not end within 1 s" in out


def test_a_bench_of_others_runs(
    crowd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    del crowd
    monkeypatch.setattr(bench, "_HOOK_SECONDS", 2.0)
    arguments = ["--pretrain", TINY, "--target", TINY, "--eval", "score_7", "--eval", "retrieval"]
    begin = time.monotonic()
    code = cli.main(
        [
            "bench",
            "--task",
            "rotnet",
            "--protocol",
            "smoke",
            "--no-controls",
            "--runs",
            str(tmp_path),
            *arguments,
        ]
    )
    out, err = capfd.readouterr()
    assert code == 0, err
    assert time.monotonic() - begin < 600  # nothing slept to its end
    assert "constant" in out
    assert "R@1" in out
    assert "hook 'hook_hangs' of vssl-plugin-hook-hangs 1.0" in err
    assert "hook 'hook_exits' of vssl-plugin-hook-exits 1.0" in err
    assert "exit code 7" in err
    assert "I watch rotnet" in err
