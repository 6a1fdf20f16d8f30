"""Every command on an install that lacks packages: it works, or one line names the extra of setup.py that has them."""

import json
import os
import re
import runpy
import subprocess
import sys
from functools import cache

import pytest
import setuptools

from helpers.handmade_bundle import make_bundle
from helpers.loads import LADDER, as_json
from helpers.paths import ROOT
from helpers.run_directories import finetune
from helpers.stated_models import state_supernet
from ofa_bert import __main__ as program
from ofa_bert.cli import process
from ofa_bert.cli.commands.registry import COMMANDS
from ofa_bert.data.demo_task import TASK
from ofa_bert.system import packages

RUNTIME = {"onnxruntime", "tokenizers"}
OTHERS = ("torch", "transformers", "tritonclient", "pandas", "datasets", "hypothesis")
DISTRIBUTIONS = {
    "sklearn": "scikit-learn",
    "paddle": "paddlepaddle",
    "cuda": "cuda-python",
    "tensorrt_rtx_bindings": "tensorrt-rtx-cu13-bindings",
    "onnxruntime_ep_nv_tensorrt_rtx": "onnxruntime-ep-nv-tensorrt-rtx-cu13",
}
# What is asked of each command. {tmp}: a directory of the test; {bundle}, {f1}, {numbers}: bundles of that metric.
DATA = "--task_name demo --max_seq_length 8"
LINES = {
    "finetune": "--model_name_or_path {tmp}/model --output_dir {tmp}/ft2 --device cpu " + DATA,
    "supernet": "--model_name_or_path {tmp}/model --output_dir {tmp}/ofa2 --device cpu " + DATA,
    "export": "--model_name_or_path {tmp}/model --sub_model_output_dir {tmp}/sub2 --device cpu",
    "add_digests": "--bundle {bundle}",
    "bench": "--bundles {bundle} --backends onnx_runtime --batch 1 --length 4 --repeats 1 --warmup 0 "
    "--output_dir {tmp}/bench",
    "demo": "--output_dir {tmp}/demo --device cpu",
    "distil": "--teacher {tmp}/model --student 1,1,32,4 --output_dir {tmp}/distil --device cpu " + DATA,
    "evaluate": "--bundle {bundle} --file {tmp}/texts.tsv",
    "evaluate f1": "--bundle {f1} --file {tmp}/texts.tsv",
    "evaluate numbers": "--bundle {numbers} --file {tmp}/numbers.tsv",
    "engine": "--bundle {bundle} --precision fp32 --compute_capability 8.6",
    "exits": "--model_name_or_path {tmp}/model --output_dir {tmp}/exits --task_name demo",
    "export_serving": "--bundles {bundle} --output_dir {tmp}/serving --engines triton",
    "latency": "--model {tmp}/model --output {tmp}/latency.json --device cpu",
    "predict": "--bundle {bundle} --input {tmp}/texts.tsv --output {tmp}/predicted.tsv",
    "pretrain": "--teacher {tmp}/model --shape 1,1,4,4 --corpus {tmp}/texts.tsv --output_dir {tmp}/pre --device cpu "
    "--held_out 2",
    "pretrain elastic": "--elastic --model_name_or_path {tmp}/model --corpus {tmp}/texts.tsv --held_out 2 "
    "--max_seq_length 8 --output_dir {tmp}/elastic --device cpu",
    "prune": "--model_name_or_path {tmp}/model --target_num_heads 1 --target_ffn_dim 1 --output_dir {tmp}/prune "
    "--device cpu " + DATA,
    "recipe": "--teacher {tmp}/model --student {tmp}/model --output_dir {tmp}/recipe --device cpu " + DATA,
    "report": "{tmp}/run",
    "search": "--model {tmp}/model --max_params 1e6 --output_dir {tmp}/search --device cpu",
    "simulate": "--points {tmp}/points.json --output_dir {tmp}/load --seconds 1",
    "trtexec": "--bundle {bundle} --precision fp32",
    "tune": "--model_name_or_path {tmp}/model --output_dir {tmp}/tune --device cpu " + DATA,
    "vocabulary": "--model_name_or_path {tmp}/model --texts {tmp}/texts.tsv --output {tmp}/tokens.txt",
    "run_glue.py": "--model_name_or_path {tmp}/model --output_dir {tmp}/ft --device cpu " + DATA,
    "run_glue_ofa.py": "--model_name_or_path {tmp}/model --output_dir {tmp}/ofa --device cpu " + DATA,
    "run_glue_ofa.py exits": "--exits geep --model_name_or_path {tmp}/model --output_dir {tmp}/e --device cpu " + DATA,
    "export_model.py": "--model_name_or_path {tmp}/model --sub_model_output_dir {tmp}/sub --device cpu",
}  # fmt: skip
NEED_NO_PADDLE = (
    "add_digests",
    "bench",
    "engine",
    "evaluate",
    "evaluate f1",
    "evaluate numbers",
    "export_serving",
    "predict",
    "report",
    "simulate",
    "trtexec",
)
# Runs every line of standard input, [command, words], where the packages of its arguments cannot be imported.
CHILD = """
import contextlib, importlib, io, json, sys, traceback

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if any(name == package or name.startswith(package + ".") for package in sys.argv[1:]):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocked())
for command, words in json.load(sys.stdin):
    err = io.StringIO()
    with contextlib.redirect_stderr(err), contextlib.redirect_stdout(io.StringIO()):
        script = command.split()[0]
        if script.endswith(".py"):
            main, argv = importlib.import_module(script[:-3]).main, words
        else:
            from ofa_bert.__main__ import main
            argv = [script, *words]
        try:
            rc = main(argv)
        except BaseException:
            rc = traceback.format_exc()
    print(json.dumps([command, rc, err.getvalue()]), flush=True)
"""


