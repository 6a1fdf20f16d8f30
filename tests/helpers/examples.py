"""The examples in the docstrings of public names, run where the files lie that they read."""

from __future__ import annotations

import doctest
import sys
from pathlib import Path

# Those that train or read a trained model, in the order in which one makes what the next reads.
WITH_PADDLE = (
    "finetune",
    "load_model",
    "train_supernet",
    "train_exits",
    "choose_exits",
    "distil",
    "prune",
    "export_sub_model",
    "search_sub_models",
    "search_fptas",
)


def write_files(directory: Path) -> None:
    """What examples read without Paddle: labelled texts, a latency table, a front, a bundle."""
    from helpers.data_files import write_sentiment_tsv
    from helpers.handmade_bundle import make_bundle
    from helpers.small_front import FRONT
    from ofa_bert import LatencyTable, ModelShape

    for name, rows in (("train.tsv", 160), ("dev.tsv", 4)):
        write_sentiment_tsv(directory / name, rows, seed=rows)
        text = (directory / name).read_text(encoding="utf-8")
        (directory / name).write_text(text.replace("\t0\n", "\tbad\n").replace("\t1\n", "\tgood\n"), encoding="utf-8")
    shape = ModelShape(4, 32, 4, 8, 64, 27, 64, 2, 2)
    LatencyTable(shape, 0.5, 0.25, {1: 0.25, 4: 1.0}, {32: 0.25, 64: 0.75}).save(directory / "cpu.json")
    FRONT.save(directory / "front.json")
    make_bundle(directory / "bundle", columns=("sentence",), labels=["bad", "good"])


def faults_of_examples(name: str, value: object) -> str:
    """What the examples of a docstring give instead of what they show; "" when that is the same."""
    said: list[str] = []
    tests = doctest.DocTestFinder(recurse=False).find(value, name, globs={})
    count = sum(len(test.examples) for test in tests)
    runner = doctest.DocTestRunner(verbose=False)
    for test in tests:
        runner.run(test, out=said.append)
    return "".join(said) if count else f"{name}: no example"


if __name__ == "__main__":  # python -m helpers.examples NAME...: in a fresh process, in the current directory
    import ofa_bert

    sys.exit("".join(faults_of_examples(each, getattr(ofa_bert, each)) for each in sys.argv[1:]) or 0)
