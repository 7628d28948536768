"""Messages that the page on trouble quotes are those that the source can print."""

from __future__ import annotations

import ast

import pytest
from pages import DOCS, ROOT, fences

QUOTED = [" ".join(fence.text.split()) for fence in fences(DOCS / "troubleshooting.md", "text")]
GAP = "…"


def templates() -> list[str]:
    """Every text of the source, with … for what is filled in."""
    found = []
    for top in ("vssl_core", "plugins"):
        for path in (ROOT / top).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.JoinedStr):
                    found.append("".join(_part(value) for value in node.values))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.append(" ".join(node.value.split()))
    return found


def _part(node: ast.expr) -> str:
    return str(node.value).replace("\n", " ") if isinstance(node, ast.Constant) else GAP


SOURCE = templates()


def is_printed(message: str) -> bool:
    """Whether some text has all the words of the message, in their order, with gaps where it has gaps."""
    words = [word for word in message.split(GAP) if word.strip()]
    assert max(map(len, words)) > 8, f"{message!r} quotes too little"
    for template in SOURCE:
        place = 0
        for word in words:
            found = template.find(word.strip(), place)
            if found < 0 or GAP in word:
                break
            place = found + len(word.strip())
        else:
            return True
    return False


@pytest.mark.parametrize("message", QUOTED)
def test_a_message_is_one_that_is_printed(message: str) -> None:
    assert is_printed(message)


def test_another_message_would_be_noticed() -> None:
    assert len(QUOTED) > 40
    assert not is_printed("the cache folder … cannot be found (…); set VSSL_CACHE.")
