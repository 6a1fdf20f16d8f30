"""The shape of the house: imports go down the layers, what needs no Paddle imports none, folders stay readable."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.paths import ROOT, WITHOUT_PADDLE

PACKAGE = ROOT / "ofa_bert"
# The only files there that may import it, and inside functions alone.
MAY_IMPORT_PADDLE = {
    "bench/peers/paddle_dynamic.py": "the peer that is PaddleNLP's own model",
    "runtime/backends/paddle_inference.py": "Paddle's own back end",
    "runtime/paddlenlp_tokenizer.py": "PaddleNLP's tokenizer",
}
PADDLE = {"paddle", "paddlenlp", "paddleslim"}
MOST_FILES = 15

IMPORT_ALL = """
import importlib, importlib.abc, sys
class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("paddle", "paddlenlp", "paddleslim"):
            raise ModuleNotFoundError("blocked: " + name, name=name)
sys.meta_path.insert(0, Blocked())
for name in sys.argv[1:]:
    importlib.import_module(name)
"""


def files_of(*packages):
    lowest = [PACKAGE / f"{name}.py" for name in ("drawing", "errors", "numerics", "options", "reporting")]
    return [*lowest, *(path for package in packages for path in sorted((PACKAGE / package).rglob("*.py")))]


def imported(path):
    """(package, whether inside a function) of every import of a file, `packages.require` included."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside = {
        id(node) for function in ast.walk(tree) if isinstance(function, ast.FunctionDef) for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in ("require", "import_module"):
            names = [argument.value for argument in node.args if isinstance(argument, ast.Constant)]
        for name in names:
            yield str(name).split(".")[0], id(node) in inside


def test_imports_go_down_the_layers():
    pytest.importorskip("importlinter")
    program = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([str(program)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_what_needs_no_paddle_imports_none():
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in files_of(*WITHOUT_PADDLE)
    ]
    assert len(modules) > 60
    command = [sys.executable, "-c", IMPORT_ALL, *modules]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_inside_functions_only_three_files_import_paddle():
    found = {}
    for path in files_of(*WITHOUT_PADDLE):
        for name, inside in imported(path):
            if name in PADDLE:
                found.setdefault(path.relative_to(PACKAGE).as_posix(), set()).add(inside)
    assert found == {name: {True} for name in MAY_IMPORT_PADDLE}


def test_no_folder_holds_more_than_can_be_looked_through():
    counts = {}
    for path in PACKAGE.rglob("*.py"):
        if path.name != "__init__.py":
            counts[path.parent] = counts.get(path.parent, 0) + 1
    assert {folder: count for folder, count in counts.items() if count > MOST_FILES} == {
        PACKAGE / "cli" / "commands": counts[PACKAGE / "cli" / "commands"]  # a file a command
    }


def test_no_test_imports_from_another_test():
    for path in (ROOT / "tests").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not [name for name in names if str(name).startswith(("test_", "conftest"))], path


def test_every_package_is_told_of_in_the_design():
    text = (ROOT / "docs" / "design" / "layers.md").read_text(encoding="utf-8")
    packages = [path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()]
    assert [name for name in packages if f"`{name}/`" not in text] == []
