"""The pages as their readers see them: fences, inline code, commands."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
WRITTEN = sorted(DOCS.glob("*.md"))
EVERY = [*WRITTEN, ROOT / "README.md", ROOT / "CONTRIBUTING.md"]


@dataclass(frozen=True)
class Fence:
    """A block of code; `kind` is its class where it has one (`bench`: shown, not run)."""

    page: Path
    line: int
    language: str
    kind: str
    text: str


def fences(page: Path, language: str) -> list[Fence]:
    """The blocks of one language, in order."""
    found = []
    for token in _tokens(page):
        words = token.info.split()
        if token.type != "fence" or not words or words[-1] != language:
            continue
        option = re.match(r":class: (\w+)\n\n", token.content)
        text = token.content[option.end() :] if option else token.content
        line = token.map[0] + 1 + (2 if option else 0)
        found.append(Fence(page, line, language, option[1] if option else "", text))
    return found


def inline_code(page: Path) -> list[str]:
    """What stands in single quotes of code."""
    parts = [part for token in _tokens(page) for part in token.children or ()]
    return [" ".join(part.content.split()) for part in parts if part.type == "code_inline"]


def _tokens(page: Path) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8"))


def commands(page: Path) -> list[list[str]]:
    """Every command that the page shows, as words: in blocks of shell, and inline ones of `vssl`."""
    lines = [line for fence in fences(page, "sh") for line in fence.text.splitlines()]
    lines += [code for code in inline_code(page) if code.startswith("vssl ")]
    return [words for line in lines for words in _split(line) if words]


def _split(line: str) -> Iterator[list[str]]:
    words: list[str] = []
    for word in shlex.split(line, comments=True):
        if word == "&&":
            yield words
            words = []
        elif words or not re.fullmatch(r"[A-Z_]+=\S*", word):  # variables before a command
            words.append(word)
    yield words
