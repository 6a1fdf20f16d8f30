"""Which family a model is of is read from the model; an option that contradicts it stays an error."""

import json
import logging
from dataclasses import dataclass

import pytest

from helpers.foreign_files import tokenizer_for
from helpers.models import build
from ofa_bert.errors import UserError
from ofa_bert.export.job import ExportJob
from ofa_bert.latency.job import LatencyJob
from ofa_bert.models.config_checks import check_model_type
from ofa_bert.models.directories import load_model, save_model
from ofa_bert.models.families.refused import REFUSED
from ofa_bert.models.families.registry import ALIASES, AUTO, MODEL_TYPES, model_class
from ofa_bert.models.model_type import model_type_of_source, stated_model_type, with_model_type
from ofa_bert.models.record import ModelRecord
from ofa_bert.options import options_of
from ofa_bert.recipes.evaluate_job import EvaluateJob
from ofa_bert.recipes.jobs import RecipeJob
from ofa_bert.search.job import SearchJob
from ofa_bert.training.exits.jobs import ExitChoiceJob, ExitTrainingJob
from ofa_bert.training.pretraining.elastic_job import ElasticJob
from ofa_bert.training.pretraining.job import PretrainJob
from ofa_bert.training.settings import FinetuneJob
from ofa_bert.training.students.jobs import DistilJob, PruneJob
from ofa_bert.training.supernet.job import SupernetJob
from ofa_bert.training.tuning.job import TuneJob


@dataclass(frozen=True)
class Source:
    model_type: str = AUTO


def directory(path, config, record=None, name="config.json"):
    path.mkdir(parents=True)
    (path / name).write_text(json.dumps(config))
    if record is not None:
        (path / "ofa_config.json").write_text(json.dumps({"format": 1, **record}))
    return path


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_the_configuration_names_it(tmp_path, model_type):
    assert model_type_of_source(directory(tmp_path / "m", {"model_type": model_type})) == model_type


@pytest.mark.parametrize(
    ("config", "found"),
    [
        ({"architectures": ["BertForMaskedLM"]}, "bert"),
        ({"architectures": ["RobertaModel"]}, "roberta"),
        ({"architectures": ["ErnieForSequenceClassification"]}, "ernie"),
        ({"architectures": ["ElectraForPreTraining"]}, "electra"),
        ({"architectures": ["DistilBertForMaskedLM"]}, "distilbert"),
        ({"architectures": ["ErnieGramModel"]}, "ernie_gram"),
        ({"architectures": ["PPMiniLMForQuestionAnswering"]}, "ppminilm"),
        ({"architectures": ["TinyBertForSequenceClassification"]}, "tinybert"),
        ({"init_class": "TinyBertForPretraining", "init_args": [{"init_class": "TinyBertModel"}]}, "tinybert"),
        ({"init_args": [{"init_class": "ElectraModel", "hidden_size": 8}], "num_classes": 2}, "electra"),
        ({"architectures": "RobertaModel", "init_class": ["x"], "init_args": 3}, "bert"),
        ({"architectures": ["ErnieMModel"]}, "ernie_m"),
        ({"architectures": ["NezhaModel"]}, "bert"),  # no family of ours: taken for the default
    ],
)
def test_names_of_classes_say_it_where_the_configuration_does_not(tmp_path, config, found):
    assert stated_model_type("m", config) == found
    assert model_type_of_source(directory(tmp_path / "m", config, name="model_config.json")) == found


def test_the_record_says_it_where_the_configuration_does_not(tmp_path):
    made = directory(tmp_path / "run" / "best", {"architectures": ["BertModel"]}, {"model_type": "electra"})
    assert model_type_of_source(made) == model_type_of_source(tmp_path / "run") == "electra"
    odd = directory(tmp_path / "odd", {"model_type": "ernie"}, {"model_type": "electra"})
    assert model_type_of_source(odd) == "ernie"


