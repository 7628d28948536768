"""VideoMAE for vssl: `vssl bench --task videomae --backbone videomae_vit`."""

from __future__ import annotations

from vssl_plugin_videomae.backbone import VideoMAEViT, VideoMAEViTOptions
from vssl_plugin_videomae.task import VideoMAE, VideoMAEOptions

__all__ = ["VideoMAE", "VideoMAEOptions", "VideoMAEViT", "VideoMAEViTOptions"]
