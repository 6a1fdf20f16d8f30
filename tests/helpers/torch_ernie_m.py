"""A tiny random ERNIE-M as Hugging Face's transformers saves, cuts and computes it. Needs torch and sentencepiece.

PYTHONPATH=tests python -m helpers.torch_ernie_m tests/models/stored/ernie-m    what made the stored files

Needs transformers 4, the last that has it.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from pathlib import Path

import numpy as np

from helpers.second_cut_files import mixed, train_mixed, write_files
from helpers.torch_electra import randomised
from helpers.torch_families import answer, batch
from helpers.unigram_files import RULES

PAD, LABELS, TAGS = 1, 3, 5
SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 40,  # PaddleNLP's own model has 128 whatever this says
    "max_position_embeddings": 26,
    "pad_token_id": PAD,
    "layer_norm_eps": 1e-3,
}
TEXTS = [
    "", " ", "a film is not good", "Café Ａﬁlm é① ", "  two\xa0 blanks \t tab\n", "中文 [MASK] x12，ok [SEP]",
    "film 中文 12 , 3.14 ab12cd ; 第3章", "a [MASK]   [MASK] 漢字 かな", "☃ 😀 unknown ¼ x²y ٣٤",
]  # fmt: skip


def texts() -> list[str]:
    rng = random.Random(21)
    return [*TEXTS, *(mixed(rng, 12) for _ in range(200))]


def pairs() -> list[list[str]]:
    return [["a film", "中文12"], ["第3章 is bad", "ok ☃ , 12"]]


def main(directory: str) -> int:
    """Write classifier/, tokens/, ids.json of the texts and outputs.npz: the batch, states and logits of both."""
    import torch
    from transformers import (
        ErnieMConfig,
        ErnieMForSequenceClassification,
        ErnieMForTokenClassification,
        ErnieMTokenizer,
    )

    target = Path(directory)
    with tempfile.TemporaryDirectory() as home:
        rules = Path(home, "rules.tsv")
        rules.write_text(RULES)
        model = train_mixed("", 200, normalization_rule_tsv=str(rules))
        vocabulary = write_files(Path(home, "m"), model)
        files = [str(Path(home, "m", name)) for name in ("sentencepiece.bpe.model", "vocab.txt")]
        tokenizer = ErnieMTokenizer(*files)
        given = batch(PAD, len(vocabulary))
        given["token_type_ids"] *= 0
        tensors = {name: torch.from_numpy(array) for name, array in given.items()}
        tensors["attention_mask"] = (tensors["input_ids"] != PAD).long()
        outputs = {}
        kinds = {
            "classifier": (ErnieMForSequenceClassification, LABELS),
            "tokens": (ErnieMForTokenClassification, TAGS),
        }
        for seed, (name, (cls, count)) in enumerate(kinds.items()):
            made = randomised(cls(ErnieMConfig(**SIZES, vocab_size=len(vocabulary), num_labels=count)), seed)
            outputs[name] = answer(made, tensors)
            if name == "classifier":
                outputs["states"] = answer(made.base_model, tensors)
            made.save_pretrained(str(target / name))
            tokenizer.save_pretrained(str(target / name))
    rows = {
        "singles": [[text, tokenizer(text)["input_ids"]] for text in texts()],
        "pairs": [[*pair, tokenizer(*pair)["input_ids"]] for pair in pairs()],
    }
    (target / "ids.json").write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    np.savez_compressed(target / "outputs.npz", **given, **outputs)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
