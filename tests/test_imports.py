"""Who may import whom (DESIGN I1), read from the source of every module."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CORE = ROOT / "vssl_core"
PLUGINS = ROOT / "plugins" / "vssl_plugins"

# From the bottom to the top; a module imports from its own layer and from those below it. A new module
# of the core needs a place here. `vssl_core` itself is the list of public names, for those outside.
LAYERS = [
    set(names.split())
    for names in (
        """types errors seeding global_seeds files documents digests rows cells curve lease cache_dir
        interrupt monitors statistics options stored_options progress units terminal _meter _bars outcomes
        examples""",
        """interfaces augmentation video protocol registry hooks store checkpoint sampling momentum
        distributed budget draws optim precision probe cost metrics views data ledger overlap strips
        similarity weights instantiate classifier corruption corrupted fingerprint packing parity aggregates
        paper findings showcase""",
        "pretrain evaluate report",
        """bench planning run_cell evaluate_cell run_plan studies opening evaluate_backbone controls testing
        export corrupted_copy verification""",
        "cli",
    )
]


def module_name(file: Path, top: Path) -> str:
    parts = file.relative_to(top.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def sources(top: Path) -> dict[str, Path]:
    return {module_name(file, top): file for file in sorted(top.rglob("*.py"))}


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def import_statements(tree: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Every import, also inside functions, except those for the type checker alone."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif not is_type_checking(node):
            yield from import_statements(node)


def imports(file: Path) -> set[tuple[str, str | None]]:
    """(module, name) of each `from module import name`, (module, None) of each `import module`."""
    found: set[tuple[str, str | None]] = set()
    for node in import_statements(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {(alias.name, None) for alias in node.names}
        else:
            assert node.level == 0, f"{file}: relative imports are not used here"
            found |= {(node.module or "", alias.name) for alias in node.names}
    return found


def core_imports(file: Path, core: dict[str, Path]) -> set[str]:
    """Modules of the core that a file imports; `from vssl_core import registry` means the module."""
    found = set()
    for module, name in imports(file):
        if module.split(".")[0] == "vssl_core":
            inner = f"{module}.{name}"
            found.add(inner if inner in core else module)
    return found


def public_names(file: Path) -> set[str]:
    """The literal `__all__` of a module."""
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and any(
            isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets
        ):
            return set(ast.literal_eval(node.value))
    return set()


CORE_SOURCES = sources(CORE)
EXAMPLE_SOURCES = {
    name: file
    for package in sorted(ROOT.glob("examples/*/src/vssl_plugin_*"))
    for name, file in sources(package).items()
}
PLUGIN_SOURCES = sources(PLUGINS) | EXAMPLE_SOURCES


def layer(module: str) -> int:
    part = module.split(".")[1]
    places = [number for number, parts in enumerate(LAYERS) if part in parts]
    assert len(places) == 1, f"{module} needs one place in LAYERS"
    return places[0]


@pytest.mark.parametrize("module", CORE_SOURCES)
def test_the_core_never_imports_a_plugin(module: str) -> None:
    assert not [
        name for name, _ in imports(CORE_SOURCES[module]) if name.split(".")[0] in ("vssl_plugins", "plugins")
    ]


@pytest.mark.parametrize("module", [name for name in CORE_SOURCES if "." in name])
def test_imports_inside_the_core_run_one_way(module: str) -> None:
    for imported in core_imports(CORE_SOURCES[module], CORE_SOURCES):
        assert imported != "vssl_core", (
            f"{module} takes a name from the root; import it from where it is defined"
        )
        assert layer(imported) <= layer(module), f"{module} imports {imported}, which lies above it"


def test_no_module_of_the_core_imports_itself_in_a_circle() -> None:
    graph = {module: core_imports(file, CORE_SOURCES) - {module} for module, file in CORE_SOURCES.items()}
    TopologicalSorter(graph).prepare()


@pytest.mark.parametrize("module", PLUGIN_SOURCES)
def test_plugins_import_only_public_names_of_the_core(module: str) -> None:
    for imported, name in imports(PLUGIN_SOURCES[module]):
        if imported.split(".")[0] != "vssl_core":
            continue
        inner = imported if name is None or f"{imported}.{name}" not in CORE_SOURCES else f"{imported}.{name}"
        assert not any(part.startswith("_") for part in inner.split(".")), f"{module} imports {inner}"
        if name is not None and inner == imported:
            assert name in public_names(CORE_SOURCES[imported]), f"{name} is no public name of {imported}"


@pytest.mark.parametrize("module", PLUGIN_SOURCES)
def test_no_plugin_imports_the_command(module: str) -> None:
    allowed = layer("vssl_core.evaluate")
    for imported in core_imports(PLUGIN_SOURCES[module], CORE_SOURCES) - {"vssl_core"}:
        assert layer(imported) <= allowed, f"{module} imports {imported}, which runs plugins"


@pytest.mark.parametrize("module", EXAMPLE_SOURCES)
def test_packages_of_the_examples_import_no_built_in(module: str) -> None:
    assert not [name for name, _ in imports(EXAMPLE_SOURCES[module]) if name.split(".")[0] == "vssl_plugins"]
