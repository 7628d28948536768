"""A study's findings, as sentences that follow from its values per seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vssl_core.findings import Finding, contrast, corrected, judged, rank_agreement, ranking, trend
from vssl_core.studies.across import across_of
from vssl_core.studies.reference import paper_cell
from vssl_core.studies.schema import Study
from vssl_core.studies.scores import MethodScore, named, varying
from vssl_core.studies.showing import FindingEntry

__all__ = ["conclusions"]

_Group = tuple[str, dict[str, MethodScore]]


def conclusions(study: Study, scores: Sequence[MethodScore]) -> list[str]:
    """Every finding for every group of points that agree on all other axes, then the paper's order."""
    sentences: list[str] = []
    for entry in study.findings:
        sentences += _answers(entry, [score for score in scores if score.asked_by(entry.metric)])
    return [*sentences, *_agreement(study, scores)]


def _answers(entry: FindingEntry, scores: Sequence[MethodScore]) -> list[str]:
    """The sentences of one finding; claims of contrasts and signs are corrected together."""
    if entry.kind == "across":
        found = across_of(entry.axis, scores)
        return [f"{metric}: {text}" for metric, one in found for text in one.sentences]
    if entry.kind == "sign":
        return _together([(name, _sign(entry, score)) for name, score in named(scores)])
    groups = list(_groups(entry.axis, scores))
    if entry.kind == "contrast":
        asked = [(name, one) for name, group in groups if (one := _contrast(entry, group))]
        return _together(asked, several=len(groups) > 1)
    return [f"{name}: {text}" for name, group in groups if (text := _told(entry, group))]


def _together(asked: Sequence[tuple[str, Finding]], *, several: bool = True) -> list[str]:
    told = corrected([one for _, one in asked])
    return [
        f"{name}: {one.sentence}" if several else one.sentence
        for (name, _), one in zip(asked, told, strict=True)
    ]


def _groups(axis: str, scores: Sequence[MethodScore]) -> Iterator[_Group]:
    """What a group has in common in words, and its scores by their label on the axis."""
    groups: dict[tuple[object, ...], dict[str, MethodScore]] = {}
    for score in scores:
        key = (score.target, score.label, score.metric, score.others(axis))
        groups.setdefault(key, {})[score.place(axis)] = score
    differing = varying([score.others(axis) for score in scores])
    for group in groups.values():
        one = next(iter(group.values()))
        labels = [label for name, label in one.others(axis) if name in differing]
        yield ", ".join([one.what, *labels]), group


def _told(entry: FindingEntry, group: dict[str, MethodScore]) -> str:
    if len(group) < 2:
        return ""
    one = next(iter(group.values()))
    values = {label: score.by_seed for label, score in group.items()}
    unit = "points" if one.unit == "%" else one.unit
    if entry.kind == "ranking":
        if one.higher_is_better is None:
            return ""
        return ranking(values, higher_is_better=one.higher_is_better, unit=unit).sentence
    return trend(entry.claim, values, expected=entry.expected, unit=unit).sentence


def _contrast(entry: FindingEntry, group: dict[str, MethodScore]) -> Finding | None:
    first = {label: group[label].by_seed for label in entry.first if label in group}
    second = {label: group[label].by_seed for label in entry.second if label in group}
    if not first or not second:
        return None
    unit = next(iter(group.values())).unit
    return contrast(
        entry.claim, first, second, expected=entry.expected, unit="points" if unit == "%" else unit
    )


def _sign(entry: FindingEntry, score: MethodScore) -> Finding:
    sign = -1.0 if entry.expected == "lower" else 1.0
    effects = {seed: sign * value for seed, value in score.by_seed.items()}
    unit = "points" if score.unit == "%" else score.unit
    return judged(entry.claim, effects, quantity=score.metric, unit=unit)


def _agreement(study: Study, scores: Sequence[MethodScore]) -> list[str]:
    """Whether our scores of one evaluation stand in the paper's order."""
    groups: dict[str, dict[str, tuple[MethodScore, float]]] = {}
    for score in scores:
        cell = paper_cell(score, study.paper)
        if cell is not None:
            groups.setdefault(score.what, {})[f"{score.point.name}, {score.at}"] = (score, cell.value)
    sentences = []
    for what, found in groups.items():
        if len(found) > 2:
            ours = {name: score.by_seed for name, (score, _) in found.items()}
            theirs = {name: value for name, (_, value) in found.items()}
            sentences.append(f"{what}: {rank_agreement(ours, theirs).sentence}")
    return sentences
