"""The types of the public names; what each is, and where it is found at run time, is in __init__.py."""

from ofa_bert.api.jobs import make_job as make_job
from ofa_bert.api.models import evaluate as evaluate
from ofa_bert.api.models import export_sub_model as export_sub_model
from ofa_bert.api.models import load_model as load_model
from ofa_bert.api.models import search_fptas as search_fptas
from ofa_bert.api.models import search_sub_models as search_sub_models
from ofa_bert.api.training import choose_exits as choose_exits
from ofa_bert.api.training import distil as distil
from ofa_bert.api.training import finetune as finetune
from ofa_bert.api.training import prune as prune
from ofa_bert.api.training import train_exits as train_exits
from ofa_bert.api.training import train_supernet as train_supernet
from ofa_bert.bundle.front import Front as Front
from ofa_bert.bundle.front import OperatingPoint as OperatingPoint
from ofa_bert.bundle.latency_table import LatencyTable as LatencyTable
from ofa_bert.data.source import DataSource as DataSource
from ofa_bert.data.source import TrainingData as TrainingData
from ofa_bert.data.sources import load_datasets as load_datasets
from ofa_bert.errors import RunError as RunError
from ofa_bert.errors import UserError as UserError
from ofa_bert.export.job import ExportJob as ExportJob
from ofa_bert.recipes.evaluate_job import EvaluateJob as EvaluateJob
from ofa_bert.runtime.answering.grouped import Ranked as Ranked
from ofa_bert.runtime.predictor import Prediction as Prediction
from ofa_bert.runtime.predictor import Predictor as Predictor
from ofa_bert.search.job import SearchJob as SearchJob
from ofa_bert.submodels.counting import count_flops as count_flops
from ofa_bert.submodels.counting import count_parameters as count_parameters
from ofa_bert.submodels.grid import SearchSpace as SearchSpace
from ofa_bert.submodels.values import ModelShape as ModelShape
from ofa_bert.submodels.values import SubModelConfig as SubModelConfig
from ofa_bert.tasks.kinds.base import Entity as Entity
from ofa_bert.tasks.kinds.base import Extract as Extract
from ofa_bert.tasks.questions import Question as Question
from ofa_bert.tasks.task import Datasets as Datasets
from ofa_bert.tasks.task import Example as Example
from ofa_bert.tasks.task import Task as Task
from ofa_bert.training.exits.jobs import ExitChoiceJob as ExitChoiceJob
from ofa_bert.training.exits.jobs import ExitTrainingJob as ExitTrainingJob
from ofa_bert.training.settings import Evaluations as Evaluations
from ofa_bert.training.settings import FinetuneJob as FinetuneJob
from ofa_bert.training.settings import LabelLoss as LabelLoss
from ofa_bert.training.settings import LoopSettings as LoopSettings
from ofa_bert.training.settings import ModelSource as ModelSource
from ofa_bert.training.settings import OptimizerSettings as OptimizerSettings
from ofa_bert.training.students.jobs import DistilJob as DistilJob
from ofa_bert.training.students.jobs import PruneJob as PruneJob
from ofa_bert.training.supernet.job import SupernetJob as SupernetJob

__version__: str
__all__ = [
    "DataSource",
    "Datasets",
    "DistilJob",
    "Entity",
    "EvaluateJob",
    "Evaluations",
    "Example",
    "ExitChoiceJob",
    "ExitTrainingJob",
    "ExportJob",
    "Extract",
    "FinetuneJob",
    "Front",
    "LabelLoss",
    "LatencyTable",
    "LoopSettings",
    "ModelShape",
    "ModelSource",
    "OperatingPoint",
    "OptimizerSettings",
    "Prediction",
    "Predictor",
    "PruneJob",
    "Question",
    "Ranked",
    "RunError",
    "SearchJob",
    "SearchSpace",
    "SubModelConfig",
    "SupernetJob",
    "Task",
    "TrainingData",
    "UserError",
    "choose_exits",
    "count_flops",
    "count_parameters",
    "distil",
    "evaluate",
    "export_sub_model",
    "finetune",
    "load_datasets",
    "load_model",
    "make_job",
    "prune",
    "search_fptas",
    "search_sub_models",
    "train_exits",
    "train_supernet",
]
