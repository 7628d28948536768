"""Options of components: described and checked by pydantic, written as `-o task.num_clips=4`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

__all__ = ["Options"]


class Options(BaseModel):
    """Base of every component's options: frozen, unknown keys refused, default and text per field."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
