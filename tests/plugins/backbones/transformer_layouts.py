"""Published transformers under their publishers' names: what a checkpoint of each would hold.

Written from the names and wirings that the publications state, not from vssl's modules, so that a wrong key
map or a wrong wiring shows as another output.
"""

from __future__ import annotations

import re

import torch
from einops import rearrange, repeat
from torch import Tensor, nn

State = dict[str, Tensor]


class Attention(nn.Module):
    """Attention as every one of these codes writes it out."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = rearrange(self.qkv(x), "b n (three m d) -> three b m n d", three=3, m=self.heads)
        weights = (q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).softmax(-1)
        return self.proj(rearrange(weights @ v, "b m n d -> b n (m d)"))


class PublishedBlock(nn.Module):
    """TimeSformer's block with divided attention; tokens (B, 1 + H'·W'·T, D), frames the fastest."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.attn, self.temporal_attn = Attention(width, heads), Attention(width, heads)
        self.temporal_norm1, self.temporal_fc = nn.LayerNorm(width, eps=1e-6), nn.Linear(width, width)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, 4 * width), "fc2": nn.Linear(4 * width, width)})

    def forward(self, x: Tensor, frames: int) -> Tensor:
        batch, cls = x.shape[0], x[:, :1]
        xt = rearrange(x[:, 1:], "b (n t) m -> (b n) t m", t=frames)
        xt = rearrange(self.temporal_attn(self.temporal_norm1(xt)), "(b n) t m -> b (n t) m", b=batch)
        xt = x[:, 1:] + self.temporal_fc(xt)
        xs = rearrange(xt, "b (n t) m -> (b t) n m", t=frames)
        xs = torch.cat([repeat(cls, "b 1 m -> (b t) 1 m", t=frames), xs], 1)
        res = self.attn(self.norm1(xs))
        cls = cls + rearrange(res[:, 0], "(b t) m -> b t m", t=frames).mean(1, keepdim=True)
        x = torch.cat([cls, xt + rearrange(res[:, 1:], "(b t) n m -> b (n t) m", t=frames)], 1)
        return x + self.mlp["fc2"](nn.functional.gelu(self.mlp["fc1"](self.norm2(x))))


