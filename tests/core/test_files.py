"""Files appear whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from vssl_core.errors import SchemaError, StoreError
from vssl_core.files import atomic_file, canonical_json, read_json, write_json


def test_round_trip_and_no_leftovers(tmp_path: Path) -> None:
    write_json(tmp_path / "a" / "b.json", {"schema": 1, "ä": [1, None]})
    assert read_json(tmp_path / "a" / "b.json", schema=1) == {"schema": 1, "ä": [1, None]}
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["b.json"]


def test_error_inside_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"old")

    def interrupted() -> None:
        with atomic_file(path) as file:
            file.write(b"new")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        interrupted()
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_full_disk_is_named_and_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.json"
    write_json(path, 1)

    def full(fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="no space left"):
        write_json(path, 2)
    assert read_json(path) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


@pytest.mark.parametrize(("text", "match"), [("{", "not valid JSON"), ("\xff", "not valid JSON")])
def test_damaged_json(tmp_path: Path, text: str, match: str) -> None:
    (tmp_path / "x").write_bytes(text.encode("latin-1"))
    with pytest.raises(StoreError, match=match):
        read_json(tmp_path / "x")


@pytest.mark.parametrize("document", [{"schema": 9}, {"schema": "1"}, {}, []])
def test_newer_or_unknown_schema_is_refused(tmp_path: Path, document: object) -> None:
    write_json(tmp_path / "x", document)
    with pytest.raises(SchemaError, match="understands up to 1"):
        read_json(tmp_path / "x", schema=1)


def test_canonical_json_ignores_the_order_of_keys() -> None:
    assert canonical_json({"b": 1, "a": 2.0}) == canonical_json({"a": 2.0, "b": 1}) == '{"a":2.0,"b":1}'
    with pytest.raises(ValueError, match="JSON"):
        canonical_json(float("nan"))
