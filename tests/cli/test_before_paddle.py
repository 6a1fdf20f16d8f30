"""What is said of a command line before Paddle is loaded."""

import json
import subprocess
import sys

import pytest

from helpers.paths import ROOT
from helpers.stated_models import state_supernet

EVERY = """
import contextlib, io, json, sys
from ofa_bert.__main__ import main
found = []
for argv in json.loads(sys.argv[1]):
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        code = main(argv)
    found.append([code, said.getvalue(), "paddle" in sys.modules])
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def supernet(tmp_path_factory):
    """What a supernet's directory states; nothing here reads its weights."""
    return state_supernet(tmp_path_factory.mktemp("early") / "net" / "best").parent


EXPORT = "export --model_name_or_path NET --sub_model_output_dir o"
STATIC = f"{EXPORT} --static_sub_model s --max_seq_length 16"
CASES = [
    (
        "finetune --task_name demo --model_name_or_path ./nothing --output_dir o",
        "./nothing: there is no such directory",
    ),
    ("finetune --task_name demo --model_name_or_path empty --output_dir o", "empty: is no model directory"),
    ("finetune --task_name demo --model_name_or_path x --output_dir taken", "--output_dir taken: holds a run already"),
    ("finetune --train_file a.csv --dev_file b.csv --model_name_or_path x --output_dir o", "a.csv"),
    ("supernet --task_name demo --model_name_or_path ./nothing --output_dir o", "there is no such directory"),
    ("supernet --task_name demo --model_name_or_path x --output_dir taken", "continue it with --resume"),
    ("distil --task_name demo --teacher x --student y --output_dir taken", "holds a run already"),
    ("export --model_name_or_path NET --sub_model_output_dir o --width_mult 0.7", "width_mult 0.7 was not trained"),
    ("export --model_name_or_path NET --sub_model_output_dir NET", "--sub_model_output_dir"),
    ("export --model_name_or_path NET --sub_model_output_dir o --static_sub_model s --exit_policy p", "has no exits"),
    (f"{EXPORT} --engine rtx", "--engine needs --static_sub_model"),
    (f"{EXPORT} --engine_batch 1 2 4", "--engine_batch: is about --engine; give that too"),
    (f"{STATIC} --engine rtx --engine_compute_capability 8", "--engine_compute_capability 8: must be two numbers"),
    (f"{STATIC} --engine tensorrt --engine_compute_capability 9.0", "leave it out, or take --engine rtx"),
    (f"{STATIC} --engine rtx --engine_compute_capability 7.5", "ask for --precision fp16 or int8-static too"),
    (f"{STATIC} --engine rtx --engine_batch 4 2 8", "--engine_batch 4 2 8: give least, best and most"),
    (f"{STATIC} --engine rtx --engine_length 1 2 9999", "--engine_length 9999: the bundle"),
    (f"{STATIC} --engine rtx --precision fp16", "tensorrt_rtx_bindings is not installed"),
    ("search --model NET --output_dir o --max_params 5k", "--max_params 5000: the smallest sub-model"),
    ("search --model NET --output_dir o --max_flops 1k", "--max_flops 1000: the smallest sub-model"),
    ("search --model NET --output_dir o --max_file_mib 0.001", "--max_file_mib 0.001: the smallest sub-model"),
    ("finetune --task_name demo --model_name_or_path x --output_dir o --gpus 0,0", "--gpus 0,0: must be numbers"),
    ("finetune --task_name demo --model_name_or_path x --output_dir o --gpus 0,1 --device cpu", "needs --device gpu"),
    ("finetune --task_name demo --model_name_or_path x --output_dir o --verbose --quiet", "exclude each other"),
]


def test_a_mistake_is_told_without_loading_paddle(supernet, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "taken" / "best").mkdir(parents=True)
    lines = [[str(supernet) if word == "NET" else word for word in line.split()] for line, _ in CASES]
    command = [sys.executable, "-c", EVERY, json.dumps(lines)]
    done = subprocess.run(
        command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout.splitlines()[-1])
    other = [
        (line, code, said)
        for (line, words), (code, said, with_paddle) in zip(CASES, found, strict=True)
        if code != 2 or words not in said or with_paddle
    ]
    assert other == []
