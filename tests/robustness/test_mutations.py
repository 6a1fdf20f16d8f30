"""Every damaged file works or is refused in one line: no trace, no hang, no memory beyond a limit.

OFA_BERT_FUZZ=20 runs 20 times as many cases. A case again: python -m robustness.run_cases 1 "config.json", in tests/.
"""

from __future__ import annotations

import json
import os
import random
import sys

import pytest

from helpers import mutations
from helpers.limits import in_process, outcome
from ofa_bert.errors import UserError
from robustness.file_kinds import KINDS

FACTOR = float(os.environ.get("OFA_BERT_FUZZ", "1"))


@pytest.fixture(scope="module")
def results():
    """Per group, what became of its kinds' cases; each group is one process, and Paddle is loaded for one of them."""
    found = {}

    def run(paddle):
        if paddle not in found:
            names = [kind.name for kind in KINDS if kind.paddle == paddle]
            lines = in_process("robustness.run_cases", [str(FACTOR), *names], 480 * max(1, FACTOR))
            found[paddle] = {line["kind"]: line for line in lines if isinstance(line, dict)}
        return found[paddle]

    return run


@pytest.mark.slow
@pytest.mark.timeout(540 * max(1, FACTOR))
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_damaged(results, kind):
    found = results(kind.paddle)[kind.name]
    assert found["faults"] == []
    assert found["works"] + found["refused"] == found["cases"] == int(kind.cases * FACTOR)
    assert (found["refused"] > 0) == kind.refuses  # otherwise the damage is none


def test_mutations_are_seeded_and_change_something():
    for kind_of, data in (
        (mutations.of_bytes, bytes(range(200))),
        (mutations.of_json, b'{"a": [1, 2, {"b": "c"}], "d": null}'),
        (mutations.of_lines, b"a\nb\nc\n"),
        (mutations.of_json_lines, b'{"a": 1}\n{"b": 2}\n'),
    ):
        made = [kind_of(random.Random(seed), data) for seed in range(50)]
        assert made == [kind_of(random.Random(seed), data) for seed in range(50)]
        assert sum(one != data for one in made) > 40


def hang():
    while True:
        pass


def take_memory():
    return bytes(1 << 30)


def trace():
    raise KeyError("x")


def two_lines():
    raise UserError("a\nb")


FAULTS = {hang: "TooLongError", take_memory: "MemoryError", trace: "KeyError", two_lines: "that is no line"}


def test_faults_are_seen():
    """In a process of its own: here other tests may have threads that a limit of memory would end."""
    for read, found in zip(FAULTS, in_process("robustness.test_mutations", [], 60)):
        assert found[0].startswith("fault")
        assert FAULTS[read] in found[0]
        assert found[1] == "works"


if __name__ == "__main__":
    for read in FAULTS:
        sys.stdout.write(json.dumps([outcome(read, 0.2, 256), outcome(lambda: 1, 1, 256)]) + "\n")
