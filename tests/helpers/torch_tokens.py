"""Tiny random token classifiers as Hugging Face's transformers saves and computes them. Needs torch, not Paddle.

PYTHONPATH=tests python -m helpers.torch_tokens tests/models/stored/tokens    what made the stored files
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from helpers.models import VOCABULARY
from helpers.torch_electra import randomised
from helpers.torch_families import answer

FAMILIES = ("bert", "ernie", "roberta", "electra", "distilbert")
# In another order than this project's, which must be found by the names.
LABELS = ("B-PER", "I-PER", "O", "I-LOC", "B-LOC")
SIZES = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 24,
    "type_vocab_size": 2,
    "pad_token_id": 0,
    "layer_norm_eps": 1e-3,  # large, so that a model that ignores it is found out
    "id2label": dict(enumerate(LABELS)),
    "label2id": {label: number for number, label in enumerate(LABELS)},
}
OWN = {
    "electra": {"embedding_size": 8},
    "ernie": {"use_task_id": True, "task_type_vocab_size": 3},
    "distilbert": {"hidden_dim": 24},
}
# What a configuration would keep and its model not follow.
NOT_OF = {"distilbert": ("intermediate_size", "layer_norm_eps", "type_vocab_size")}


def batch() -> dict[str, np.ndarray]:
    """Ids and types [3, 9]; the last two texts are padded."""
    ids = np.random.default_rng(0).integers(5, SIZES["vocab_size"], (3, 9))
    ids[1, 6:] = ids[2, 3:] = 0
    types = (np.arange(9) >= 4) * (ids != 0)
    return {"input_ids": ids.astype("int64"), "token_type_ids": types.astype("int64")}


def main(directory: str) -> int:
    """Write <family>/ of each and outputs.npz: the batch, and each one's logits [B, T, C]."""
    import torch
    from transformers import AutoConfig, AutoModelForTokenClassification

    target, given = Path(directory), batch()
    tensors = {name: torch.from_numpy(array) for name, array in given.items()}
    tensors["attention_mask"] = (tensors["input_ids"] != 0).long()
    found = {}
    for seed, family in enumerate(FAMILIES):
        sizes = {name: size for name, size in SIZES.items() if name not in NOT_OF.get(family, ())}
        config = AutoConfig.for_model(family, **sizes, **OWN.get(family, {}))
        model = randomised(AutoModelForTokenClassification.from_config(config), seed)
        found[family] = answer(model, tensors)
        model.save_pretrained(str(target / family))
        words = [*VOCABULARY, *"0123456789xyz"]
        (target / family / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    np.savez_compressed(target / "outputs.npz", **given, **found)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
