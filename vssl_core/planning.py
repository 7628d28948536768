"""From what the user asked for to cells: components resolved, options checked, datasets opened, keys made."""

from __future__ import annotations

import hashlib
import inspect
import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vssl_core import controls, registry
from vssl_core.cache_dir import user_cache
from vssl_core.cells import CellSpec, Component, EvaluationSpec, WeightsFile
from vssl_core.data import Index, build_index, loader_threads, subset, target_subset
from vssl_core.errors import OptionError, PluginLoadError, UsageError, did_you_mean
from vssl_core.instantiate import (
    component_class,
    component_options,
    load_published,
    make_backbone,
    with_contents,
)
from vssl_core.opening import open_dataset
from vssl_core.options import build_options
from vssl_core.overlap.guard import refuse_overlap
from vssl_core.packing import is_packed
from vssl_core.progress import Progress
from vssl_core.protocol import Protocol
from vssl_core.stored_options import options_document, refuse_lossy
from vssl_core.video.decoders import find_decoder
from vssl_core.weights import file_digest

__all__ = [
    "Known",
    "Plan",
    "Request",
    "component",
    "current_key",
    "dataset_component",
    "make_plan",
    "merge_plans",
    "plan_evaluations",
]

Named = str | type
"""A component as the user names it: a word, a path, or a class."""


_DEEPEST_PATH = 32  # parts of a path, to tell two of them apart

IN_CODE = "in-code:"
"""Starts the spec of a class that no other process could import."""


@dataclass(frozen=True)
class Request:
    """What the user asked for; names are as the user wrote them.

    `whole`: nothing else runs, so options of an evaluator or a corruption that it does not name are refused.
    """

    task: Named
    backbone: Named
    pretrain: Named
    targets: Sequence[Named]
    evaluators: Sequence[Named]
    seeds: Sequence[int]
    options: Mapping[str, Mapping[str, Any]]
    controls: bool
    whole: bool = False


@dataclass(frozen=True)
class Plan:
    """Cells to have, each with its evaluations.

    Args:
        cells: Each once.
        classes: Component spec → class, for classes that no other process could import.
        protocols: Hash → document, for every cell.
    """

    cells: Sequence[tuple[CellSpec, Sequence[EvaluationSpec]]]
    classes: Mapping[str, type]
    protocols: Mapping[str, Protocol]


@dataclass(frozen=True)
class Known:
    """What several plans of one moment share, so that a dataset is opened and a source is read once."""

    indexes: dict[str, Index] = field(default_factory=dict)
    components: dict[str, tuple[Component, type]] = field(default_factory=dict)