@cache
def extras():
    """What setup.py says of its extras: name -> distributions."""
    told = {}
    real, setuptools.setup = setuptools.setup, lambda **about: told.update(about)
    try:
        runpy.run_path(str(ROOT / "setup.py"))
    finally:
        setuptools.setup = real
    return {name: {re.split(r"[\[<>=]", one)[0] for one in wanted} for name, wanted in told["extras_require"].items()}


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    tmp = tmp_path_factory.mktemp("install")
    task = {"name": "t", "labels": ["0", "1"], "metrics": ["f1"], "text_columns": ["text"]}
    bundle, numbers = make_bundle(tmp / "bundle", labels=["0", "1"]), make_bundle(tmp / "numbers", labels=[])
    f1 = make_bundle(tmp / "f1", labels=["0", "1"], task=task)
    state_supernet(tmp / "model", TASK)
    finetune(tmp / "run")
    (tmp / "texts.tsv").write_text("text\tlabel\n" + "a good film\t1\nbad\t0\n" * 4)
    (tmp / "numbers.tsv").write_text("text\tlabel\n" + "a good film\t1.5\nbad\t0.25\nvery dull\t0.5\n" * 4)
    (tmp / "points.json").write_text(json.dumps(as_json(LADDER)))
    return {"tmp": str(tmp), "bundle": str(bundle), "f1": str(f1), "numbers": str(numbers)}


def run_without(blocked, commands, places):
    """Command -> (exit code, or a trace; standard error)."""
    lines = [[name, [word.format(**places) for word in LINES[name].split()]] for name in commands]
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *blocked],
        input=json.dumps(lines), capture_output=True, text=True, timeout=280,
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return {name: (code, err) for name, code, err in map(json.loads, done.stdout.splitlines())}


