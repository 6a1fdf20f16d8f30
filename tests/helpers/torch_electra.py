"""A tiny random ELECTRA as Hugging Face's transformers saves and computes it. Needs torch, not Paddle.

PYTHONPATH=tests python -m helpers.torch_electra tests/models/stored/electra    what made the stored files
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from helpers.models import VOCABULARY

SIZES = {
    "vocab_size": 40,
    "hidden_size": 32,
    "embedding_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 40,
    "max_position_embeddings": 24,
    "layer_norm_eps": 1e-3,  # large, so that a model that ignores it is found out
}
GENERATOR = {"hidden_size": 24, "num_hidden_layers": 1, "intermediate_size": 20, "num_attention_heads": 3}
LABELS = 3


def batch() -> dict[str, np.ndarray]:
    """Ids and types [3, 9]; the last two texts are padded."""
    ids = np.random.default_rng(0).integers(5, SIZES["vocab_size"], (3, 9))
    ids[1, 6:] = ids[2, 3:] = 0
    types = (np.arange(9) >= 4) * (ids != 0)
    return {"input_ids": ids.astype("int64"), "token_type_ids": types.astype("int64")}


def randomised(model, seed):
    """Every parameter from a seeded normal distribution, LayerNorm weights around 1; in eval mode."""
    import torch

    rng = np.random.default_rng(seed)
    for name, parameter in model.named_parameters():
        around = 1.0 if "norm" in name.lower() and name.endswith("weight") else 0.0
        with torch.no_grad():
            parameter.copy_(torch.from_numpy((around + rng.normal(0.0, 0.2, parameter.shape)).astype("float32")))
    return model.eval()


def main(directory: str) -> int:
    """Write classifier/, generator/ and outputs.npz: the batch, states and logits of both."""
    import torch
    from transformers import ElectraConfig, ElectraForMaskedLM, ElectraForSequenceClassification

    target, given = Path(directory), batch()
    classifier = randomised(ElectraForSequenceClassification(ElectraConfig(**SIZES, num_labels=LABELS)), 1)
    generator = randomised(ElectraForMaskedLM(ElectraConfig(**{**SIZES, **GENERATOR})), 2)
    tensors = {name: torch.from_numpy(array) for name, array in given.items()}
    tensors["attention_mask"] = (tensors["input_ids"] != 0).long()
    with torch.no_grad():
        outputs = {
            "states": classifier.electra(**tensors).last_hidden_state,  # [B, T, H]
            "logits": classifier(**tensors).logits,  # [B, C]
            "token_logits": generator(**tensors).logits,  # [B, T, V]
        }
    for name, model in {"classifier": classifier, "generator": generator}.items():
        model.save_pretrained(str(target / name))
        words = [*VOCABULARY, *"0123456789xyz"]
        (target / name / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    np.savez_compressed(target / "outputs.npz", **given, **{name: value.numpy() for name, value in outputs.items()})
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