class _Planner:
    def __init__(self, request: Request, protocol: Protocol, progress: Progress, known: Known) -> None:
        self._request, self._protocol, self._progress, self._known = request, protocol, progress, known
        self._decoder = find_decoder(protocol.data.decoder).identity()
        self._owners: set[str] = set()
        self.classes: dict[str, type] = {}

    def component(self, kind: registry.Kind, named: Named, owner: str) -> Component:
        """Resolve, load and check options; remembers classes that live in this process alone."""
        given = dict(self._given(owner))
        named, given = _as_folder(kind, named, given)
        return self._remember(*self._component(kind, named, given, owner))

    def _component(
        self, kind: registry.Kind, named: Named, values: Mapping[str, Any], owner: str
    ) -> tuple[Component, type]:
        key = f"{kind} {named!r} {id(named) if isinstance(named, type) else ''} {sorted(values.items())!r}"
        if key not in self._known.components:
            self._known.components[key] = component(kind, named, values, owner=owner)
        return self._known.components[key]

    def _given(self, owner: str) -> Mapping[str, Any]:
        """The options that the user gave this owner, of whom there is one, then."""
        self._owners.add(owner)
        return self._request.options.get(owner, {})

    def _remember(self, made: Component, cls: type) -> Component:
        if made.spec.startswith(IN_CODE):
            self.classes[made.spec] = cls
        return made

    def index(self, dataset: Component) -> Index:
        """The dataset's videos; opened once."""
        data, known = self._protocol.data, self._known.indexes
        carved = f"{data.validation_fraction} {sorted(data.pins.items())}"
        key = f"{dataset.spec} {sorted(dataset.options.items())} {carved}"
        if key not in known:
            opened = open_dataset(dataset, progress=self._progress, classes=self.classes)
            known[key] = build_index(dataset.name, opened, data)
            if not known[key].parts["validation"]:
                self._progress.say(
                    f"{dataset.name}: no validation video is here. Pretraining on it goes without held-out "
                    "metrics and without a sign of collapse; evaluators on it have none to choose by."
                )
        return known[key]

    def plan(self) -> Plan:
        """Everything named resolves before anything runs, cheapest mistakes first."""
        request = self._request
        task = self.component("task", request.task, "task")
        backbone = self.component("backbone", request.backbone, "backbone")
        self._check_fit(task, backbone)
        self._check_weights(backbone)
        evaluators = self._evaluators()
        pretrain = self.component("dataset", request.pretrain, "pretrain")
        targets = self._targets()
        evaluations = self._evaluations(evaluators, targets)
        self._check_overlap(pretrain, targets)
        digest = self.index(pretrain).unlabelled_digest
        cells: list[tuple[CellSpec, Sequence[EvaluationSpec]]] = []
        for seed in request.seeds:
            common: dict[str, Any] = {
                "backbone": backbone,
                "seed": seed,
                "protocol_hash": self._protocol.hash,
                "decoder": self._decoder,
            }
            cells.append(
                (
                    CellSpec(role="method", task=task, pretrain=pretrain, pretrain_digest=digest, **common),
                    evaluations,
                )
            )
            if request.controls:
                cells += self._controls(targets, evaluations, common)
        return Plan(cells, self.classes, {self._protocol.hash: self._protocol})

    def plan_evaluations(self) -> Sequence[EvaluationSpec]:
        """Every evaluator on every target, for a backbone that no cell has made."""
        evaluators = self._evaluators()
        return self._evaluations(evaluators, self._targets())

    def _targets(self) -> list[Component]:
        """The labelled datasets, by labels that tell them apart."""
        targets = [self.component("dataset", named, "target") for named in self._request.targets]
        classes = [component_class("dataset", target, self.classes) for target in targets]
        return _told_apart(targets, classes)

    def _evaluators(self) -> list[Component]:
        named = self._request.evaluators or self._protocol.evaluation.evaluators
        return [self._evaluator(name) for name in named]

    def _evaluations(
        self, evaluators: Sequence[Component], targets: Sequence[Component]
    ) -> list[EvaluationSpec]:
        self._check_flips(targets)
        parts = {evaluator.spec: self._parts(evaluator) for evaluator in evaluators}
        if self._request.whole:
            self._check_owners()
        return [self._evaluation(e, parts[e.spec], target) for target in targets for e in evaluators]

    def _check_owners(self) -> None:
        """Options of an evaluator or a corruption that nothing here names are refused, not passed over."""
        for owner, values in self._request.options.items():
            if owner.startswith(("eval/", "corruption/")) and owner not in self._owners:
                known = sorted(name for name in self._owners if "/" in name)
                raise OptionError(
                    f"-o {owner}.{next(iter(values), '')}: nothing called {owner!r} has options here."
                    f"{did_you_mean(owner, known)}"
                )

    def _evaluator(self, named: Named) -> Component:
        word = named if isinstance(named, str) else named.__name__
        owner = f"eval/{word}"
        preset = self._protocol.evaluation.options.get(word, {})
        given = self._given(owner)
        made, cls = self._component("evaluator", named, {**preset, **given}, owner)
        usual, _ = self._component("evaluator", named, preset, owner)
        # What the protocol sets is the same for every row of a table; what the user sets is shown.
        label = _label(made.name, made.options, usual.options)
        cls(component_options(cls, made, owner))  # one that cannot be made is refused before anything runs
        return self._remember(made.model_copy(update={"label": label}), cls)

    def _parts(self, evaluator: Component) -> dict[str, tuple[Component, ...]]:
        """The components that an evaluator's options name; an evaluator has the options of the run."""
        cls = component_class("evaluator", evaluator, self.classes)
        parts = {}
        for option, kind in cls.parts.items():
            given = evaluator.options[option]
            named = [given] if isinstance(given, str) else given
            if kind == "evaluator":
                parts[option] = tuple(self._evaluator(name) for name in named)
            else:
                parts[option] = tuple(self.component(kind, name, f"{kind}/{name}") for name in named)
        return parts

    def _evaluation(
        self, evaluator: Component, parts: Mapping[str, tuple[Component, ...]], target: Component
    ) -> EvaluationSpec:
        changed = [part.label for named in parts.values() for part in named if part.label != part.name]
        return EvaluationSpec(
            evaluator=evaluator,
            parts=parts,
            label=" with ".join([evaluator.label, *([", ".join(changed)] if changed else [])]),
            target=target,
            target_digest=self.index(target).digest,
            protocol_hash=self._protocol.hash,
            decoder=self._decoder,
        )

    def _controls(
        self, targets: Sequence[Component], evaluations: Sequence[EvaluationSpec], common: Mapping[str, Any]
    ) -> list[tuple[CellSpec, Sequence[EvaluationSpec]]]:
        """Random initialisation for all targets; supervised from scratch on each target, for that target."""
        nothing = Component(spec="control:none", name="none", label="none", origin="built-in", digest="none")
        floor = CellSpec(
            role="floor", task=_control(controls.RANDOM_INIT, {}), pretrain=nothing, pretrain_digest="none",
            **common,
        )  # fmt: skip
        cells: list[tuple[CellSpec, Sequence[EvaluationSpec]]] = [(floor, evaluations)]
        for target in targets:
            index = self.index(target)
            ceiling = CellSpec(
                role="ceiling",
                task=_control(controls.SUPERVISED, {"num_classes": len(index.classes)}),
                pretrain=target,
                pretrain_digest=index.digest,
                **common,
            )
            cells.append((ceiling, [e for e in evaluations if e.target == target]))
        return cells

    def _check_flips(self, targets: Sequence[Component]) -> None:
        """Evaluators would learn wrong labels from flipped videos of classes that a flip swaps."""
        if self._protocol.evaluation.augmentation != "crop_flip":
            return
        for target in targets:
            for one, other in self.index(target).mirrored.items():
                raise UsageError(
                    f"target {target.name!r} has classes that a horizontal flip swaps, such as {one!r} and "
                    f"{other!r}, and protocol.evaluation.augmentation is crop_flip: labels would be wrong. "
                    "Set it to crop or center."
                )

    def _check_overlap(self, pretrain: Component, targets: Sequence[Component]) -> None:
        """Videos that are pretrained on against those that are tested on, where the protocol wants it."""
        if self._protocol.data.overlap == "allow":
            return
        for target in targets:
            refuse_overlap(
                subset(self.index(pretrain).parts["train"], self._protocol.data),
                target_subset(self.index(target), self._protocol).parts["test"],
                names=(pretrain.name, target.name),
                data=self._protocol.data,
                command=self._overlap_command(pretrain, target),
                cache=user_cache(),
                progress=self._progress,
                processes=loader_threads(),
            )

    def _overlap_command(self, *sides: Component) -> str:
        words = ["vssl", "data", "overlap", *(side.spec for side in sides)]
        words += ["--part-a", "train", "--part-b", "test"]
        for letter, side in zip("ab", sides, strict=True):
            usual = options_document(component_class("dataset", side, self.classes).Options())
            changed = {key: value for key, value in side.options.items() if value != usual.get(key)}
            for key, value in changed.items():
                text = value if isinstance(value, str) else json.dumps(value)
                words += ["-o", f"{letter}.{key}={text}"]
        return shlex.join(words)

    def _check_fit(self, task: Component, backbone: Component) -> None:
        """A task that needs what the backbone does not provide is refused before anything runs."""
        needs = component_class("task", task, self.classes).requires
        provides = component_class("backbone", backbone, self.classes).provides
        missing = sorted(needs - provides)
        if missing:
            raise UsageError(
                f"task {task.name!r} requires {', '.join(missing)}; "
                f"backbone {backbone.name!r} provides {', '.join(sorted(provides)) or 'nothing'}. "
                f"{_way_out(needs)}"
            )

    def _check_weights(self, backbone: Component) -> None:
        """A file of weights that does not fit is refused before anything runs; one that does is described."""
        if backbone.weights is None:
            return
        clip = self._protocol.clip.spec()
        loaded = load_published(make_backbone(backbone, clip, seed=0, classes=self.classes), backbone)
        self._progress.say(f"{backbone.label}: {loaded}")


