"""The dev texts that a benchmark of bundles runs on: a GLUE task's, or those of a file."""

import numpy as np

from ofa_bert.data.sources import load_datasets


def add_arguments(parser):
    parser.add_argument("--task_name", help="GLUE task; default: the bundles'")
    parser.add_argument("--data_dir", help="its files")
    parser.add_argument("--dev_file", help="your own file instead; --train_file is its training part")
    parser.add_argument("--train_file")


def load(chosen, task):
    """(texts or pairs, labels [N]) of the first dev split, classes as the task numbers them."""
    where = {"data_dir": chosen.data_dir, "train_file": chosen.train_file, "dev_file": chosen.dev_file}
    name = chosen.task_name or (None if chosen.dev_file else task.name)
    if chosen.dev_file:
        where["text_columns"] = task.text_columns
    examples = next(iter(load_datasets(task_name=name, labels=task.labels, **where).dev.values()))
    texts = [item.text if item.text_pair is None else (item.text, item.text_pair) for item in examples]
    return texts, np.asarray([item.label for item in examples])