def test_a_guess_is_told(caplog):
    with caplog.at_level(logging.INFO, "ofa_bert"):
        assert stated_model_type("m", {"hidden_size": 8}) == "bert"
    assert "m: its config.json does not say which family it is of; taken for bert" in caplog.text


@pytest.mark.parametrize(("named", "shown"), [("xlnet", "xlnet"), (7, "7"), ("x\n" * 99, "x?x?"), ([], r"\[\]")])
def test_a_family_that_is_not_supported_is_refused_in_one_line(named, shown):
    with pytest.raises(UserError, match=rf"^m: is a {shown}") as error:
        stated_model_type("m", {"model_type": named})
    assert "supported are bert, ernie, roberta, tinybert, electra" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("named", REFUSED)
def test_a_family_that_cannot_be_taken_is_refused_with_the_reason(named, tmp_path):
    made = directory(tmp_path / "m", {"model_type": named})
    with pytest.raises(UserError, match=rf"m: is a {named} model, whose .*; supported are bert, ") as error:
        model_type_of_source(made)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("alias", "family"), ALIASES.items())
def test_another_name_of_a_family_is_that_family(alias, family, tmp_path):
    made = directory(tmp_path / "m", {"model_type": alias})
    assert model_type_of_source(made) == family
    check_model_type("m", {"model_type": alias}, family)
    with pytest.raises(UserError, match=f"is a {family} model, not bert; use `model_type` {family}"):
        check_model_type("m", {"model_type": alias}, "bert")


def test_what_is_no_model_is_left_to_whoever_loads_it(tmp_path):
    (tmp_path / "empty").mkdir()
    assert model_type_of_source(tmp_path / "empty") == "bert"


def test_an_option_is_kept(tmp_path):
    made = directory(tmp_path / "m", {"model_type": "ernie"})
    assert with_model_type(Source(), made) == Source("ernie")
    assert with_model_type(Source("bert"), made) == Source("bert")


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("bert-base-uncased", "bert"),
        ("ernie-3.0-medium-zh", "ernie"),
        ("hfl/roberta-wwm-ext", "roberta"),
        ("tinybert-4l-312d-v2", "tinybert"),
        ("electra-small", "electra"),
        ("distilbert-base-uncased", "distilbert"),
        ("ppminilm-6l-768h", "ppminilm"),
        ("ernie-gram-zh", "ernie_gram"),
    ],
)
def test_names_that_paddlenlp_knows(name, found):
    assert model_type_of_source(name) == found


def test_other_names_say_it_in_the_configuration_that_paddlenlp_fetches(monkeypatch):
    def fetched(cls, name):
        if name != "someone/roberta":
            raise OSError("no such name")
        return {"model_type": "roberta"}, {}

    monkeypatch.setattr(model_class("bert").config_class, "get_config_dict", classmethod(fetched))
    assert model_type_of_source("someone/roberta") == "roberta"
    assert model_type_of_source("someone/else") == "bert"


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_a_model_loads_as_what_it_is(tmp_path, model_type):
    model = build(model_type, layers=1)
    save_model(tmp_path / "m", model, tokenizer_for(tmp_path, model_type), ModelRecord(model_type=model_type))
    again, _, _ = load_model(tmp_path / "m")
    assert again.base_model_prefix == model_type
    other = "bert" if model_type != "bert" else "ernie"
    with pytest.raises(UserError, match=f"is a {model_type} model, not {other}; use `model_type` {model_type}"):
        load_model(tmp_path / "m", other)


@pytest.mark.parametrize(
    "job",
    [
        DistilJob, ElasticJob, EvaluateJob, ExitChoiceJob, ExitTrainingJob, ExportJob, FinetuneJob, LatencyJob,
        PretrainJob, PruneJob, RecipeJob, SearchJob, SupernetJob, TuneJob,
    ],
)  # fmt: skip
def test_no_command_asks_for_it(job):
    (found,) = [item for item in options_of(job) if item.name == "model_type"]
    assert found.default == AUTO
