"""The attention of MViT: queries, keys and values are pooled maps, with a bias from distances in MViTv2."""

from __future__ import annotations

from functools import partial

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from vssl_plugins.backbones.attention import attend
from vssl_plugins.backbones.clip_shape import Size3d
from vssl_plugins.backbones.depthwise import DepthwiseConv3d
from vssl_plugins.backbones.tokens import resize_table

__all__ = ["NORM", "Distances", "PooledAttention", "TokenPool", "distance_rows", "pool_map", "pooled_size"]

NORM = partial(nn.LayerNorm, eps=1e-6)


def pooled_size(size_THW: Size3d, stride: int) -> Size3d:
    """A map after pooling by `stride` in space, rounded up."""
    frames, height, width = size_THW
    return frames, -(-height // stride), -(-width // stride)


class TokenPool(nn.Module):
    """Pools the map inside (B, H, 1 + L, d) by a depthwise convolution and a norm; the class token stays."""

    def __init__(self, dim: int, stride: int) -> None:
        super().__init__()
        self.pool = DepthwiseConv3d(dim, stride=(1, stride, stride))
        self.norm = NORM(dim)

    def forward(self, x_BHLD: Tensor, size_THW: Size3d) -> Tensor:
        """(B, H, 1 + L, d) → (B, H, 1 + L', d)."""
        return self.norm(pool_map(self.pool, x_BHLD, size_THW))


def pool_map(pool: nn.Module, x_BHLD: Tensor, size_THW: Size3d) -> Tensor:
    heads = x_BHLD.shape[1]
    t, h, w = size_THW
    map_NDTHW = rearrange(x_BHLD[:, :, 1:], "b m (t h w) d -> (b m) d t h w", t=t, h=h, w=w)
    pooled_BHLD = rearrange(pool(map_NDTHW), "(b m) d t h w -> b m (t h w) d", m=heads)
    return torch.cat([x_BHLD[:, :, :1], pooled_BHLD], dim=2)


def distance_rows(table_RD: Tensor, queries: int, keys: int) -> Tensor:
    """Rows (queries, keys, d) of a table for the distances along one axis, in steps of the finer map."""
    longest = max(queries, keys)
    query_step, key_step = max(keys / queries, 1.0), max(queries / keys, 1.0)
    place_Q1 = torch.arange(queries, device=table_RD.device)[:, None] * query_step
    place_1K = (torch.arange(keys, device=table_RD.device)[None] + (1.0 - keys)) * key_step
    return resize_table(table_RD, (2 * longest - 1,))[(place_Q1 - place_1K).long()]


class Distances(nn.Module):
    """Bias on attention from the distances along each axis, times the query (MViTv2, section 4.1).

    Args:
        dim: Channels of a head.
        size_THW: Map for which the tables are made.
        query_stride: Pooling of the query in space.
        key_stride: Pooling of keys and values in space.
    """

    def __init__(self, dim: int, size_THW: Size3d, *, query_stride: int, key_stride: int) -> None:
        super().__init__()
        frames, height, width = size_THW
        largest = max(height, width)
        rows = 2 * max(largest // query_stride, largest // key_stride, 1) - 1
        self.rel_pos_t = nn.Parameter(torch.zeros(2 * frames - 1, dim))
        self.rel_pos_h = nn.Parameter(torch.zeros(rows, dim))
        self.rel_pos_w = nn.Parameter(torch.zeros(rows, dim))

    def forward(self, query_BHLD: Tensor, query_THW: Size3d, key_THW: Size3d) -> Tensor:
        """Queries (B, H, 1 + L, d) → bias (B, H, 1 + L, 1 + L'), zero for the class token."""
        axes = zip((self.rel_pos_t, self.rel_pos_h, self.rel_pos_w), query_THW, key_THW, strict=True)
        time_QKD, rows_QKD, columns_QKD = (distance_rows(*axis) for axis in axes)
        t, h, w = query_THW
        query = rearrange(query_BHLD[:, :, 1:], "b m (t h w) d -> b m t h w d", t=t, h=h, w=w)
        by_time = torch.einsum("bmthwd,tkd->bmthwk", query, time_QKD)[..., :, None, None]
        by_row = torch.einsum("bmthwd,hkd->bmthwk", query, rows_QKD)[..., None, :, None]
        by_column = torch.einsum("bmthwd,wkd->bmthwk", query, columns_QKD)[..., None, None, :]
        bias = (by_time + by_row + by_column).flatten(5, 7).flatten(2, 4)
        return F.pad(bias, (1, 0, 1, 0))


class PooledAttention(nn.Module):
    """Attention whose queries, keys and values are pooled maps: (B, 1 + L, dim) → (B, 1 + L', dim_out).

    Args:
        dim: Channels that come in.
        dim_out: Channels that go out.
        heads: Attention heads.
        query_stride: Pooling of the query in space; None: the query is not pooled.
        key_stride: Pooling of keys and values in space.
        distances_THW: MViTv2: map for which the tables of distances are made, and the query is added to
            what attention gives; None: neither.
    """

    def __init__(
        self,
        dim: int,
        dim_out: int,
        *,
        heads: int,
        query_stride: int | None,
        key_stride: int,
        distances_THW: Size3d | None,
    ) -> None:
        super().__init__()
        self.heads = heads
        self.query_stride = query_stride or 1
        self.key_stride = key_stride
        self.qkv = nn.Linear(dim, 3 * dim_out)
        self.proj = nn.Linear(dim_out, dim_out)
        self.pool_q = None if query_stride is None else TokenPool(dim_out // heads, query_stride)
        self.pool_k = TokenPool(dim_out // heads, key_stride)
        self.pool_v = TokenPool(dim_out // heads, key_stride)
        self.distances = None
        if distances_THW is not None:
            strides = {"query_stride": self.query_stride, "key_stride": key_stride}
            self.distances = Distances(dim_out // heads, distances_THW, **strides)

    def forward(self, x_BLD: Tensor, size_THW: Size3d) -> Tensor:
        """Tokens of a map of this size, the class token first."""
        query, key, value = rearrange(self.qkv(x_BLD), "b l (q m d) -> q b m l d", q=3, m=self.heads)
        key, value = self.pool_k(key, size_THW), self.pool_v(value, size_THW)
        if self.pool_q is not None:
            query = self.pool_q(query, size_THW)
        bias = None
        if self.distances is not None:
            query_THW = pooled_size(size_THW, self.query_stride)
            bias = self.distances(query, query_THW, pooled_size(size_THW, self.key_stride))
        x_BHLD = attend(query, key, value, bias)
        if self.distances is not None:
            x_BHLD = torch.cat([x_BHLD[:, :, :1], x_BHLD[:, :, 1:] + query[:, :, 1:]], dim=2)
        return self.proj(rearrange(x_BHLD, "b m l d -> b l (m d)"))
