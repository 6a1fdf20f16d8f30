"""Made-up questions with choices and queries with passages, hard for counting words, and what counting words scores.

    python benchmarks/grouped_tasks.py --output tasks        choices/ and ranking/ with train.jsonl and dev.jsonl each

Names, things and places of dev are in no row of train. Choices: two of the four places stand in the story, and what
was said last is not always what happened last. Ranking: the passage that means the query says it in other words; the
others repeat its words and mean something else.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import re
import sys
from collections import Counter
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ofa_bert.tasks.groups import PAD
from ofa_bert.tasks.ranking_metrics import mrr_at_10, ndcg_at_10

NAMES = (
    "Anna Ben Clara David Emma Frank Grace Henry Irene Jack Karen Leo Maria Nick Olive Paul Rosa Simon"
    " Tina Victor Alice Bruno Carol Daniel Elena Felix Gina Hugo Iris James Kate Lucas Mona Nora Oscar"
    " Peter Ruth Steve Tom Wendy"
).split()
THINGS = (
    "kite lamp boat cup drum coat ring bell bike vase chair clock book knife horse piano phone camera guitar ladder"
    " hammer mirror pillow bottle basket candle wallet tent violin rope"
).split()
PLACES = (
    "kitchen garden garage cellar office bedroom library barn attic shed hall school church market station harbor park"
    " stable tower cabin bakery museum hotel factory cave castle prison theater airport hospital"
).split()
# As a query says it, in other words with the giver first, and in other words with the giver last.
GIFTS = (
    ("{a} gave the {t} to {b}", "{a} handed {b} the {t}", "{b} was presented with the {t} by {a}"),
    ("{a} sold the {t} to {b}", "{b} bought the {t} from {a}", "the {t} was purchased by {b} from {a}"),
    ("{a} lent the {t} to {b}", "{b} borrowed the {t} from {a}", "the {t} was on loan from {a} to {b}"),
    ("{a} taught {b} about the {t}", "{b} learned about the {t} from {a}", "{b} was instructed by {a} on the {t}"),
)
STORIES = (
    ("{a} put the {t} in the {p}. Then {b} moved it to the {q}.", "q"),
    ("{b} moved the {t} to the {q}, after {a} had put it in the {p}.", "q"),
    ("Before {a} put the {t} in the {p}, {b} had kept it in the {q}.", "p"),
    ("{b} found the {t} in the {q} and carried it to the {p}, said {a}.", "p"),
    ("The {t} that {a} brought to the {q} came from the {p}, where {b} had bought it.", "q"),
)


def pools(part: str) -> tuple[list[str], list[str], list[str]]:
    """(names, things, places): two thirds of each are train's, the others dev's."""
    cuts = [(words, 2 * len(words) // 3) for words in (NAMES, THINGS, PLACES)]
    names, things, places = (words[:cut] if part == "train" else words[cut:] for words, cut in cuts)
    return names, things, places


def question(rng: random.Random, part: str) -> dict[str, object]:
    names, things, places = pools(part)
    (a, b), thing, four = rng.sample(names, 2), rng.choice(things), rng.sample(places, 4)
    story, answer = rng.choice(STORIES)
    right = four[1] if answer == "q" else four[0]
    choices = rng.sample(four, 4)
    text = story.format(a=a, b=b, t=thing, p=four[0], q=four[1])
    asks = f"Where is the {thing} now?"
    return {"text": text, "question": asks, "choices": [f"in the {c}" for c in choices], "label": choices.index(right)}


def query(rng: random.Random, part: str) -> dict[str, object]:
    names, things, _ = pools(part)
    (a, b, c), (thing, other) = rng.sample(names, 3), rng.sample(things, 2)
    said, *ways = rng.choice(GIFTS)
    passages = [
        (rng.choice(ways).format(a=a, b=b, t=thing), 1),
        (said.format(a=b, b=a, t=thing), 0),
        (said.format(a=a, b=b, t=other), 0),
        (said.format(a=c, b=b, t=thing), 0),
        (rng.choice(ways).format(a=b, b=a, t=thing), 0),
    ]
    rng.shuffle(passages)
    texts, labels = zip(*passages)
    return {"query": said.format(a=a, b=b, t=thing), "passages": list(texts), "labels": list(labels)}


def words(text: object) -> list[str]:
    return re.findall(r"\w+", str(text).lower())


def by_overlap(rows: list[dict]) -> float:
    """Accuracy of the choice that shares most words with text and question; a share of it where several do."""
    scores = []
    for row in rows:
        known = {*words(row["text"]), *words(row["question"])}
        shared = [len(known & set(words(choice))) for choice in row["choices"]]
        best = [place for place, count in enumerate(shared) if count == max(shared)]
        scores.append((row["label"] in best) / len(best))
    return float(np.mean(scores))


def bm25(rows: list[dict], k: float = 1.2, b: float = 0.75) -> dict[str, float]:
    """MRR@10 and NDCG@10 of Robertson's BM25 over all passages."""
    texts = [[words(passage) for passage in row["passages"]] for row in rows]
    every = [text for each in texts for text in each]
    seen = Counter(word for text in every for word in set(text))
    rarity = {word: math.log(1 + (len(every) - count + 0.5) / (count + 0.5)) for word, count in seen.items()}
    usual = sum(map(len, every)) / len(every)
    widest = max(map(len, texts))
    scores, labels = np.full([2, len(rows), widest], PAD)
    for place, (row, passages) in enumerate(zip(rows, texts)):
        for at, text in enumerate(passages):
            counts, length = Counter(text), k * (1 - b + b * len(text) / usual)
            asked = set(words(row["query"])) & set(counts)
            scores[place, at] = sum(rarity[w] * counts[w] * (k + 1) / (counts[w] + length) for w in asked)
            labels[place, at] = row["labels"][at]
    return {"mrr@10": mrr_at_10(scores, labels), "ndcg@10": ndcg_at_10(scores, labels)}


MAKE = {"choices": question, "ranking": query}


def made(task: str, part: str, count: int, seed: int = 0) -> list[dict]:
    rng = random.Random(f"{task} {part} {seed}")
    return [MAKE[task](rng, part) for _ in range(count)]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", required=True, help="directory for the files")
    parser.add_argument("--train", type=int, default=1200, help="questions, and queries")
    parser.add_argument("--dev", type=int, default=500)
    chosen = parser.parse_args(argv)
    for task in MAKE:
        home = Path(chosen.output, task)
        home.mkdir(parents=True, exist_ok=True)
        for part, count in (("train", chosen.train), ("dev", chosen.dev)):
            rows = made(task, part, count)
            (home / f"{part}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        found = {"accuracy": by_overlap(rows)} if task == "choices" else bm25(rows)
        print(f"{task}: counting words scores", {name: round(value, 4) for name, value in found.items()}, "on dev")
    return 0


if __name__ == "__main__":
    sys.exit(main())
