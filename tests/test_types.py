"""Types: how often nobody says what a value is, and that everything without Paddle says it. mypy runs in make lint."""

import ast
import re

import pytest

from helpers.paths import ROOT, WITHOUT_PADDLE

PACKAGE = ROOT / "ofa_bert"
# What is left: what Paddle, NumPy and NVIDIA's bindings hand over, and parts of other people's files.
MOST_ANY = 14
# mypy is strict about these; about the packages that stand on Paddle, which has no types, it is not.
STRICT = ("api", *WITHOUT_PADDLE)
STRICT_FILES = ("__main__", "errors", "numerics", "options", "progress", "reporting")


def anys(tree):
    """The lines on which `Any` stands for a type, also inside a type that is written as a text."""
    for node in ast.walk(tree):
        if "Any" in (getattr(node, "id", None), getattr(node, "attr", None)):
            yield node.lineno
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and re.search(r"\bAny\b", node.value):
            try:
                inside = ast.parse(node.value, mode="eval")
            except SyntaxError:  # a sentence
                continue
            yield from (node.lineno for _ in anys(inside))


def unannotated(tree):
    """The functions of a module that leave the type of a parameter, or of what they return, open."""
    methods = {
        id(each)
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for each in node.body
        if not any(
            isinstance(mark, ast.Name) and mark.id == "staticmethod" for mark in getattr(each, "decorator_list", ())
        )
    }
    for node in ast.walk(tree):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        given = node.args
        parameters = [*given.posonlyargs, *given.args][id(node) in methods :]
        parameters += [*given.kwonlyargs, *filter(None, (given.vararg, given.kwarg))]
        returns = node.returns is not None or (node.name == "__init__" and bool(parameters))
        if not returns or any(parameter.annotation is None for parameter in parameters):
            yield node.name


def trees(paths):
    return {path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text(encoding="utf-8")) for path in paths}


def strict_files():
    folders = [path for package in STRICT for path in sorted((PACKAGE / package).rglob("*.py"))]
    return [*(PACKAGE / f"{name}.py" for name in STRICT_FILES), *folders]


def test_any_does_not_spread():
    counts = {name: len(list(anys(tree))) for name, tree in trees(sorted(PACKAGE.rglob("*.py"))).items()}
    most = sorted(filter(counts.get, counts), key=counts.get, reverse=True)[:10]
    shown = ", ".join(f"{name} {counts[name]}" for name in most)
    assert sum(counts.values()) <= MOST_ANY, f"most stand in {shown}"


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("from typing import Any\nx = 1", 0),
        ("def f(a: Any) -> dict[str, Any]: ...", 2),
        ("x: typing.Any = 1", 1),
        ("Config = Any", 1),
        ("Place: TypeAlias = 'tuple[Any, list[Any]]'", 2),
        ("'''Any text may stand here.'''", 0),
        ("anyone = any([])", 0),
    ],
)
def test_what_counts_as_any(text, count):
    assert len(list(anys(ast.parse(text)))) == count


def test_everything_without_paddle_is_annotated():
    found = [f"{name}: {function}" for name, tree in trees(strict_files()).items() for function in unannotated(tree)]
    assert found == []


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("def f(a: int) -> int: ...", []),
        ("def f(a) -> int: ...", ["f"]),
        ("def f(a: int): ...", ["f"]),
        ("def f() -> None:\n    def g(b): ...", ["g"]),
        ("def f(a: int, *b, c: int = 1) -> None: ...", ["f"]),
        ("def f(a: int, **b) -> None: ...", ["f"]),
        ("class A:\n    def __init__(self, a: int): ...\n    def f(self) -> None: ...", []),
        ("class A:\n    def __init__(self): ...", ["__init__"]),
        ("class A:\n    @staticmethod\n    def f(a) -> None: ...", ["f"]),
    ],
)
def test_what_counts_as_annotated(text, names):
    assert list(unannotated(ast.parse(text))) == names


def test_mypy_is_strict_about_the_same():
    settings = (ROOT / "pyproject.toml").read_text(encoding="utf-8").partition("[tool.mypy]")[2]
    assert "\nstrict = true\n" in settings.partition("\n[")[0]
    named = set(re.findall(r'"ofa_bert\.(\w+)', settings))
    packages = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert named == packages - set(STRICT)
