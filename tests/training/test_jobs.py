"""Command lines: the documented ones, the reference's defaults, and every problem in one message."""

import pytest

import export_model
import run_glue
import run_glue_ofa
from ofa_bert.cli.parser import parse
from ofa_bert.errors import UserError
from ofa_bert.export.job import ExportJob
from ofa_bert.system.accelerator import means
from ofa_bert.training.settings import FinetuneJob
from ofa_bert.training.supernet.job import SupernetJob

FINETUNE = (
    "--model_type bert --model_name_or_path bert-base-uncased --task_name SST-2 --max_seq_length 128 --batch_size 32"
    " --learning_rate 2e-5 --num_train_epochs 3 --logging_steps 1 --save_steps 500 --output_dir ./tmp/SST-2/"
    " --device gpu"
)
OFA = (
    "--model_type bert --model_name_or_path DIR --task_name SST-2 --max_seq_length 128 --batch_size 32"
    " --learning_rate 2e-5 --num_train_epochs 6 --logging_steps 10 --save_steps 100 --output_dir OUT --device gpu"
    " --width_mult_list 1.0 0.8333333333333334 0.6666666666666666 0.5"
)
EXPORT = (
    "--model_type bert --model_name_or_path OFA_DIR --max_seq_length 128 --sub_model_output_dir DIR"
    " --static_sub_model STATIC --device gpu --width_mult 0.6666666666666666"
)


def test_documented_command_lines():
    job = parse(FinetuneJob, FINETUNE.split(), "")
    assert (job.optimizer.learning_rate, job.loop.num_train_epochs, job.loop.device) == (2e-5, 3.0, "gpu")
    job = parse(SupernetJob, OFA.split(), "")
    assert job.width_mult_list == (1.0, 5 / 6, 2 / 3, 0.5)
    job = parse(ExportJob, EXPORT.split(), "")
    assert job.choice.width_mult == 2 / 3
    assert job.choice.depth_mult == 1.0


def test_defaults_are_those_of_the_reference_scripts():
    least = "--model_name_or_path M --task_name rte --output_dir O".split()
    job = parse(FinetuneJob, least, "")
    loop, adam = job.loop, job.optimizer
    got = (adam.learning_rate, loop.batch_size, loop.warmup_proportion, adam.adam_epsilon, loop.seed)
    assert got == (1e-4, 32, 0.1, 1e-6, 42)
    assert (loop.logging_steps, loop.save_steps, loop.length, loop.device) == (100, 100, 128, means("auto"))
    job = parse(SupernetJob, least, "")
    loop, adam = job.loop, job.optimizer
    got = (adam.learning_rate, loop.batch_size, adam.adam_epsilon, job.lambda_logit, job.lambda_rep)
    assert got == (5e-5, 8, 1e-8, 1.0, 0.1)
    assert (loop.logging_steps, loop.save_steps, job.depth_mult_list) == (500, 500, (1.0,))


def test_every_problem_is_in_one_message():
    line = "--task_name x --batch_size many --learning_rat 3 --device tpu --width_mult_list 0.5 wide"
    with pytest.raises(UserError) as caught:
        parse(SupernetJob, line.split(), "")
    message = str(caught.value)
    for part in (
        "--batch_size many: must be a whole number",
        "did you mean --learning_rate?",
        "--device tpu: must be one of auto, gpu, cuda, cpu, xpu",
        "--width_mult_list wide: must be a number",
        "--model_name_or_path is required",
        "--output_dir is required",
    ):
        assert part in message


@pytest.mark.parametrize(
    ("more", "part"),
    [
        ("--width_mult_list 0 1", "--width_mult_list 0.0: must be above 0"),
        ("--width_mult_list 1.5", "--width_mult_list 1.5"),
        ("--width_mult_list nan", "must be a number"),
        ("--batch_size 0", "--batch_size 0"),
        ("--max_seq_length 2", "--max_seq_length 2"),
        ("--amp bf16 --device cpu", "--amp bf16: needs --device gpu"),
        ("--lambda_logit 0 --lambda_rep 0", "leaves no loss"),
        ("--stages width,width_depth", "needs depths below 1"),
        ("--train_file a.tsv", "--train_file needs --dev_file, or --dev_share 0.1"),
        ("--dev_file a.tsv", "--dev_file needs --train_file"),
        ("--train_file a --dev_file b --dev_share 0.1", "--dev_file and --dev_share exclude each other"),
        ("--dev_share 0.1", "--dev_share is a share of --train_file; a GLUE task has its own development data"),
        ("--train_file a --dev_share 0", "--dev_share 0.0: must be above 0 and at most 0.5"),
        ("--train_file a --dev_share 0.6", "--dev_share 0.6: must be above 0 and at most 0.5"),
        ("--text_columns a b c --train_file a --dev_file b", "one or two columns"),
        ("--warmup_proportion 1", "--warmup_proportion 1.0"),
        ("--supernet_dropout 1", "--supernet_dropout 1.0"),
        ("--held_out_share 0", "--held_out_share 0.0"),
        ("--seed -1", "--seed -1"),
        ("stray", "stray: belongs to no flag"),
    ],
)
def test_refused_values(more, part):
    with pytest.raises(UserError) as caught:
        parse(SupernetJob, f"--model_name_or_path M --task_name rte --output_dir O {more}".split(), "")
    assert part in str(caught.value)


def test_export_refuses_two_ways_of_saying_the_same():
    line = "--model_name_or_path M --sub_model_output_dir D --sub_model F --width_mult 0.5 --onnx"
    with pytest.raises(UserError) as caught:
        parse(ExportJob, line.split(), "")
    assert "exclude each other" in str(caught.value)
    assert "--onnx needs --static_sub_model" in str(caught.value)


@pytest.mark.parametrize("script", [run_glue, run_glue_ofa, export_model])
def test_a_mistake_exits_with_2_and_one_line(script, capsys):
    assert script.main(["--no_such_flag"]) == 2
    error = capsys.readouterr().err
    assert error.count("error:") == 1
    assert "--no_such_flag: no such flag" in error
    assert "Traceback" not in error


@pytest.mark.parametrize("script", [run_glue, run_glue_ofa, export_model])
def test_help_names_every_flag(script, capsys):
    with pytest.raises(SystemExit) as caught:
        script.main(["--help"])
    assert caught.value.code == 0
    shown = capsys.readouterr().out
    assert "--model_name_or_path" in shown
    assert "python -u ./" in shown
