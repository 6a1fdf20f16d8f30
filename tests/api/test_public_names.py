"""`from ofa_bert import ...`: every name is there, typed, and costs nothing before it is used."""

import ast
import importlib
import json
import subprocess
import sys

import pytest

import ofa_bert
from helpers.paths import ROOT

PACKAGE = ROOT / "ofa_bert"
# Beside what this project and its light dependencies are: what loading Paddle costs is seconds.
HEAVY = {"matplotlib", "onnxruntime", "paddle", "paddlenlp", "paddleslim", "pandas", "sklearn"}


def modules_after(program):
    """The top-level modules and ours that a fresh process has loaded after the program."""
    code = f"{program}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_the_package_alone_loads_nothing():
    loaded = modules_after("import ofa_bert") - modules_after("import importlib")
    assert loaded == {"ofa_bert"}


def test_no_name_loads_paddle():
    loaded = modules_after("import ofa_bert\nfor name in ofa_bert.__all__: getattr(ofa_bert, name)")
    assert {"ofa_bert.runtime.predictor", "ofa_bert.api.training"} <= loaded
    assert loaded & HEAVY == set()


def test_importing_the_package_takes_a_tenth_of_a_second_at_most():
    command = [sys.executable, "-X", "importtime", "-c", "import ofa_bert"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stderr
    (line,) = [line for line in told.splitlines() if line.split("|")[-1].strip() == "ofa_bert"]
    assert int(line.split("|")[1]) < 100_000  # microseconds, its imports included


def test_every_name_is_what_its_module_defines():
    for name in ofa_bert.__all__:
        value = getattr(ofa_bert, name)
        assert value.__name__ == name
        assert value is getattr(importlib.import_module(value.__module__), name)


def test_dir_and_star_know_them_all():
    space = {}
    exec("from ofa_bert import *", space)
    assert set(ofa_bert.__all__) <= set(space)
    assert set(ofa_bert.__all__) <= set(dir(ofa_bert))
    assert "__version__" in dir(ofa_bert)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'ofa_bert' has no attribute 'finetun'"):
        ofa_bert.finetun  # noqa: B018
    with pytest.raises(ImportError, match="finetun"):
        exec("from ofa_bert import finetun")


def test_no_name_hides_behind_a_module():
    """Importing ofa_bert.search sets the attribute `search` of the package, whatever stood there."""
    modules = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert modules & set(ofa_bert.__all__) == set()


def test_type_checkers_see_the_same_names():
    stub = ast.parse((PACKAGE / "__init__.pyi").read_text(encoding="utf-8"))
    seen = {
        alias.asname: (node.module, alias.name)
        for node in stub.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == {name: (module, name) for name, module in ofa_bert._HOMES.items()}
    (listed,) = [node.value for node in stub.body if isinstance(node, ast.Assign) and node.targets[0].id == "__all__"]
    assert ast.literal_eval(listed) == ofa_bert.__all__


def test_the_wheel_has_what_type_checkers_look_for(tmp_path):
    """setuptools' own answer to which files belong to the package."""
    code = (
        "import sys, runpy, setuptools, distutils.core\n"
        "distutils.core._setup_stop_after = 'init'\n"
        "sys.argv = ['setup.py', 'build_py']\n"
        "runpy.run_path('setup.py', run_name='__main__')\n"
        "build = distutils.core._setup_distribution.get_command_obj('build_py')\n"
        "build.ensure_finalized()\n"
        "print([name for package, _, _, names in build.data_files for name in names])\n"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert sorted(ast.literal_eval(done.stdout.splitlines()[-1])) == ["__init__.pyi", "py.typed"]


def test_every_public_name_says_what_it_is_and_shows_a_use():
    for name in ofa_bert.__all__:
        said = getattr(ofa_bert, name).__doc__ or ""
        assert ">>> " in said, f"{name} shows no use"
        first = said.strip().splitlines()[0]
        assert first.endswith("."), f"{name}: {first}"
