"""The digest of a safetensors file, as `checkpoint.weights_digest` makes it of a module, without torch."""

from __future__ import annotations

import hashlib
import json
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

__all__ = ["file_weights_digest"]

_TYPES = {
    "F64": ("float64", 8), "F32": ("float32", 4), "F16": ("float16", 2), "BF16": ("bfloat16", 2),
    "I64": ("int64", 8), "I32": ("int32", 4), "I16": ("int16", 2), "I8": ("int8", 1), "U8": ("uint8", 1),
    "BOOL": ("bool", 1),
}  # fmt: skip
_MOST_HEADER = 100_000_000  # the format's own limit
_CHUNK = 1 << 22


def file_weights_digest(path: Path) -> tuple[str, dict[str, Any]]:
    """SHA-256 over names, shapes and bytes of the tensors, and the file's metadata.

    Raises:
        ValueError: It is no safetensors file, or has more or fewer bytes than its header says.
        OSError: It cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        size = path.stat().st_size
        header, start = _header(file, size)
        metadata = header.pop("__metadata__", {})
        end = start
        for name, tensor in sorted(header.items()):
            word, width = _TYPES[tensor["dtype"]]
            shape, (first, last) = tuple(tensor["shape"]), tensor["data_offsets"]
            if last - first != prod(shape) * width or not 0 <= first <= last <= size - start:
                raise ValueError(f"tensor {name!r} {shape} {word} lies at bytes {first} to {last}")
            digest.update(f"{name}{shape}torch.{word}".encode())
            file.seek(start + first)
            _feed(digest, file, last - first)
            end = max(end, start + last)
    total = start + sum(t["data_offsets"][1] - t["data_offsets"][0] for t in header.values())
    if not end == size == total:
        raise ValueError(f"{size} bytes, of which tensors are {total - start} up to byte {end}")
    return digest.hexdigest(), metadata if isinstance(metadata, dict) else {}


def _header(file: BinaryIO, size: int) -> tuple[dict[str, Any], int]:
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or length > min(size - 8, _MOST_HEADER):
        raise ValueError(f"a header of {length} bytes in a file of {size}")
    try:
        header = json.loads(file.read(length))
    except RecursionError as error:
        raise ValueError("a header that is nested too deeply") from error
    if not isinstance(header, dict) or not all(isinstance(value, dict) for value in header.values()):
        raise ValueError("a header that is no JSON object of objects")
    return header, 8 + length


def _feed(digest: Any, file: BinaryIO, count: int) -> None:
    while count > 0:
        chunk = file.read(min(count, _CHUNK))
        if not chunk:
            raise ValueError("fewer bytes than the header says")
        digest.update(chunk)
        count -= len(chunk)
