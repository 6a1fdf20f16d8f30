"""Data files that tests train on."""

from __future__ import annotations

from helpers.models import WORDS


def write_sentiment_tsv(path, rows, seed=0):
    """A learnable SST-2-like file: the label is whether a praising word stands in the sentence."""
    import random

    rng = random.Random(seed)
    good, bad, filler = ["good", "bright", "liked"], ["bad", "dull", "hated"], [w for w in WORDS if len(w) < 5]
    lines = ["sentence\tlabel"]
    for _ in range(rows):
        label = rng.randrange(2)
        words = rng.choices(filler, k=rng.randrange(3, 9))
        words.insert(rng.randrange(len(words)), rng.choice(good if label else bad))
        words = [w for w in words if w not in (bad if label else good)]
        lines.append(" ".join(words) + f"\t{label}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
