"""A new component's project from the templates beside this module, written whole or not at all."""

from __future__ import annotations

import ast
import builtins
import keyword
import os
import shutil
from collections.abc import Mapping
from importlib import metadata, resources
from pathlib import Path
from string import Template

from vssl_core.errors import StoreError, UsageError
from vssl_core.registry import GROUPS, NAME_PATTERN, Kind, scan

__all__ = ["check_name", "distribution_name", "project_files", "requirement", "write_project"]

_LONGEST = 28  # a class of one word as long as that fits into every line of the templates
_PREFIX = "vssl-plugin-"
_FILES = {
    ".ci/run": "ci_run.txt",
    ".github/workflows/ci.yml": "ci_workflow.txt",
    ".gitignore": "gitignore.txt",
    "LICENSE": "license.txt",
    "README.md": "readme.txt",
    "pyproject.toml": "pyproject.toml.txt",
}
_FILES_OF_KIND = {
    "src/{package}/__init__.py": "module.txt",
    "tests/little_videos.py": "little_videos.txt",
    "tests/test_behaviour.py": "test_behaviour.txt",
    "tests/test_contract.py": "test_contract.txt",
}
_SUMMARIES: Mapping[Kind, str] = {
    "task": "Pace prediction: at which of several speeds is a clip played?",
    "backbone": "A small residual 3D network for clips.",
    "dataset": "Labelled videos in a folder, listed in a CSV table.",
    "evaluator": "Few-shot accuracy: the class with the nearest mean of a few videos.",
    "corruption": "Pixelated video: every block of pixels shows its mean colour.",
    "executor": "Runs cells one after the other, each with a log.",
    "hook": "Writes what every step of pretraining logs to a CSV file beside the cell.",
}
_RUNS: Mapping[Kind, str] = {
    "task": "vssl bench --task $name --protocol smoke",
    "backbone": "vssl bench --task vcop --backbone $name --protocol smoke",
    "dataset": "vssl bench --task vcop --protocol smoke --target $name -o target.root=little_videos",
    "evaluator": "vssl bench --task vcop --protocol smoke --eval $name",
    "corruption": "vssl bench --task vcop --protocol smoke --eval noise "
    "-o 'eval/noise.corruptions=[\"$name\"]'",
    "executor": "vssl bench --task vcop --protocol smoke --executor $name",
    "hook": "vssl bench --task vcop --protocol smoke",
}
_CHECK = "vssl plugins check ."
_CHECK_VIDEOS = "python tests/little_videos.py {0}\nvssl plugins check . -o root={0}"
_CONTRACT = """\
`api_version = 1` is the version of vssl's contract that the code is written for. Keep the number: a vssl of
another version then says so instead of failing somewhere. The whole contract is one page,
`vssl_core/interfaces.py`."""
_HOOK_CONTRACT = "The whole contract is one page, `vssl_core/hooks.py`."


def check_name(kind: Kind, name: str) -> None:
    """Raise UsageError unless a new component may be called so."""
    if name.startswith((_PREFIX, "vssl_plugin_")):
        short = name.removeprefix(_PREFIX).removeprefix("vssl_plugin_")
        raise UsageError(f"give the component's name alone, such as {short!r}; got {name!r}.")
    if not NAME_PATTERN.fullmatch(name) or len(name) > _LONGEST:
        raise UsageError(
            f"expected a name of at most {_LONGEST} lower-case letters, digits and single underscores that "
            f"begins with a letter, such as 'clip_speed'; got {name!r}."
        )
    for ref in scan():
        if (ref.kind, ref.name, ref.origin) == (kind, name, "built-in"):
            raise UsageError(f"there is a built-in {kind} called {name!r}; choose another name.")
    taken = _identifiers(kind) | set(dir(builtins)) | set(keyword.kwlist)
    for word in (_class_name(name), name):
        if word in taken and (word != name or kind == "hook" or keyword.iskeyword(name)):
            raise UsageError(f"the name {name!r} would hide {word!r}, which Python or its module uses.")


def _identifiers(kind: Kind) -> set[str]:
    """Names that the template's module and its tests use, beside the component's own."""
    files = [f"{kind}/{file}" for file in _FILES_OF_KIND.values() if _exists(f"{kind}/{file}")]
    return set().union(*(_names(_template(file)) for file in files))


def _names(template: str) -> set[str]:
    values = {name: f"placeholder_{name}" for name in ("name", "cls", "package")}
    tree = ast.parse(Template(template).substitute(values))
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
    return names


def project_files(kind: Kind, name: str) -> dict[str, str]:
    """Path in the project → text, for a name that `check_name` has let pass."""
    package = f"vssl_plugin_{name}"
    values = {
        "name": name,
        "cls": _class_name(name),
        "package": package,
        "distribution": distribution_name(name),
        "kind": kind,
        "article": "an" if kind[0] in "aeiou" else "a",
        "group": GROUPS[kind],
        "target": f"{package}:{name if kind == 'hook' else _class_name(name)}",
        "requirement": requirement(),
        "summary": _SUMMARIES[kind],
        "check": _CHECK_VIDEOS.format("little_videos") if kind == "dataset" else _CHECK,
        "ci_check": _CHECK_VIDEOS.format('"$work/videos"') if kind == "dataset" else _CHECK,
        "contract": _HOOK_CONTRACT if kind == "hook" else _CONTRACT,
    }
    for key, text in (("run", _RUNS[kind]), ("fill_in", _template(f"{kind}/fill_in.txt").strip())):
        values[key] = Template(text).substitute(values)
    chosen = {path: _template(file) for path, file in _FILES.items()}
    chosen |= {
        path.format(package=package): _template(f"{kind}/{file}")
        for path, file in _FILES_OF_KIND.items()
        if _exists(f"{kind}/{file}")
    }
    return {path: Template(text).substitute(values) for path, text in chosen.items()}


def distribution_name(name: str) -> str:
    """What the distribution of a component is called."""
    return _PREFIX + name.replace("_", "-")


def requirement() -> str:
    """The versions of vssl that a plugin written now may be installed with."""
    major, minor = metadata.version("vssl").split(".")[:2]
    return f"vssl>={major}.{minor},<{int(major) + 1}"


def _class_name(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))


def _exists(file: str) -> bool:
    return (resources.files("vssl_core.cli") / "templates" / file).is_file()


def _template(file: str) -> str:
    return (resources.files("vssl_core.cli") / "templates" / file).read_text(encoding="utf-8")


def write_project(folder: Path, files: Mapping[str, str]) -> None:
    """Write a project's files into a folder that does not exist yet; after an error there is none.

    Raises:
        UsageError: The folder exists.
        StoreError: It cannot be written.
    """
    if folder.exists() or folder.is_symlink():
        raise UsageError(f"{str(folder)!r} exists already; give another --folder, or move it away.")
    staged = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        for path, text in files.items():
            file = staged / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8", newline="\n")
            if text.startswith("#!"):
                file.chmod(file.stat().st_mode | 0o111)
        staged.rename(folder)
    except OSError as error:
        raise StoreError(f"cannot write {str(folder)!r}: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(staged, ignore_errors=True)