def check(command, code, err, blocked):
    """The packages that a failure asks for, none where the command works."""
    if code == 0:
        return set()
    assert code == 2, f"{command}: {code}\n{err}"
    (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
    assert err.splitlines()[-1] == line, err
    named = re.findall(r'pip install "\.\[([\w-]+)\]"', line)
    assert named, line
    wanted = {package for package in blocked if DISTRIBUTIONS.get(package, package) in extras()[named[0]]}
    assert wanted, f"{command} without {blocked}: {line}"
    return wanted


def test_every_command_is_tried():
    tried = {name.split()[0] for name in LINES if not name.split()[0].endswith(".py")}
    assert tried == set(COMMANDS) - {"doctor"}  # a missing package is what it is to find: tests/doctor


def test_hints_name_the_extra_that_has_the_package():
    for package, extra in packages.EXTRAS.items():
        assert DISTRIBUTIONS.get(package, package) in extras()[extra]
        assert f'".[{extra}]"' in str(packages.missing(package))
    for extra in ("cpu", "gpu"):
        assert f'".[{extra}]"' in str(packages.missing("paddle"))
    texts = [path.read_text("utf-8") for path in (ROOT / "ofa_bert").rglob("*.py")]
    assert not [text for text in texts if re.search(r"pip install .?ofa_bert", text)]  # nobody's, on the public index


def test_a_runtime_install_runs_what_needs_no_paddle_and_says_what_else_is_wanted(places):
    blocked = sorted({*packages.EXTRAS, "paddle", *OTHERS} - RUNTIME)
    found = run_without(blocked, LINES, places)
    assert set(found) == set(LINES)
    wanted = {command: check(command, *result, blocked) for command, result in found.items()}
    assert {name: wanted[name] for name in NEED_NO_PADDLE} == {
        "add_digests": set(),
        "bench": {"matplotlib", "scipy", "seqeval", "sklearn"},  # the extra has all four
        "engine": {"cuda", "tensorrt_rtx_bindings", "onnxruntime_ep_nv_tensorrt_rtx"},  # the extra has all three
        "evaluate": {"matplotlib", "scipy", "seqeval", "sklearn"},
        "evaluate f1": {"matplotlib", "scipy", "seqeval", "sklearn"},
        "evaluate numbers": {"matplotlib", "scipy", "seqeval", "sklearn"},
        "export_serving": {"onnx", "tritonclient"},
        "predict": set(),
        "report": set(),  # it says which pictures are missing
        "simulate": {"matplotlib", "scipy", "seqeval", "sklearn"},
        "trtexec": set(),
    }
    assert all(wanted[name] & {"paddle", "paddlenlp", "optuna"} for name in set(LINES) - set(NEED_NO_PADDLE))


@pytest.mark.slow
@pytest.mark.parametrize("package", sorted(packages.EXTRAS))
def test_a_single_package_that_is_missing(places, package):
    commands = [name for name in NEED_NO_PADDLE if name != "engine"]  # what it needs is in no lock
    found = run_without([package], commands, places)
    wanting = {command for command, result in found.items() if check(command, *result, [package])}
    needs = {
        "matplotlib": {"bench", "simulate"},
        "onnx": {"export_serving"},
        "onnxruntime": {"bench", "predict", "evaluate", "evaluate f1", "evaluate numbers"},
        "scipy": {"evaluate", "evaluate f1", "evaluate numbers"},  # scikit-learn needs it too
        "sklearn": {"evaluate", "evaluate f1", "evaluate numbers"},
        "tokenizers": {"predict", "evaluate", "evaluate f1", "evaluate numbers"},
    }
    assert wanting == needs.get(package, set())


def test_an_import_that_no_extra_cures_keeps_its_trace(monkeypatch, capsys):
    def fails(name):
        def work(argv):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

        return process.run_command(work, [])

    assert fails("sklearn.metrics") == 2
    assert 'pip install ".[measure]"' in capsys.readouterr().err
    for name in ("ofa_bert.gone", "six"):
        with pytest.raises(ModuleNotFoundError):
            fails(name)


def test_bench_says_it_before_it_measures(places, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    words = LINES["bench"].format(**{**places, "tmp": tmp_path}).split()
    assert program.main(["bench", *words]) == 2
    assert 'matplotlib is not installed; pip install ".[measure]"' in capsys.readouterr().err
    assert not (tmp_path / "bench").exists()
