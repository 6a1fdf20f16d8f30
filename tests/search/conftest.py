"""A supernet for searches."""

import pytest

from helpers.models import randomise
from ofa_bert.data.sources import load_datasets
from ofa_bert.models.directories import load_model, save_model
from ofa_bert.models.encoder import shape_of
from ofa_bert.models.record import ModelRecord
from ofa_bert.submodels.grid import SearchSpace


@pytest.fixture(scope="session")
def supernet_dir(tmp_path_factory, tiny_bert_dir, glue_dir):
    """A supernet as run_glue_ofa.py writes it, without its training: random weights tell sub-models apart as well."""
    directory = tmp_path_factory.mktemp("supernet") / "best"
    task = load_datasets(task_name="SST-2", data_dir=glue_dir).task
    model, tokenizer, _ = load_model(tiny_bert_dir, num_labels=2)
    randomise(model, 4)
    space = SearchSpace(shape_of(model), (1.0, 0.5), (1.0, 0.5))
    trained = {
        "task_name": "SST-2", "data_dir": str(glue_dir), "model_name_or_path": "gone", "held_out_share": 0.2,
        "seed": 42, "lambda_logit": 1.0, "lambda_rep": 0.1, "supernet_dropout": 0.0, "label_kind": "auto",
    }  # fmt: skip
    record = ModelRecord(
        kind="supernet", task=task, model_type="bert", max_seq_length=32, seed=42, shape=space.shape, space=space,
        config=trained, scores={"w1_d1": {"score": 0.5}},
    )  # fmt: skip
    save_model(directory, model, tokenizer, record)
    return directory.parent
