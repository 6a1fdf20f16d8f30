"""Finetune one BERT, train one once-for-all supernet from it, ship as many sub-models as there are devices.

Every public name is here: `from ofa_bert import make_job, finetune, Predictor`. Each is imported when it is first asked
for, and none of them imports Paddle then: those that compute with it load it when they are called.
"""

import importlib

__version__ = "0.1.0"

# Types of the same names are in __init__.pyi: were they imported here, even for type checkers alone, whatever reads the
# version would stand above the whole package.
_NAMES = {
    "ofa_bert.api.jobs": ("make_job",),
    "ofa_bert.api.models": ("evaluate", "export_sub_model", "load_model", "search_fptas", "search_sub_models"),
    "ofa_bert.api.training": ("choose_exits", "distil", "finetune", "prune", "train_exits", "train_supernet"),
    "ofa_bert.bundle.front": ("Front", "OperatingPoint"),
    "ofa_bert.bundle.latency_table": ("LatencyTable",),
    "ofa_bert.data.source": ("DataSource", "TrainingData"),
    "ofa_bert.data.sources": ("load_datasets",),
    "ofa_bert.errors": ("RunError", "UserError"),
    "ofa_bert.export.job": ("ExportJob",),
    "ofa_bert.recipes.evaluate_job": ("EvaluateJob",),
    "ofa_bert.runtime.answering.grouped": ("Ranked",),
    "ofa_bert.runtime.predictor": ("Prediction", "Predictor"),
    "ofa_bert.search.job": ("SearchJob",),
    "ofa_bert.submodels.counting": ("count_flops", "count_parameters"),
    "ofa_bert.submodels.grid": ("SearchSpace",),
    "ofa_bert.submodels.values": ("ModelShape", "SubModelConfig"),
    "ofa_bert.tasks.questions": ("Question",),
    "ofa_bert.tasks.kinds.base": ("Entity", "Extract"),
    "ofa_bert.tasks.task": ("Datasets", "Example", "Task"),
    "ofa_bert.training.exits.jobs": ("ExitChoiceJob", "ExitTrainingJob"),
    "ofa_bert.training.settings": (
        "Evaluations",
        "FinetuneJob",
        "LabelLoss",
        "LoopSettings",
        "ModelSource",
        "OptimizerSettings",
    ),
    "ofa_bert.training.students.jobs": ("DistilJob", "PruneJob"),
    "ofa_bert.training.supernet.job": ("SupernetJob",),
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value  # the next time it is found without this function
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
