"""A compact copy of a dataset that loads many times as fast as its originals, and says where it is from."""

from vssl_core.packing.encoding import PACK_FORMATS, PackSettings
from vssl_core.packing.manifest import Manifest, PackedVideo, is_packed, read_manifest
from vssl_core.packing.pack import Packed, pack_dataset

__all__ = [
    "PACK_FORMATS",
    "Manifest",
    "PackSettings",
    "Packed",
    "PackedVideo",
    "is_packed",
    "pack_dataset",
    "read_manifest",
]
