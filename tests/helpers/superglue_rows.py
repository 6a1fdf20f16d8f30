"""Two or three rows of each of SuperGLUE's tasks, written here in the layout of its official files."""

from __future__ import annotations

import json

STORY = "Ann Lee sold her boat to Tom.\n@highlight\nTom Hill sails"
PARAGRAPH = "Sent 1: Ann sold her boat. Sent 2: She bought a kite for Tom."
ROWS = {
    "boolq": [
        {"question": "is ice water", "passage": "Ice is frozen water.", "idx": 0, "label": True},
        {"question": "do fish fly kites", "passage": "Fish swim.", "idx": 1, "label": False},
    ],
    "cb": [
        {"premise": "She said it rained.", "hypothesis": "It rained.", "label": "entailment", "idx": 0},
        {"premise": "She denied it.", "hypothesis": "It rained.", "label": "contradiction", "idx": 1},
        {"premise": "She asked.", "hypothesis": "It rained.", "label": "neutral", "idx": 2},
    ],
    "copa": [
        {"premise": "It rained.", "choice1": "It was wet.", "choice2": "It was dry.", "question": "effect", "label": 0,
         "idx": 0},
        {"premise": "The lamp went out.", "choice1": "It was wet.", "choice2": "The power failed.", "question": "cause",
         "label": 1, "idx": 1},
    ],
    "multirc": [
        {"idx": 0, "version": 1.1, "passage": {"text": PARAGRAPH, "questions": [
            {"question": "What was bought?", "idx": 0, "answers": [
                {"text": "A kite", "idx": 0, "label": 1}, {"text": "A boat", "idx": 1, "label": 0}]},
            {"question": "Who sold?", "idx": 1, "answers": [
                {"text": "Ann", "idx": 2, "label": 1}, {"text": "Tom's friend Ann", "idx": 3, "label": 1},
                {"text": "Tom", "idx": 4, "label": 0}]}]}},
    ],
    "record": [
        {"source": "made up", "idx": 0,
         "passage": {"text": STORY, "entities": [{"start": 0, "end": 6}, {"start": 25, "end": 27}]},
         "qas": [
             {"query": "Ann's boat went to @placeholder.", "idx": 0, "answers": [
                 {"start": 25, "end": 27, "text": "Tom"}, {"start": 41, "end": 48, "text": "Tom Hill"}]},
             {"query": "@placeholder had a boat.", "idx": 1, "answers": [{"start": 0, "end": 6, "text": "Ann Lee"}]}]},
    ],
    "rte": [
        {"premise": "Ann sold a boat.", "hypothesis": "A boat was sold.", "label": "entailment", "idx": 0},
        {"premise": "Ann sold a boat.", "hypothesis": "Ann sank.", "label": "not_entailment", "idx": 1},
    ],
    "wic": [
        {"word": "bank", "sentence1": "The bank was closed.", "sentence2": "We sat on the banks of it.", "idx": 0,
         "label": False, "start1": 4, "end1": 8, "start2": 14, "end2": 19, "version": 1.1},
        {"word": "run", "sentence1": "Run a shop.", "sentence2": "He runs a firm.", "idx": 1, "label": True,
         "start1": 0, "end1": 3, "start2": 3, "end2": 7, "version": 1.1},
    ],
    "wsc": [
        {"text": "The old cup did not fit the case, because it was large.", "idx": 0, "label": True,
         "target": {"span1_index": 0, "span1_text": "The old cup", "span2_index": 9, "span2_text": "it"}},
        {"text": "The cup did not fit the case, because it was small.", "idx": 1, "label": True,
         "target": {"span1_index": 5, "span1_text": "the case", "span2_index": 8, "span2_text": "it"}},
    ],
}  # fmt: skip


def write_superglue(directory, task):
    """train.jsonl and val.jsonl with the same rows."""
    directory.mkdir(exist_ok=True)
    for name in ("train.jsonl", "val.jsonl"):
        (directory / name).write_text("".join(json.dumps(row) + "\n" for row in ROWS[task]), encoding="utf-8")
    return directory
