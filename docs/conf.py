"""Sphinx: Markdown pages (MyST), docstrings (autodoc), a theme that loads nothing from outside."""

from __future__ import annotations

import inspect
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from docstrings import to_rst

project = "vssl"
version = release = metadata.version("vssl")
copyright = "vssl contributors, Apache-2.0"  # noqa: A001  Sphinx's name

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
smartquotes_action = "D"  # dashes; quotes belong to values of options
exclude_patterns = ["_build"]
source_suffix = {".md": "markdown"}

myst_heading_anchors = 3
myst_enable_extensions = ["deflist"]

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
add_module_names = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100
napoleon_google_docstring = True
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = f"vssl {version}"
html_static_path = ["_static"]
html_css_files = ["vssl.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_search_summary = False  # a summary is fetched, which a browser refuses to a page opened as a file
html_last_updated_fmt = None


def _docstring(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    of_its_type = inspect.cleandoc(type(obj).__doc__ or "").splitlines()
    inherited = what == "data" and of_its_type and lines[: len(of_its_type)] == of_its_type
    lines[:] = [] if inherited else to_rst(lines)


def _signature(
    app: Any, what: str, name: str, obj: Any, options: Any, signature: str | None, returns: str | None
) -> tuple[str | None, str | None]:
    """A default that is no expression would keep the whole signature from being read."""
    return (signature.replace("<factory>", "...") if signature else signature), returns


def setup(app: Any) -> None:
    """Before napoleon, which reads Args and Raises."""
    app.connect("autodoc-process-docstring", _docstring, priority=400)
    app.connect("autodoc-process-signature", _signature)
