"""What pretraining left behind: weights, result, curve, environment, as far as one follows from another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vssl_core.cells import CELL_SCHEMA
from vssl_core.controls import RANDOM_INIT
from vssl_core.monitors import collapse_verdict
from vssl_core.optim import rate_at
from vssl_core.verification.bundle import Bundle
from vssl_core.verification.identity import Identity
from vssl_core.verification.stages import SEALED_SINCE, Seals, check_schema, check_stage
from vssl_core.verification.weights_file import file_weights_digest

__all__ = ["check_pretraining"]

RESULT = "pretrain/result.json"
CURVE = "pretrain/curve.jsonl"
WEIGHTS = "pretrain/backbone.safetensors"


def check_pretraining(bundle: Bundle, cell: Identity, seals: Seals) -> Mapping[str, Any] | None:
    """`pretrain/result.json` as it was checked; None where pretraining is not finished."""
    if not bundle.has(RESULT):
        seals.without.append("pretrain")
        bundle.book.skip(RESULT, "pretraining is not finished")
        return None
    result = bundle.document(RESULT, schema=CELL_SCHEMA)
    if result is None:
        return None
    check_schema(bundle, RESULT, int(result["schema"]), least=cell.schema, by="cell.json")
    check_stage(bundle, seals, "pretrain", schema=int(result["schema"]))
    _check_weights(bundle, cell, result)
    _check_environment(bundle, cell)
    _check_cost(bundle, cell, result)
    if cell.spec.task.name != RANDOM_INIT:
        if int(result["schema"]) >= SEALED_SINCE and not isinstance(result.get("ledger"), Mapping):
            bundle.book.find(RESULT, "ledger", result.get("ledger"), "an object", "the layout of a bundle")
        _check_curve(bundle, cell, result)
    return result


def _check_weights(bundle: Bundle, cell: Identity, result: Mapping[str, Any]) -> None:
    book = bundle.book
    for share, listed in result.get("snapshots", {}).items():
        name = f"pretrain/backbone-at-{share}.safetensors"
        kept = _weights(bundle, name)
        if kept is not None:
            book.same(RESULT, f"snapshots.{share}", listed, kept[0], name)
            book.same(name, "metadata.share_of_budget", kept[1].get("share_of_budget"), share, RESULT)
    last = _weights(bundle, WEIGHTS)
    if last is None:
        return
    found, metadata = last
    book.same(RESULT, "weights_sha256", result.get("weights_sha256"), found, WEIGHTS)
    book.same(WEIGHTS, "metadata.cell_id", metadata.get("cell_id"), cell.cell_id, "cell.json")
    start = result.get("backbone_fingerprint")
    if cell.spec.task.name == RANDOM_INIT and isinstance(start, Mapping):
        field = "backbone_fingerprint.initial_weights"
        book.same(RESULT, field, start.get("initial_weights"), found, "weights that nothing has trained")


def _weights(bundle: Bundle, name: str) -> tuple[str, Mapping[str, Any]] | None:
    path = bundle.file(name)
    if path is None:
        return None
    try:
        return file_weights_digest(path)
    except (OSError, ValueError, KeyError, TypeError) as error:
        problem = f"{type(error).__name__}: {error}"
        bundle.book.find(name, "", problem, "a safetensors file", "its format")
        return None


def _check_environment(bundle: Bundle, cell: Identity) -> None:
    name = "environment.json"
    document = bundle.document(name)
    if document is None:
        return
    parts = {
        kind: getattr(cell.spec, kind).model_dump(mode="json") for kind in ("task", "backbone", "pretrain")
    }
    stored = document.get("components", {})
    for kind, part in parts.items():
        known = {field: part[field] for field in part if field in stored.get(kind, part)}
        bundle.book.same(name, f"components.{kind}", stored.get(kind), known, "cell.json")
    decoder = document.get("decoder", {})
    for field, value in cell.spec.decoder.items():
        bundle.book.same(name, f"decoder.{field}", decoder.get(field), value, "cell.json")


def _check_cost(bundle: Bundle, cell: Identity, result: Mapping[str, Any]) -> None:
    book, cost, start = bundle.book, result.get("cost"), result.get("backbone_fingerprint")
    if not isinstance(cost, Mapping):
        book.find(RESULT, "cost", cost, "an object", "the layout of a bundle")
        return
    if isinstance(start, Mapping):
        for field in ("parameters", "gflops"):
            field_name = f"backbone_fingerprint.{field}"
            book.same(RESULT, field_name, start.get(field), cost.get(field), "cost")
    seconds = result.get("seconds", 0.0)
    book.same(RESULT, "cost.pretrain_seconds", cost.get("pretrain_seconds"), seconds, "seconds")
    rate, views = 0.0, len(list((bundle.root / "pretrain" / "views").glob("*.png")))
    if cell.spec.task.name != RANDOM_INIT:
        rate = result["videos_seen"] * views / max(seconds, 1e-9)
    by = "videos seen, views and seconds"
    book.same(
        RESULT, "cost.pretrain_clips_per_second", cost.get("pretrain_clips_per_second"), rate, by, share=1e-6
    )


def _check_curve(bundle: Bundle, cell: Identity, result: Mapping[str, Any]) -> None:
    rows, book = bundle.lines(CURVE), bundle.book
    if rows is None:
        return
    steps = [row for row in rows if "held_out" not in row]
    points = [row for row in rows if "held_out" in row]
    book.same(RESULT, "steps", result.get("steps"), len(steps), CURVE)
    book.same(
        CURVE, "step", [row.get("step") for row in steps], list(range(1, len(steps) + 1)), "one line a step"
    )
    _check_progress(bundle, cell, steps)
    _check_rates(bundle, cell, steps)
    last = points[-1] if points else {}
    for field in ("held_out", "chance"):
        book.same(
            RESULT, field, result.get(field), last.get(field, {}), "the last held-out point of the curve"
        )
    verdict = collapse_verdict(
        [point["feature_std"] for point in points], [point["effective_rank"] for point in points]
    )
    book.same(RESULT, "verdict", result.get("verdict"), verdict, "the held-out points of the curve")
    fractions = {row["step"]: row["fraction"] for row in steps}
    for number, point in enumerate(points):
        there = fractions.get(point["step"])
        book.same(
            CURVE, f"held_out[{number}].fraction", point["fraction"], there, "the step that it was taken at"
        )
    _check_videos(bundle, cell, result, len(steps))


def _check_progress(bundle: Bundle, cell: Identity, steps: Sequence[Mapping[str, Any]]) -> None:
    """How far the budget was used: all of it at the end, in equal parts where every step costs as much."""
    if not steps:
        return
    book, found = bundle.book, [row["fraction"] for row in steps]
    budget = cell.protocol["pretrain"]["budget"]
    currency = budget["currency"]
    expected = [min(1.0, found[0] * number) for number in range(1, len(found) + 1)]
    if currency not in ("epochs", "flops"):
        expected = [max(found[: place + 1]) for place in range(len(found))]
    expected[-1] = 1.0
    book.same(CURVE, "fraction", found, expected, "the budget of the protocol")
    in_one = sum(row["epoch"] == 0 for row in steps)
    if currency == "epochs" and len(found) > 1:  # one step's share of the budget says how many make an epoch
        in_one = round(1.0 / (found[0] * budget["amount"]))
    epochs = [number // max(in_one, 1) for number in range(len(steps))]
    book.same(CURVE, "epoch", [row["epoch"] for row in steps], epochs, "the number of steps of an epoch")


def _check_rates(bundle: Bundle, cell: Identity, steps: Sequence[Mapping[str, Any]]) -> None:
    """The rate of a step follows from how much of the budget was used before it."""
    options = cell.protocol["pretrain"]["optimizer"]
    before = [0.0, *(row["fraction"] for row in steps)]
    rates = [options["lr"] * rate_at(used, options["warmup"]) for used in before[: len(steps)]]
    bundle.book.same(
        CURVE, "lr", [row["lr"] for row in steps], rates, "the schedule of the protocol", share=1e-6
    )


def _check_videos(bundle: Bundle, cell: Identity, result: Mapping[str, Any], steps: int) -> None:
    """Every step has one batch of the protocol's size, or a smaller one where there are fewer videos."""
    book, options = bundle.book, cell.protocol["pretrain"]
    seen, size, ledger = result["videos_seen"], options["batch_size"], result.get("ledger")
    least = 0  # training videos; the ledger counts held-out ones, too
    if ledger is not None:
        least = ledger["videos"] - len(ledger["unreadable"]) - cell.protocol["data"]["held_out_videos"]
    if steps and least < size and seen < steps * size:
        size = seen // steps
    elif steps:
        parts = options["accumulation"] * (bundle.document("environment.json") or {}).get("processes", 1)
        size -= size % parts
    book.same(RESULT, "videos_seen", seen, steps * size, "steps and batch size")
    budget = options["budget"]
    if budget["currency"] == "frames" and result["frames_decoded"] < budget["amount"]:
        book.find(RESULT, "frames_decoded", result["frames_decoded"], budget["amount"], "the budget")