def make_plan(
    request: Request, protocol: Protocol, *, progress: Progress, known: Known | None = None
) -> Plan:
    """Resolve a request; `known` is what earlier plans of the same moment found.

    Raises:
        UsageError: A name, an option or a combination that cannot be meant.
        PluginError: A component cannot be loaded.
        DataError: A dataset cannot be opened.
    """
    return _Planner(request, protocol, progress, known or Known()).plan()


def merge_plans(plans: Iterable[Plan]) -> Plan:
    """All cells and evaluations of several plans, each once."""
    cells: dict[str, tuple[CellSpec, dict[str, EvaluationSpec]]] = {}
    classes: dict[str, type] = {}
    protocols: dict[str, Protocol] = {}
    for plan in plans:
        classes |= plan.classes
        protocols = {**plan.protocols, **protocols}
        for spec, evaluations in plan.cells:
            wanted = cells.setdefault(spec.cell_id, (spec, {}))[1]
            for evaluation in evaluations:
                wanted.setdefault(evaluation.evaluation_id, evaluation)
    merged = [(spec, tuple(wanted.values())) for spec, wanted in cells.values()]
    return Plan(merged, classes, protocols)


def plan_evaluations(
    targets: Sequence[Named],
    evaluators: Sequence[Named],
    protocol: Protocol,
    *,
    options: Mapping[str, Mapping[str, Any]],
    progress: Progress,
) -> tuple[Sequence[EvaluationSpec], Mapping[str, type]]:
    """Every evaluator on every target, and the classes among them that no other process could import.

    Raises:
        VsslError: As `make_plan`.
    """
    request = Request("", "", "", targets, evaluators, seeds=(), options=options, controls=False, whole=True)
    planner = _Planner(request, protocol, progress, Known())
    return planner.plan_evaluations(), planner.classes


