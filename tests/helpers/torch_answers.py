"""Tiny random models that find answers, as transformers saves and computes them. Needs torch, not Paddle.

PYTHONPATH=tests python -m helpers.torch_answers tests/models/stored/answers    what made the stored files
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

import numpy as np

from helpers.models import VOCABULARY
from helpers.torch_electra import randomised
from helpers.torch_tokens import NOT_OF, OWN, SIZES, batch

FAMILIES = ("bert", "roberta", "electra", "distilbert")
_NAMED = ("id2label", "label2id")  # a head of answers has no classes


def main(directory: str) -> int:
    """Write <family>/ of each and outputs.npz: the batch, and each one's logits of start and end [B, T, 2]."""
    import torch
    from transformers import AutoConfig, AutoModelForQuestionAnswering

    target, given = Path(directory), batch()
    tensors = {name: torch.from_numpy(array) for name, array in given.items()}
    tensors["attention_mask"] = (tensors["input_ids"] != 0).long()
    found = {}
    for seed, family in enumerate(FAMILIES):
        left_out = (*_NAMED, *NOT_OF.get(family, ()))
        sizes = {name: size for name, size in SIZES.items() if name not in left_out}
        config = AutoConfig.for_model(family, **sizes, **OWN.get(family, {}))
        model = randomised(AutoModelForQuestionAnswering.from_config(config), seed)
        taken = inspect.signature(model.forward).parameters  # DistilBERT's knows no types
        with torch.no_grad():
            said = model(**{name: tensor for name, tensor in tensors.items() if name in taken})
        found[family] = np.stack([said.start_logits.numpy(), said.end_logits.numpy()], axis=-1)
        model.save_pretrained(str(target / family))
        words = [*VOCABULARY, *"0123456789xyz"]
        (target / family / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    np.savez_compressed(target / "outputs.npz", **given, **found)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
