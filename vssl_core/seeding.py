"""Random numbers as a pure function of a key.

What a sample looks like depends only on (protocol, seed, epoch, video_id, view). So every draw gets
a generator of its own, made from a hash of such a key, and no generator is ever shared, stored or
restored.
"""

from __future__ import annotations

import hashlib

import numpy as np

__all__ = ["generator", "key_digest", "key_seed"]

KeyPart = str | int


def key_digest(*key: KeyPart) -> bytes:
    """32 bytes that depend on every part of the key, on its type and on its order."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in key)
    return hashlib.blake2b(text.encode(), digest_size=32).digest()


def key_seed(*key: KeyPart) -> int:
    """A seed in [0, 2**63) for generators that take one number."""
    return int.from_bytes(key_digest(*key)[:8], "little") >> 1


def generator(*key: KeyPart) -> np.random.Generator:
    """A fresh generator for this key; the same key gives the same numbers on every machine."""
    words = np.frombuffer(key_digest(*key)[:16], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=words))