def dataset_component(named: Named, values: Mapping[str, Any]) -> Component:
    """A dataset, or a folder of videos, by itself, with its options resolved."""
    named, values = _as_folder("dataset", named, dict(values))
    made, _ = component("dataset", named, values, owner="dataset")
    return made


def component(
    kind: registry.Kind, named: Named, values: Mapping[str, Any], *, owner: str
) -> tuple[Component, type]:
    """A component with its options resolved, and its class."""
    ref = registry.resolve(kind, named)
    cls: Any = registry.load(ref)
    values, weights = _without_weights(cls, values, owner) if kind == "backbone" else (values, None)
    options = build_options(cls.Options, values, owner=owner, levels=getattr(cls, "levels", None))
    refuse_lossy(options, owner=owner)
    options, contents = with_contents(options, owner)
    document = options_document(options)
    shown = {name: value for name, value in document.items() if name not in cls.Options.places}
    shown |= {} if weights is None else {"weights": weights.path}
    made = Component(
        spec=ref.spec or f"{IN_CODE}{ref.target}",
        name=ref.name,
        label=_label(ref.name, shown, options_document(cls.Options())),
        origin=ref.origin,
        dist=f"{ref.dist} {ref.version}".strip(),
        digest=registry.plugin_digest(ref),
        options=document,
        weights=weights,
        contents=contents,
    )
    return made, cls


