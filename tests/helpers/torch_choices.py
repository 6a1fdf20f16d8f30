"""Tiny random rerankers and choosers as Hugging Face's transformers saves and computes them. Needs torch, not Paddle.

PYTHONPATH=tests python -m helpers.torch_choices tests/models/stored/grouped    what made the stored files
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from helpers.models import VOCABULARY
from helpers.torch_electra import randomised

SIZES = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 24,
    "layer_norm_eps": 1e-3,  # large, so that a model that ignores it is found out
}
QUESTIONS, CHOICES, LENGTH = 2, 3, 9


def batch() -> dict[str, np.ndarray]:
    """Ids and types [QUESTIONS, CHOICES, LENGTH]; some texts are padded."""
    ids = np.random.default_rng(0).integers(5, SIZES["vocab_size"], (QUESTIONS, CHOICES, LENGTH))
    ids[0, 1, 6:] = ids[1, 2, 4:] = 0
    types = (np.arange(LENGTH) >= 4) * (ids != 0)
    return {"input_ids": ids.astype("int64"), "token_type_ids": types.astype("int64")}


def main(directory: str) -> int:
    """Write ranker/, chooser/ and outputs.npz: the batch, the ranker's logits of its rows and the chooser's."""
    import torch
    from transformers import BertConfig, BertForMultipleChoice, BertForSequenceClassification

    target, given = Path(directory), batch()
    ranker = randomised(BertForSequenceClassification(BertConfig(**SIZES, num_labels=1)), 1)
    chooser = randomised(BertForMultipleChoice(BertConfig(**SIZES)), 2)
    tensors = {name: torch.from_numpy(array) for name, array in given.items()}
    tensors["attention_mask"] = (tensors["input_ids"] != 0).long()
    with torch.no_grad():
        outputs = {
            "ranked": ranker(**{name: each.reshape(-1, LENGTH) for name, each in tensors.items()}).logits.numpy(),
            "chosen": chooser(**tensors).logits.numpy(),
        }
    for name, model in (("ranker", ranker), ("chooser", chooser)):
        model.save_pretrained(str(target / name))
        (target / name / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    np.savez(target / "outputs.npz", **given, **outputs)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
