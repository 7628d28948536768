"""Files that matter are written whole or not at all: temporary file, fsync, rename."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from vssl_core.errors import SchemaError, StoreError

__all__ = [
    "atomic_file",
    "atomic_path",
    "canonical_json",
    "content_sha256",
    "file_sha256",
    "json_bytes",
    "read_json",
    "write_bytes",
    "write_json",
]


def file_sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's content. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file, or of all files below a folder: their names there and what they hold.

    Hidden files and folders (`.cache`, `.git`) do not count. Raises OSError.
    """
    if not path.is_dir():
        return file_sha256(path)
    files = [
        file.relative_to(path)
        for file in path.rglob("*")
        if file.is_file() and not any(part.startswith(".") for part in file.relative_to(path).parts)
    ]
    found = [[file.as_posix(), file_sha256(path / file)] for file in sorted(files)]
    return hashlib.sha256(canonical_json(found).encode()).hexdigest()


def canonical_json(value: Any) -> str:
    """The one spelling of a JSON value: sorted keys, no spaces. What digests are made of."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Write a file that appears under its name only when it is whole and on disk.

    Raises:
        StoreError: The folder cannot be written or the disk is full; nothing appears under `path`.
    """
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
        temporary = None
    except OSError as error:
        raise StoreError(_why(path, error)) from error
    finally:
        if temporary is not None:
            with suppress(OSError):
                Path(temporary).unlink()


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """The name of a temporary file for a library that writes by name; it becomes `path` when it is on disk.

    Raises:
        StoreError: As `atomic_file`.
    """
    temporary = path.with_name(f".{path.stem}.{os.getpid()}-{secrets.token_hex(4)}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise StoreError(_why(path, error)) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def _why(path: Path, error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"no space left to write {str(path)!r}; the previous version, if any, is intact. "
            "Free some space and run the same command again: it goes on where it was."
        )
    return f"cannot write {str(path)!r}: {error.strerror or error}. Check the folder's permissions."


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` atomically."""
    with atomic_file(path) as file:
        file.write(content)


def json_bytes(value: Any) -> bytes:
    """What `write_json` writes: readable, with sorted keys."""
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode()


def write_json(path: Path, value: Any) -> None:
    """Write `value` as readable JSON, atomically."""
    write_bytes(path, json_bytes(value))


def read_json(path: Path, *, schema: int | None = None) -> Any:
    """Read a JSON file.

    Args:
        path: The file.
        schema: The newest value of the file's `schema` field that this version understands.

    Raises:
        StoreError: The file cannot be read or is not JSON.
        SchemaError: Its schema is newer than `schema`.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StoreError(f"cannot read {str(path)!r}: {error.strerror or error}.") from error
    except ValueError as error:
        raise StoreError(
            f"{str(path)!r} is not valid JSON ({error}); remove it to have it made again."
        ) from error
    if schema is not None:
        found = value.get("schema") if isinstance(value, dict) else None
        if not isinstance(found, int) or found > schema:
            raise SchemaError(
                f"{str(path)!r} has schema {found!r}; this vssl understands up to {schema}. "
                "Use the vssl version that wrote it, or another run folder."
            )
    return value
