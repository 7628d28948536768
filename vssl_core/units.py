"""Units of metrics by what they say: how good something is, or what it costs.

Costs stand in tables beside one another and are not compared as scores: a random network is no floor for a
rate, and a faster backbone is no better method. Times, rates and sizes are besides measured anew by every
run, so that two runs never share them; counts (parameters, FLOPs) are the same each time.
"""

from __future__ import annotations

__all__ = ["is_cost", "is_measured"]

_TIMES = {
    "ns",
    "us",
    "µs",
    "ms",
    "s",
    "sec",
    "second",
    "seconds",
    "min",
    "minutes",
    "h",
    "hours",
    "fps",
    "hz",
}
_SIZES = {"b", "kb", "mb", "gb", "kib", "mib", "gib", "bytes", "j", "w", "wh"}
_COUNTS = {"m", "flops", "mflops", "gflops", "tflops", "macs", "mmacs", "gmacs", "parameters", "params"}


def is_measured(unit: str) -> bool:
    """True for times, rates and sizes (`"ms"`, `"clips/s"`, `"MiB"`), which no two runs share."""
    word = unit.lower().strip()
    return word in _TIMES | _SIZES or "/s" in word or "per second" in word


def is_cost(unit: str) -> bool:
    """True for what is measured and for counts of work (`"GFLOPs"`, `"M"`): no scores."""
    return is_measured(unit) or unit.lower().strip() in _COUNTS
