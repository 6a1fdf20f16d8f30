"""What a user may write for a value, and how the program is called."""

import logging
import sys
from pathlib import Path

import pytest

from ofa_bert import __main__ as commands
from ofa_bert.bench.job import BenchJob
from ofa_bert.cli import launch, parser
from ofa_bert.cli.parser import parse
from ofa_bert.errors import UserError
from ofa_bert.export.job import ExportJob
from ofa_bert.search.job import SearchJob
from ofa_bert.system import accelerator
from ofa_bert.training.settings import FinetuneJob, LoopSettings
from ofa_bert.training.supernet.job import SupernetJob

FINETUNE = "--model_name_or_path M --task_name demo --output_dir O".split()
EXPORT = "--model_name_or_path M --sub_model_output_dir O".split()
SEARCH = "--model M --output_dir O".split()


@pytest.mark.parametrize(
    ("word", "value"), [("14M", 14e6), ("0.5G", 5e8), ("20e6", 2e7), ("300k", 3e5), ("1/2", 0.5), ("1T", 1e12)]
)
def test_a_budget_has_units(word, value):
    assert parse(SearchJob, [*SEARCH, "--max_params", word], "").wanted.max_params == value


@pytest.mark.parametrize("word", ["14X", "M", "1/0", "nan", "1.5.2M", "1/2/3", "infM/2"])
def test_what_is_no_number_is_told(word):
    with pytest.raises(UserError, match="max_params .*must be a number, such as 0.67, 2/3 or 14M"):
        parse(SearchJob, [*SEARCH, "--max_params", word], "")


def test_a_count_has_units_and_no_fraction():
    assert parse(FinetuneJob, [*FINETUNE, "--max_steps", "1.5k"], "").loop.max_steps == 1500
    for word in ("0.0005k", "1/2", "3.5"):
        with pytest.raises(UserError, match="must be a whole number"):
            parse(FinetuneJob, [*FINETUNE, "--max_steps", word], "")


def test_a_width_is_a_fraction_or_a_name_from_a_table():
    job = parse(SupernetJob, [*FINETUNE, "--width_mult_list", "1", "5/6", "2/3"], "")
    assert job.width_mult_list == (1.0, 5 / 6, 2 / 3)
    choice = parse(ExportJob, [*EXPORT, "--width_mult", "w0.6667_d0.5"], "").choice
    assert (choice.width_mult, choice.depth_mult) == (0.6667, 0.5)
    assert parse(ExportJob, [*EXPORT, "--width_mult", "w.5_d1", "--depth_mult", "1"], "").choice.width_mult == 0.5
    with pytest.raises(UserError, match="depth_mult 0.5: another flag says 1.0"):
        parse(ExportJob, [*EXPORT, "--width_mult", "w0.5_d1", "--depth_mult", "0.5"], "")
    with pytest.raises(UserError, match="width_mult w0.5: must be a number"):
        parse(ExportJob, [*EXPORT, "--width_mult", "w0.5"], "")
    with pytest.raises(UserError, match="at most 1"):
        parse(ExportJob, [*EXPORT, "--width_mult", "w2_d1"], "")


@pytest.mark.parametrize(
    ("version", "found", "device"),
    [
        (None, [(8, 6)], "cpu"),
        ("2.6.2", [], "cpu"), ("2.6.2", [(8, 9), (8, 0)], "gpu"), ("2.6.2", [(9, 0)], "cpu"),
        ("3.3.1", [(9, 0)], "gpu"), ("3.3.1", [], "cpu"),
    ],
)  # fmt: skip
def test_auto_is_a_gpu_that_paddle_has_code_for(monkeypatch, caplog, version, found, device):
    monkeypatch.setattr(accelerator, "gpu_build", lambda: version)
    monkeypatch.setattr(accelerator, "capabilities", lambda: found)
    accelerator._auto.cache_clear()
    with caplog.at_level(logging.WARNING):
        job = parse(FinetuneJob, FINETUNE, "")
    accelerator._auto.cache_clear()
    assert job.loop.device == device
    assert ("has no code for a card of compute capability 9" in caplog.text) == (
        version == "2.6.2" and found == [(9, 0)]
    )