def _without_weights(
    cls: Any, values: Mapping[str, Any], owner: str
) -> tuple[Mapping[str, Any], WeightsFile | None]:
    """The option that every backbone has, taken out and looked up, unless the class has one of that name."""
    if "weights" not in values or "weights" in cls.Options.model_fields:
        return values, None
    rest = {key: value for key, value in values.items() if key != "weights"}
    given = values["weights"]
    if given is None:
        return rest, None
    if not isinstance(given, str | Path) or not str(given):
        raise OptionError(f"{owner}.weights: expected a file of weights; got {given!r}.")
    path = Path(given).expanduser().absolute()
    return rest, WeightsFile(path=str(path), sha256=file_digest(path))


def _told_apart(made: Sequence[Component], classes: Sequence[Any]) -> list[Component]:
    """With more of their paths in the label, where two components of one label are not the same."""
    found = list(made)
    for depth in range(2, _DEEPEST_PATH):
        labels = [one.label for one in found]
        twins = {label for label in labels if labels.count(label) > 1}
        for place, (one, cls) in enumerate(zip(made, classes, strict=True)):
            if found[place].label in twins:
                shown = {k: v for k, v in one.options.items() if k not in cls.Options.places}
                usual = cls.Options().model_dump(mode="json")
                found[place] = one.model_copy(update={"label": _label(one.name, shown, usual, depth=depth)})
    return found


def _label(name: str, options: Mapping[str, Any], usual: Mapping[str, Any], *, depth: int = 1) -> str:
    """The name, and in brackets the options that are not as usual; of a path the last `depth` parts."""
    changed = {key: value for key, value in options.items() if value != usual.get(key)}
    inner = ", ".join(f"{key}={_plain(value, depth)}" for key, value in changed.items())
    return f"{name}({inner})" if inner else name


def _plain(value: Any, depth: int) -> str:
    """The value; of a path its last parts. A regular expression may have slashes, too."""
    text = str(value)
    is_path = isinstance(value, str) and "/" in text and not set(text) & set("()[]{}*+?^$|\\")
    return "/".join(Path(text).parts[-depth:]) if is_path else text


def _way_out(needs: frozenset[str]) -> str:
    """Which backbones fit a task. Loads all that are there; one that is broken is none that fits."""
    fitting, refs = [], [ref for ref in registry.scan() if ref.kind == "backbone"]
    named_otherwise = registry.conflicts(refs)
    for ref in refs:
        try:
            cls: Any = registry.load(ref)
        except PluginLoadError:
            continue
        if needs <= cls.provides:
            fitting.append(f"{ref.dist}:{ref.name}" if ref in named_otherwise else ref.name)
    if not fitting:
        return "No installed backbone does; install a package that brings one."
    return f"Choose one that does: --backbone {' or '.join(fitting)}."


def _as_folder(kind: registry.Kind, named: Named, given: dict[str, Any]) -> tuple[Named, dict[str, Any]]:
    """A folder of videos, or a packed copy, may be named by its path alone."""
    if kind == "dataset" and isinstance(named, str) and ":" not in named and Path(named).is_dir():
        kind_of = "packed" if is_packed(Path(named)) else "folder"
        return kind_of, {"root": str(Path(named).absolute()), **given}
    return named, given


def _control(name: str, options: Mapping[str, Any]) -> Component:
    source = inspect.getsource(controls).encode()
    return Component(
        spec=f"control:{name}",
        name=name,
        label=name,
        origin="built-in",
        digest=hashlib.sha256(source).hexdigest(),
        options=options,
    )


def current_key(spec: CellSpec) -> dict[str, Any]:
    """The key that this cell would get from the code that is installed now."""
    now: dict[str, Any] = {}
    for kind in ("task", "backbone"):
        made: Component = getattr(spec, kind)
        if made.spec.startswith("control:"):
            now[kind] = _control(made.name, made.options)
        else:
            weights = {} if made.weights is None else {"weights": made.weights.path}
            now[kind] = component(kind, made.spec, {**made.options, **weights}, owner=kind)[0]
    now["decoder"] = find_decoder(spec.decoder.get("decoder", "pyav")).identity()
    return spec.model_copy(update=now).key()