class PublishedTimeSformer(nn.Module):
    """TimeSformer of its authors: (B, 3, T, H, W) → normalised class token (B, D)."""

    def __init__(self, width: int, heads: int, *, depth: int, frames: int, patches: int) -> None:
        super().__init__()
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, width, 16, 16)})
        self.cls_token = nn.Parameter(torch.randn(1, 1, width))
        self.pos_embed = nn.Parameter(torch.randn(1, 1 + patches, width))
        self.time_embed = nn.Parameter(torch.randn(1, frames, width))
        self.blocks = nn.ModuleList(PublishedBlock(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.head = nn.Linear(width, 400)

    def forward(self, video: Tensor) -> Tensor:
        frames = video.shape[2]
        x = self.patch_embed["proj"](rearrange(video, "b c t h w -> (b t) c h w")).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1) + self.pos_embed
        cls = x[::frames, :1]
        x = rearrange(x[:, 1:], "(b t) n m -> (b n) t m", t=frames) + self.time_embed
        x = torch.cat([cls, rearrange(x, "(b n) t m -> b (n t) m", b=len(video))], 1)
        for block in self.blocks:
            x = block(x, frames)
        return self.norm(x)[:, 0]


# ------------------------------------------------------------------------------------ names of publishers


def renamed(state: State, *pairs: tuple[str, str]) -> State:
    """Keys after each substitution in turn."""
    result = {}
    for key, tensor in state.items():
        name = key
        for pattern, replacement in pairs:
            name = re.sub(pattern, replacement, name)
        result[name] = tensor.clone()
    return result


def split_qkv(state: State, names: tuple[str, str, str]) -> State:
    """`X.qkv.weight` → `X.NAME.weight` for each of the three."""
    result = {}
    for key, tensor in state.items():
        if ".qkv." in key:
            for name, part in zip(names, tensor.chunk(3), strict=True):
                result[key.replace(".qkv.", f".{name}.")] = part.clone()
        else:
            result[key] = tensor
    return result


def joint_vivit(ours: State, positions: str) -> State:
    """What both of Hugging Face's layouts have in common, of our joint network."""
    prefix = "encoders.joint.positions."
    rest = {key: tensor for key, tensor in ours.items() if not key.startswith(prefix)}
    table = ours[f"{prefix}table"].flatten(0, -2)[None]
    rest[positions] = torch.cat([ours[f"{prefix}cls_position"], table], 1)
    return rest | {
        "vivit.embeddings.cls_token": ours[f"{prefix}cls_token"],
        "classifier.weight": torch.zeros(5, 9),
    }


def hugging_face_4(ours: State) -> State:
    """ViViT as transformers 4 saved it."""
    layer = r"vivit.encoder.layer.\1."
    names = renamed(
        joint_vivit(ours, "vivit.embeddings.position_embeddings"),
        (r"^tubelets\.", "vivit.embeddings.patch_embeddings.projection."),
        (r"^encoders\.joint\.norm\.", "vivit.layernorm."),
        (r"^encoders\.joint\.blocks\.(\d+)\.norm1\.", layer + "layernorm_before."),
        (r"^encoders\.joint\.blocks\.(\d+)\.norm2\.", layer + "layernorm_after."),
        (r"^encoders\.joint\.blocks\.(\d+)\.attn\.qkv\.", layer + "attention.attention.qkv."),
        (r"^encoders\.joint\.blocks\.(\d+)\.attn\.proj\.", layer + "attention.output.dense."),
        (r"^encoders\.joint\.blocks\.(\d+)\.mlp\.fc1\.", layer + "intermediate.dense."),
        (r"^encoders\.joint\.blocks\.(\d+)\.mlp\.fc2\.", layer + "output.dense."),
    )
    return split_qkv(names, ("query", "key", "value"))


def hugging_face_5(ours: State) -> State:
    """ViViT as transformers 5 saves it."""
    layer = r"vivit.layers.\1."
    names = renamed(
        joint_vivit(ours, "vivit.embeddings.position_embeddings"),
        (r"^tubelets\.", "vivit.embeddings.patch_embeddings.projection."),
        (r"^encoders\.joint\.norm\.", "vivit.layernorm."),
        (r"^encoders\.joint\.blocks\.(\d+)\.norm1\.", layer + "layernorm_before."),
        (r"^encoders\.joint\.blocks\.(\d+)\.norm2\.", layer + "layernorm_after."),
        (r"^encoders\.joint\.blocks\.(\d+)\.attn\.qkv\.", layer + "attention.qkv."),
        (r"^encoders\.joint\.blocks\.(\d+)\.attn\.proj\.", layer + "attention.o_proj."),
        (r"^encoders\.joint\.blocks\.(\d+)\.mlp\.", layer + "mlp."),
    )
    return split_qkv(names, ("q_proj", "k_proj", "v_proj"))


def video_swin_of_its_authors(ours: State) -> dict[str, object]:
    """As the released files: a backbone beside a classifier, with the index buffers of attention."""
    state = renamed(ours, (r"^", "backbone."))
    state |= {
        key.replace("_bias_table", "_index"): torch.zeros(392, 392, dtype=torch.long)
        for key in state
        if key.endswith("relative_position_bias_table")
    }
    state |= {"cls_head.fc_cls.weight": torch.zeros(400, 768), "cls_head.fc_cls.bias": torch.zeros(400)}
    return {"meta": {"epoch": 30}, "state_dict": state}


def image_swin_of_its_authors(timms: State) -> dict[str, object]:
    """timm merges at the start of a stage, the authors at the end of the one before."""
    earlier = ((rf"^layers\.{n}\.downsample\.", f"layers.{n - 1}.downsample.") for n in (1, 2, 3))
    state = renamed(timms, *earlier, (r"^head\.fc\.", "head."))
    state["layers.0.blocks.1.attn_mask"] = torch.zeros(64, 49, 49)
    state["layers.0.blocks.0.attn.relative_position_index"] = torch.zeros(49, 49, dtype=torch.long)
    return {"model": state}


def slowfast_mvit(ours: State, *, split: bool) -> dict[str, object]:
    """MViT as SlowFast saves it, with joint projections or those of its older files."""
    state = renamed(
        ours,
        (r"^patch_embed\.", "patch_embed.proj."),
        (r"^positions\.cls_token$", "cls_token"),
        (r"^positions\.cls_position$", "pos_embed_class"),
        (r"^positions\.space$", "pos_embed_spatial"),
        (r"^positions\.time$", "pos_embed_temporal"),
        (r"\.pool_([qkv])\.pool\.", r".pool_\1."),
        (r"\.pool_([qkv])\.norm\.", r".norm_\1."),
        (r"\.distances\.", "."),
    )
    for key in ("pos_embed_spatial", "pos_embed_temporal"):
        if key in state:
            state[key] = state[key].flatten(0, -2)[None]
    state = split_qkv(state, ("q", "k", "v")) if split else state
    return {"epoch": 200, "model_state": {**state, "head.projection.weight": torch.zeros(400, 768)}}
