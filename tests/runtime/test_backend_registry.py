"""A back end is its own file and a line: without them the rest still opens, predicts and says what is missing."""

import ast
import json
import re
import shutil
import subprocess
import sys

import pytest

from helpers.handmade_bundle import LABELS, make_bundle
from helpers.paths import ROOT
from ofa_bert.bench.peers.registry import PEERS
from ofa_bert.errors import UserError
from ofa_bert.runtime.backends import registry
from ofa_bert.runtime.backends.base import PRECISIONS
from ofa_bert.runtime.backends.registry import (
    BACKENDS,
    OF_MODELS,
    REGISTRY,
    best_form,
    files_for,
    first_for,
    wants_fused,
)

PACKAGE = ROOT / "ofa_bert"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return make_bundle(tmp_path_factory.mktemp("bundle") / "b")


WITHOUT = """
import importlib, json, pkgutil, sys
sys.path.insert(0, sys.argv[1])
bundle, missing = sys.argv[2:]
for name in ("paddle", "paddlenlp", "paddleslim", "torch"):
    sys.modules[name] = None
import ofa_bert
assert ofa_bert.__file__.startswith(sys.argv[1])
from ofa_bert.errors import UserError
from ofa_bert.runtime import Predictor
from ofa_bert.runtime.backends.registry import BACKENDS

def answer(backend):
    try:
        with Predictor(bundle, backend, threads=1) as predictor:
            return [prediction.label for prediction in predictor.predict(["a good film", "dull"])]
    except UserError as error:
        return str(error)

found = {name: answer(name) for name in (*BACKENDS, "auto", missing)}
broken = {}
for module in pkgutil.walk_packages(ofa_bert.__path__, "ofa_bert."):
    if module.name.endswith("__main__"):
        continue
    try:
        importlib.import_module(module.name)
    except ModuleNotFoundError as error:
        if error.name.split(".")[0] not in ("paddle", "paddlenlp", "paddleslim", "torch"):
            broken[module.name] = str(error)
    except Exception as error:
        broken[module.name] = repr(error)
print(json.dumps({"found": found, "broken": broken}))
"""


def copy_without(folder, name):
    """A copy of the package without one back end's file and its line in the registry."""
    shutil.copytree(PACKAGE, folder / "ofa_bert", ignore=shutil.ignore_patterns("__pycache__"))
    backends = folder / "ofa_bert" / "runtime" / "backends"
    (backends / f"{name}.py").unlink()
    lines = (backends / "registry.py").read_text().splitlines(keepends=True)
    kept = [line for line in lines if line.strip() != f'"{name}",']
    assert len(lines) - len(kept) == 1
    (backends / "registry.py").write_text("".join(kept))


@pytest.mark.slow
@pytest.mark.parametrize("missing", BACKENDS)
def test_without_a_back_ends_file_and_line_the_others_work(missing, bundle, tmp_path):
    copy_without(tmp_path, missing)
    command = [sys.executable, "-c", WITHOUT, str(tmp_path), str(bundle), missing]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["broken"] == {}
    others = [name for name in BACKENDS if name != missing]
    assert set(told["found"]) == {*others, "auto", missing}
    assert told["found"][missing] == f"backend {missing}: must be one of auto, {', '.join(others)}"
    computed = [name for name in others if REGISTRY[name].format == "onnx"]
    for name in (*computed, "auto"):
        assert len(told["found"][name]) == 2, told
        assert set(told["found"][name]) <= set(LABELS), told
    for name in set(others) - set(computed):
        why = "computes on tensorrt, tensorrt_rtx only" if name not in OF_MODELS else "package paddle is not installed"
        assert why in told["found"][name]


# Where a word that is a back end's name means something else.
OTHER_MEANING = {
    "bench/peers/quantized.py",  # packages that it needs
    "export/nncf_int8.py",
    "cli/commands/export.py",  # where a model for transformers goes
    "export/early.py",
    "export/job.py",
    "export/sub_model.py",
    "doctor/parts/libraries.py",  # packages that are loaded
    "doctor/parts/requirements.py",  # extras
    "doctor/probes/loads.py",
    "system/packages.py",  # packages and the extras that bring them
    "system/provenance.py",  # packages whose versions are recorded
    "serving/job.py",  # Triton's accelerators
    "serving/config_text.py",
}


@pytest.mark.parametrize(("names", "own"), [(BACKENDS, "runtime/backends"), (tuple(PEERS), "bench/peers")])
def test_nobody_else_knows_a_name(names, own):
    strangers = []
    for path in sorted(PACKAGE.rglob("*.py")):
        place = path.relative_to(PACKAGE).as_posix()
        if place.startswith(own) or place in OTHER_MEANING:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and node.value in names:
                strangers.append(f"{place}:{node.lineno}: {node.value}")
    assert strangers == []


def test_a_back_end_is_named_in_its_own_file_and_the_registry_alone():
    folder = PACKAGE / "runtime" / "backends"
    for name in BACKENDS:
        word = re.compile(rf'"{name}"')
        holding = {path.stem for path in folder.glob("*.py") if word.search(path.read_text())}
        assert holding - {name} == {"registry"}


@pytest.mark.parametrize("name", BACKENDS)
def test_declarations_are_whole(name):
    item = REGISTRY[name]
    assert item.name == name
    assert item.format in (("onnx", "paddle") if item.pick is None else ("engine",))
    assert set(item.devices) <= {"cpu", "gpu"}
    for how in item.providers.values():
        assert set(how.files) <= set(PRECISIONS)
        assert all(files and set(files) <= set(PRECISIONS) for files in how.files.values())
        assert set(how.parts) <= set(how.files)
        assert not how.states_stay or how.parts


def test_what_is_asked_of_the_registry():
    assert first_for("onnx") == first_for("onnx", "int8-static") == first_for("onnx", "fp16", fused=True)
    assert first_for("onnx", "bf16") == "openvino"
    assert first_for("paddle", "int8-static") == "paddle_inference"
    with pytest.raises(UserError, match="no back end runs paddle parts of models with exits in int8-static"):
        first_for("paddle", "int8-static", parts=True)
    with pytest.raises(UserError, match="no back end runs paddle models in fp32; there are"):
        first_for("paddle", fused=True)
    assert [best_form(name, "int8") for name in OF_MODELS] == ["int8", "int8-static", "int8-static"]
    assert best_form("openvino", "bf16") == "bf16"
    assert [name for name in BACKENDS if wants_fused(name, "gpu")] == ["onnx_runtime"]
    assert not any(wants_fused(name, "cpu") for name in BACKENDS)
    assert files_for("openvino", "fp32", "cuda") == ()
    assert registry.PROVIDERS == ("cpu", "cuda", "tensorrt", "tensorrt_rtx")


def test_what_was_compiled_for_a_machine_is_tried_first():
    compiled = set(BACKENDS) - set(OF_MODELS)
    assert len(compiled) == 1
    assert registry.automatic("cpu") == registry.automatic("cuda") == OF_MODELS
    for provider in ("tensorrt", "tensorrt_rtx"):
        assert registry.automatic(provider) == (*compiled, *OF_MODELS)
