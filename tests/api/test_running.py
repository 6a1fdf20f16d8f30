"""What is told before anything runs, when a program calls a job."""

import subprocess
import sys
from dataclasses import replace

import pytest

from helpers.paths import ROOT
from ofa_bert import (
    DataSource,
    DistilJob,
    EvaluateJob,
    FinetuneJob,
    ModelSource,
    SearchJob,
    TrainingData,
    UserError,
    distil,
    evaluate,
    finetune,
    load_datasets,
    make_job,
    search_fptas,
    search_sub_models,
)

MODEL = ModelSource(model_name_or_path="no-such-model")

WITHOUT_PADDLE = """
import importlib.abc, sys
class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("paddle", "paddlenlp"):
            raise ModuleNotFoundError("blocked: " + name, name=name)
sys.meta_path.insert(0, Blocked())
import ofa_bert
options = dict(task_name="demo", model_name_or_path="m", output_dir="never-made", device="cpu")
for name, call in {
    "finetune": lambda: ofa_bert.finetune(ofa_bert.make_job(ofa_bert.FinetuneJob, **options)),
    "load_model": lambda: ofa_bert.load_model("m"),
}.items():
    try:
        call()
    except ofa_bert.UserError as error:
        print(name, error)
"""


def test_paddle_that_is_missing_is_told_with_what_to_install(tmp_path):
    command = [sys.executable, "-c", WITHOUT_PADDLE]
    done = subprocess.run(
        command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True
    )
    told = done.stdout.splitlines()
    assert [line.split()[0] for line in told] == ["finetune", "load_model"]
    assert all('Paddle is not installed; for a CPU: pip install ".[cpu]"' in line for line in told)
    assert list(tmp_path.iterdir()) == []


def test_a_job_made_by_hand_is_checked():
    job = FinetuneJob(data=TrainingData(), model=MODEL, output_dir="never-made")
    with pytest.raises(UserError, match="say what to train on"):
        finetune(job)
    job = make_job(DistilJob, teacher="t", student="2,4,32,64", task_name="demo", output_dir="never-made")
    job = replace(job, pair=replace(job.pair, student="2,4"))
    with pytest.raises(UserError, match="`student` 2,4: a shape is layers,heads,hidden,ffn"):
        distil(job)


def test_with_examples_at_hand_the_job_need_not_say_where_they_are(tmp_path):
    """Then the next thing that is wrong is told, still before Paddle is loaded: the model reads no texts so long."""
    (tmp_path / "config.json").write_text('{"model_type": "bert", "max_position_embeddings": 16}', encoding="utf-8")
    source = ModelSource(model_name_or_path=str(tmp_path))
    job = FinetuneJob(data=TrainingData(), model=source, output_dir="never-made")
    with pytest.raises(UserError, match="^`max_seq_length` 128: the model has positions for 16 tokens$"):
        finetune(job, load_datasets(task_name="demo"))


def test_data_that_do_not_go_together_are_told():
    job = make_job(EvaluateJob, bundle="b", file="f")
    with pytest.raises(UserError, match="b: "):
        evaluate(job)
    with pytest.raises(UserError, match="`train_file` needs `dev_file`, or `dev_share`"):
        make_job(DataSource, train_file="train.tsv")


def test_each_search_refuses_the_job_of_the_other():
    bort = make_job(SearchJob, model="m", output_dir="never-made", algorithm="fptas", device="cpu")
    nsga = make_job(SearchJob, model="m", output_dir="never-made", max_params=1e6, device="cpu")
    with pytest.raises(UserError, match="`algorithm` fptas: search_sub_models is for nsga2; call search_fptas"):
        search_sub_models(bort)
    with pytest.raises(UserError, match="`algorithm` nsga2: search_fptas is for fptas; call search_sub_models"):
        search_fptas(nsga)


def test_what_is_no_such_job_is_refused():
    with pytest.raises(UserError, match=r"^'demo' is no FinetuneJob; make_job\(FinetuneJob, ...\) makes one$"):
        finetune("demo")
    with pytest.raises(UserError, match="is no SearchJob"):
        search_fptas(make_job(EvaluateJob, bundle="b", file="f"))
