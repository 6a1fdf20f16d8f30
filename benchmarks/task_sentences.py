"""A corpus for `ofa_bert pretrain` out of GLUE tasks: the sentences of their training files, one a line, shuffled.

SST-2's file holds every phrase of its sentences: a text that stands inside another one is left out, or held-out texts
would stand inside trained ones.

    python benchmarks/task_sentences.py --task_names CoLA MRPC STS-B SST-2 --data_dir ./glue --output ./tmp/corpus.txt
"""

import argparse
import bisect
import random
import sys
from pathlib import Path

from ofa_bert.data.sources import load_datasets
from ofa_bert.errors import UserError


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--task_names", nargs="+", required=True, help="GLUE tasks")
    parser.add_argument("--data_dir", required=True, help="directory with one folder a task, such as SST-2/train.tsv")
    parser.add_argument("--output", required=True, help="the text file")
    parser.add_argument("--seed", type=int, default=42, help="of the order")
    chosen = parser.parse_args(argv)
    found = set()
    for name in chosen.task_names:
        for item in load_datasets(task_name=name, data_dir=str(Path(chosen.data_dir, name))).train:
            found |= {" ".join(text.split()) for text in (item.text, item.text_pair) if text}
    texts = maximal(found)
    random.Random(chosen.seed).shuffle(texts)
    output = Path(chosen.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    print(f"{output}: {len(texts)} sentences of {len(found)} texts, {sum(len(text.split()) for text in texts)} words")


def maximal(texts):
    """Those that do not stand, whole word by whole word, inside a longer one; sorted. They have single blanks."""
    endings = []  # of every text, from each of its words on
    for text in texts:
        words = text.split()
        endings += [" ".join([*words[start:], ""]) for start in range(len(words))]
    endings.sort()
    return [text for text in sorted(texts) if not _goes_on(endings, f"{text} ")]


def _goes_on(endings, text):
    """Whether another ending starts with `text`, which is one of them: sorted, it is the next one."""
    following = bisect.bisect_left(endings, text) + 1
    return following < len(endings) and endings[following].startswith(text)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
