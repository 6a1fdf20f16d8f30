"""Product and PyTorch twin side by side, each in a process of its own, at a tiny shape."""

import json
import os
import sys

import pytest

from helpers.bert_directory import tiny_directory, tiny_teacher
from helpers.glue_layout import write_glue
from helpers.paths import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))

import torch_twin
from twin import prove, record
from twin.command_line import PLANTS
from twin.tables import verdict

from ofa_bert.errors import UserError
from ofa_bert.system import child_process

PROGRAM = ROOT / "benchmarks" / "torch_twin.py"


def torch_python():
    """A Python with PyTorch: this one, or the one that OFA_BERT_TORCH_PYTHON names."""
    python = os.environ.get("OFA_BERT_TORCH_PYTHON", sys.executable)
    try:
        prove.check_python(python, prove.NEEDS["follow"])
    except UserError as error:
        pytest.skip(f"{error}; OFA_BERT_TORCH_PYTHON names another")
    return python


CASES = {
    "classes": (
        "mrpc",
        "--recipe quick --augment 0.3 --max_grad_norm 0.5 --warmup_steps 2 --weight_decay 0.01 --adam_epsilon 1e-6",
    ),
    "a number": ("sts-b", "--recipe strong --trial_steps 4 --adam_epsilon 1e-3"),
    "all in every step": (
        "mrpc",
        "--depth_mult_list 1.0 0.5 --layer_choice importance --lambda_logit 0.5 --adam_epsilon 1e-6",
    ),
}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("case", CASES)
def test_product_and_twin_agree_and_planted_mistakes_are_found(case, tmp_path, capsys):
    python, (task, flags) = torch_python(), CASES[case]
    write_glue(tmp_path / "glue", 160, 40)
    where, out = tiny_teacher(tmp_path / "teacher", task), tmp_path / "proof"
    argv = ["prove", "--model_name_or_path", str(where), "--task_name", task, "--torch_python", python]
    argv += ["--data_dir", str(tmp_path / "glue" / task.upper()), "--output_dir", str(out), *flags.split()]
    # A high rate makes mistakes large. With the usual epsilon it would do so with the rounding of gradients that are
    # zero but for that: those of what only the largest sub-model has, which begins as its teacher.
    argv += ["--learning_rate", "1e-3"]
    code = torch_twin.main(argv)
    told = capsys.readouterr()
    assert code == 0, told.err
    assert "losses of 20 steps agree" in told.out
    request = json.loads((out / record.REQUEST).read_text())
    for plant in PLANTS:
        request["own"]["plant"] = plant
        (out / record.REQUEST).write_text(json.dumps(request))
        assert child_process.finish([python, str(PROGRAM), "follow", str(out)]).code == 0
        rows, checks = prove.compared(out)
        assert any(row.wrong for row in rows), f"{plant}: not found"
        assert verdict(rows, checks)


@pytest.mark.slow
def test_a_recipe_is_tried_from_an_encoder_on(tmp_path):
    python = torch_python()
    write_glue(tmp_path / "glue", 96, 40)
    encoder, out = tiny_directory(tmp_path / "encoder", 0), tmp_path / "out"
    argv = ["train", "--model_name_or_path", encoder, "--task_name", "MRPC", "--data_dir", tmp_path / "glue" / "MRPC"]
    argv += ["--recipe", "quick", "--seeds", "1", "2", "--device", "cpu", "--finetune_epochs", "1", "--max_steps", "6"]
    argv += ["--max_seq_length", "32"]
    ended = child_process.finish([python, str(PROGRAM), *map(str, argv), "--output_dir", str(out)])
    assert ended.code == 0, ended.complaint
    rows = [json.loads(line) for line in (out / "rows.jsonl").read_text().splitlines()]
    assert [row["seed"] for row in rows] == [1, 2]
    assert all(len(row["scores"]) == 8 and row["steps"] == 6 for row in rows)
    assert rows[0]["teacher"] == rows[1]["teacher"]
    name, difference = next(iter(rows[0]["differences"].items()))
    assert difference == pytest.approx(100 * (rows[0]["scores"][name] - rows[0]["teacher"]["score"]))
    assert "± " in (out / "table.md").read_text()
    from ofa_bert.models.directories import load_model

    model, _, read = load_model(out / "teacher")
    assert read.task.name == "mrpc"
    assert model.state_dict()["classifier.weight"].shape == [32, 2]
