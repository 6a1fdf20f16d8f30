"""How far counting words gets on the demo task. Run: python benchmarks/demo_task.py [--seed N]

Trains logistic regression on words and word pairs of the demo's training sentences, the penalty chosen by
cross-validation on them, and prints its accuracy on dev, all and by kind of sentence. Needs scikit-learn.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ofa_bert.data import demo_task


def bag_of_words(data):
    """The fitted scikit-learn pipeline."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline

    words = CountVectorizer(ngram_range=(1, 2), binary=True, token_pattern=r"[\w-]+")
    penalty = GridSearchCV(LogisticRegression(max_iter=2000), {"C": [0.01, 0.1, 1, 10]}, cv=3)
    model = make_pipeline(words, penalty)
    return model.fit([example.text for example in data.train], [example.label for example in data.train])


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=0, help="seed of the demo data")
    seed = parser.parse_args(argv).seed
    data = demo_task.generate(seed)
    model = bag_of_words(data)
    dev = data.dev["dev"]
    print(f"seed {seed}, {len(data.train)} train, {len(dev)} dev sentences")
    score = model.score([example.text for example in dev], [example.label for example in dev])
    print(f"words and word pairs, logistic regression: {score:.3f}")
    # More sentences of the same making as dev, which remember their template.
    by_kind = defaultdict(list)
    stream = demo_task.sentences(random.Random(seed + 1), for_dev=True)
    for sentence, label, number, _ in (next(stream) for _ in range(3000)):
        by_kind[demo_task.TEMPLATES[number][0]].append((sentence, label))
    for kind, pairs in by_kind.items():
        print(f"  {kind:15} {model.score(*zip(*pairs)):.3f} of {len(pairs)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