def test_cuda_is_gpu_and_a_device_can_be_named():
    assert parse(FinetuneJob, [*FINETUNE, "--device", "cuda"], "").loop.device == "gpu"
    assert parse(FinetuneJob, [*FINETUNE, "--device", "xpu"], "").loop.device == "xpu"
    with pytest.raises(UserError, match="device tpu: must be one of auto, gpu, cuda, cpu, xpu"):
        parse(FinetuneJob, [*FINETUNE, "--device", "tpu"], "")


def test_this_machine_has_a_gpu_build_of_paddle_or_none():
    def version(name):
        raise accelerator.importlib.metadata.PackageNotFoundError(name)

    assert accelerator.gpu_build(lambda name: "2.6.2") == "2.6.2"
    assert accelerator.gpu_build(version) is None
    assert all(1 <= major < 100 for major, _ in accelerator.capabilities())


@pytest.mark.parametrize(
    ("script", "name"),
    [
        ("/usr/bin/ofa-bert", "ofa-bert finetune"), ("run_glue.py", "run_glue.py"),
        ("x/ofa_bert/__main__.py", "python -m ofa_bert finetune"),
    ],
)  # fmt: skip
def test_help_names_what_was_called(monkeypatch, script, name):
    monkeypatch.setattr(sys, "argv", [script])
    assert parser.called("finetune") == name


def test_version_and_commands_that_are_none(capsys):
    assert commands.main(["--version"]) == 0
    assert capsys.readouterr().out == f"ofa_bert {commands.__version__}\n"
    assert commands.main(["findtune"]) == 2
    assert "findtune: no such command, did you mean finetune?" in capsys.readouterr().err
    assert commands.main([]) == 2
    assert "say what to do; commands: add_digests, bench" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        commands.main(["export-serving", "--help"])
    assert ended.value.code == 0
    assert "--max_queue_delay_us" in capsys.readouterr().out


class Started(list):
    """Stands for subprocess.Popen: remembers what was to be started."""

    def __call__(self, command):
        self.append(command)
        logs = Path(command[command.index("--log_dir") + 1])
        logs.mkdir()
        for name in ("backup_env.0.json", "envlog.0", "default.abc.log", "workerlog.0"):
            (logs / name).write_text("SECRET")
        return self

    def wait(self):
        return 5


def test_processes_are_started_with_the_same_options(monkeypatch, tmp_path):
    started = Started()
    monkeypatch.setattr(launch.subprocess, "Popen", started)
    monkeypatch.delenv("PADDLE_TRAINERS_NUM", raising=False)
    words = [*FINETUNE[:-1], str(tmp_path), "--processes", "2", "--learning_rate", "1e-3", "--quiet", "--device", "cpu"]
    job, start = launch.parse_launched(FinetuneJob, words, "", command="finetune")
    with pytest.raises(SystemExit) as ended:
        start()
    assert ended.value.code == 5
    assert [path.name for path in (tmp_path / "logs").iterdir()] == ["workerlog.0"]  # the others hold the environment
    (command,) = started
    place = command.index(str(launch.PROGRAM))
    how, program = command[:place], command[place + 1 :]
    assert how[1:] == [
        "-m", "paddle.distributed.launch", "--log_level", "CRITICAL", "--log_dir", str(tmp_path / "logs"),
        "--nproc_per_node", "2", "--",
    ]  # fmt: skip
    assert program[0] == "finetune"
    assert program[-1] == "--quiet"
    assert parse(FinetuneJob, program[1:], "") == job
    assert job == parse(FinetuneJob, [word for word in words if word not in ("--processes", "2")], "")


def test_one_process_starts_none_and_launched_ones_start_no_more(monkeypatch):
    monkeypatch.setattr(launch.subprocess, "Popen", None)
    _, start = launch.parse_launched(FinetuneJob, FINETUNE, "", command="finetune")
    start()
    monkeypatch.setenv("PADDLE_TRAINERS_NUM", "2")
    _, start = launch.parse_launched(FinetuneJob, [*FINETUNE, "--processes", "2"], "", command="finetune")
    with pytest.raises(UserError, match="has started this process already"):
        start()


def test_the_loop_of_a_library_user_keeps_the_word():
    assert LoopSettings().device == "auto"


def test_what_is_missing_is_explained_to_the_end_of_its_first_sentence():
    with pytest.raises(
        UserError, match=r"--output_dir is required: where rows\.json, rows\.csv, table\.md and the plots go"
    ):
        parse(BenchJob, ["--bundles", "x"], "")
