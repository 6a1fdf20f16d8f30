"""The table of task kinds and stages: it has every kind, and the tests that it names are there."""

import re

import pytest

from helpers.paths import ROOT
from ofa_bert.tasks.kinds import registry

PAGE = ROOT / "docs" / "design" / "task-kinds.md"
NONE = "–"
_ITEM = re.compile(r"(\d+)\. `(tests/[\w/]+\.py)(?:::(test_\w+))?`")


def table(text):
    """(kinds, cells by stage) of the table whose first column is `stage`."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    (start,) = [number for number, row in enumerate(rows) if row[0] == "stage"]
    _, *kinds = rows[start]
    return kinds, {stage: cells for stage, *cells in rows[start + 2 :]}


def faults(text):
    """What is wrong with the table or the list of tests below it."""
    kinds, stages = table(text)
    found = [] if sorted(kinds) == sorted(registry.WORDS) else [f"kinds are {', '.join(registry.WORDS)}"]
    tests = {item[1]: item for item in _ITEM.finditer(text)}
    used = {number for cells in stages.values() for cell in cells if cell != NONE for number in cell.split(", ")}
    found += [f"{number}: no test of that number" for number in sorted(used - set(tests))]
    found += [f"{number}: nothing in the table" for number in sorted(set(tests) - used)]
    found += [f"{stage}: {len(cells)} cells" for stage, cells in stages.items() if len(cells) != len(kinds)]
    for _, path, name in (item.groups() for item in tests.values()):
        if not (ROOT / path).is_file():
            found.append(f"{path}: no such file")
        elif name and not re.search(rf"^def {name}\(", (ROOT / path).read_text("utf-8"), re.M):
            found.append(f"{path}: no {name}")
    return found


def test_the_tests_of_the_table_are_there():
    text = PAGE.read_text("utf-8")
    assert faults(text) == []
    kinds, stages = table(text)
    assert len(stages) > 20
    for place, kind in enumerate(kinds):
        lacking = [stage for stage, cells in stages.items() if cells[place] == NONE]
        assert len(lacking) <= 4, (kind, lacking)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("| answers |\n", "| answer |\n", "kinds are"),
        ("1. `tests/", "1. `test/", "1: no test of that number"),
        ("test_teacher_and_sub_models_find_the_parts`", "test_teacher_finds`", "no test_teacher_finds"),
        ("tests/tasks/test_answers.py`", "tests/tasks/test_replies.py`", "no such file"),
    ],
)
def test_a_planted_fault_is_found(old, new, fault):
    text = PAGE.read_text("utf-8")
    assert old in text
    assert any(fault in each for each in faults(text.replace(old, new)))
