"""Small data sets with several rows an example, which a tiny model learns in seconds."""

from __future__ import annotations

import json
import random

from helpers.models import WORDS

GOOD, BAD = ["good", "bright", "liked"], ["bad", "dull", "hated"]
FILLER = [word for word in WORDS if len(word) < 5 and word not in GOOD + BAD]


def write_choices(path, count, seed=0, most=4):
    """Questions with 2 to `most` choices, of which the right one praises and the others blame."""
    rng = random.Random(seed)
    rows = []
    for _ in range(count):
        size = rng.randrange(2, most + 1)
        right = rng.randrange(size)
        choices = [_said(rng, GOOD if place == right else BAD) for place in range(size)]
        rows.append({"text": " ".join(rng.choices(FILLER, k=3)), "choices": choices, "label": right})
    return _written(path, rows)


def write_pairs(path, queries, passages=4, seed=0, of_label=float):
    """TSV of query, passage and label: one passage of each query praises."""
    rng = random.Random(seed)
    lines = ["query\tpassage\tlabel"]
    for number in range(queries):
        query, right = f"film {number} {_said(rng, [])}", rng.randrange(passages)
        for place in range(passages):
            label = of_label(place == right)
            lines.append(f"{query}\t{_said(rng, GOOD if place == right else BAD)}\t{label:g}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def write_lists(path, queries, passages=5, seed=0):
    """JSONL of a query with the scores that a teacher may have given its passages."""
    rng = random.Random(seed)
    rows = []
    for number in range(queries):
        right = rng.randrange(passages)
        texts = [_said(rng, GOOD if place == right else BAD) for place in range(passages)]
        scores = [3.0 if place == right else -1.0 - place / 10 for place in range(passages)]
        rows.append({"query": f"film {number}", "passages": texts, "scores": scores})
    return _written(path, rows)


def _said(rng, words):
    found = rng.choices(FILLER, k=rng.randrange(2, 5))
    if words:
        found.insert(rng.randrange(len(found)), rng.choice(words))
    return " ".join(found)


def _written(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path
