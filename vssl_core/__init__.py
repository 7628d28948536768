"""The SDK and benchmark of vssl.

Everything that an author or a caller needs stands here; each name is imported when it is first used, so
that `import vssl_core` costs nothing and needs no torch.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vssl_core import augmentation
    from vssl_core.bench import bench
    from vssl_core.classifier import Classifier, ClassifierEvaluator
    from vssl_core.corruption import Corruption, CorruptionSource
    from vssl_core.errors import (
        BusyError,
        ContractError,
        DataError,
        DatasetError,
        DivergedError,
        HookError,
        OptionError,
        PluginError,
        PluginLoadError,
        ProtocolError,
        SchemaError,
        StoreError,
        TrainingError,
        UnknownNameError,
        UsageError,
        VideoError,
        VsslError,
        WeightsError,
        did_you_mean,
    )
    from vssl_core.evaluate_backbone import evaluate_backbone
    from vssl_core.interfaces import (
        API_VERSION,
        Backbone,
        CellHandle,
        DatasetContext,
        EvaluationContext,
        EvaluationData,
        EvaluationPart,
        EvaluationResult,
        Evaluator,
        Executor,
        Metric,
        PretextTask,
        TaskContext,
        TaskOutput,
        TrainProgress,
        VideoDataset,
        ViewSampler,
    )
    from vssl_core.metrics import average_clips, classification_metrics
    from vssl_core.options import (
        OPTION_OWNERS,
        OptionRow,
        Options,
        build_options,
        describe_options,
        parse_options,
    )
    from vssl_core.registry import load, register, resolve, scan
    from vssl_core.sampling import EvenClips, UniformClip, back_and_forth
    from vssl_core.seeding import generator, key_digest, key_seed
    from vssl_core.types import ClipSpec, Inventory, InventoryList, Sampled, Split, VideoInfo, VideoRecord
    from vssl_core.verification import verify

__all__ = [
    "API_VERSION",
    "OPTION_OWNERS",
    "Backbone",
    "BusyError",
    "CellHandle",
    "Classifier",
    "ClassifierEvaluator",
    "ClipSpec",
    "ContractError",
    "Corruption",
    "CorruptionSource",
    "DataError",
    "DatasetContext",
    "DatasetError",
    "DivergedError",
    "EvaluationContext",
    "EvaluationData",
    "EvaluationPart",
    "EvaluationResult",
    "Evaluator",
    "EvenClips",
    "Executor",
    "HookError",
    "Inventory",
    "InventoryList",
    "Metric",
    "OptionError",
    "OptionRow",
    "Options",
    "PluginError",
    "PluginLoadError",
    "PretextTask",
    "ProtocolError",
    "Sampled",
    "SchemaError",
    "Split",
    "StoreError",
    "TaskContext",
    "TaskOutput",
    "TrainProgress",
    "TrainingError",
    "UniformClip",
    "UnknownNameError",
    "UsageError",
    "VideoDataset",
    "VideoError",
    "VideoInfo",
    "VideoRecord",
    "ViewSampler",
    "VsslError",
    "WeightsError",
    "augmentation",
    "average_clips",
    "back_and_forth",
    "bench",
    "build_options",
    "classification_metrics",
    "describe_options",
    "did_you_mean",
    "evaluate_backbone",
    "generator",
    "key_digest",
    "key_seed",
    "load",
    "parse_options",
    "register",
    "resolve",
    "scan",
    "verify",
]

_MODULES = {
    "bench": "bench",
    "classifier": "Classifier ClassifierEvaluator",
    "corruption": "Corruption CorruptionSource",
    "errors": """
        BusyError ContractError DataError DatasetError DivergedError HookError OptionError
        PluginError PluginLoadError ProtocolError SchemaError StoreError TrainingError
        UnknownNameError UsageError VideoError VsslError WeightsError did_you_mean
    """,
    "evaluate_backbone": "evaluate_backbone",
    "interfaces": """
        API_VERSION Backbone CellHandle DatasetContext EvaluationContext EvaluationData
        EvaluationPart EvaluationResult Evaluator Executor Metric PretextTask TaskContext
        TaskOutput TrainProgress VideoDataset ViewSampler
    """,
    "options": "OPTION_OWNERS OptionRow Options build_options describe_options parse_options",
    "metrics": "average_clips classification_metrics",
    "registry": "load register resolve scan",
    "sampling": "EvenClips UniformClip back_and_forth",
    "seeding": "generator key_digest key_seed",
    "types": "ClipSpec Inventory Sampled Split VideoInfo InventoryList VideoRecord",
    "verification": "verify",
}
_MODULE_OF = {name: f"vssl_core.{module}" for module, names in _MODULES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name == "augmentation":
        return import_module("vssl_core.augmentation")
    if name == "__version__":
        from importlib.metadata import version

        return version("vssl")
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULE_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Package(ModuleType):
    """`vssl_core.bench` is the function, also after something imported the module of the same name."""

    def __setattr__(self, name: str, value: object) -> None:
        if name in ("bench", "evaluate_backbone") and isinstance(value, ModuleType):
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
