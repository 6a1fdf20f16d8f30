"""Tiny random classifiers and masked LMs of further families as Hugging Face's transformers saves and computes them.

PYTHONPATH=tests python -m helpers.torch_families tests/models/stored    what made the stored files

Needs torch, transformers and sentencepiece.
"""

from __future__ import annotations

import inspect
import itertools
import json
import sys
import tempfile
from pathlib import Path

import numpy as np

from helpers.models import VOCABULARY
from helpers.torch_electra import randomised
from helpers.unigram_files import RULES, train

LABELS = 3
SIZES = {
    "vocab_size": 40,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 24,
    "pad_token_id": 0,
}
# transformers' model type -> what its configuration says besides.
FAMILIES = {
    "distilbert": {"hidden_dim": 40},
    "xlm-roberta": {
        "vocab_size": 110,
        "intermediate_size": 40,
        "max_position_embeddings": 26,
        "type_vocab_size": 1,
        "pad_token_id": 1,
        "layer_norm_eps": 1e-3,
    },
}
# Where the tokenizer is no vocab.txt: the texts, and the pairs, whose ids are stored beside it.
TEXTS = [
    "a film is not good",
    "Caf\xe9 \uff21\ufb01lm e\u0301\u2460 ",
    "",
    "  two\xa0 blanks \t tab\n",
    "\u4e2d\u6587 <mask> x",
]
PAIRS = list(itertools.pairwise(text for text in TEXTS if text))  # to transformers an empty second text is none


def batch(pad: int, vocab_size: int) -> dict[str, np.ndarray]:
    """Ids and types [3, 9]; the last two texts are padded."""
    ids = np.random.default_rng(0).integers(5, vocab_size, (3, 9))
    ids[1, 6:] = ids[2, 3:] = pad
    types = (np.arange(9) >= 4) * (ids != pad)
    return {"input_ids": ids.astype("int64"), "token_type_ids": types.astype("int64")}


def answer(model, tensors):
    """Its first output, from those of the tensors that it takes."""
    import torch

    taken = inspect.signature(model.forward).parameters
    with torch.no_grad():
        return model(**{name: tensor for name, tensor in tensors.items() if name in taken})[0].numpy()


def write_vocabulary(directory: Path) -> None:
    words = [*VOCABULARY, *"0123456789xyz"]
    (directory / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")


def write_sentencepiece(directory: Path) -> None:
    """tokenizer.json by transformers from a sentencepiece model, and in ids.json what it cuts TEXTS into."""
    from transformers import XLMRobertaTokenizerFast

    with tempfile.TemporaryDirectory() as home:
        rules = Path(home, "rules.tsv")
        rules.write_text(RULES)
        Path(home, "sentencepiece.bpe.model").write_bytes(train("", normalization_rule_tsv=str(rules)))
        tokenizer = XLMRobertaTokenizerFast(vocab_file=str(Path(home, "sentencepiece.bpe.model")))
        tokenizer.save_pretrained(str(directory))
    (directory / "sentencepiece.bpe.model").unlink()
    singles = [tokenizer(text)["input_ids"] for text in TEXTS]
    pairs = [tokenizer(*pair)["input_ids"] for pair in PAIRS]
    (directory / "ids.json").write_text(json.dumps({"singles": singles, "pairs": pairs}))


TOKENIZERS = {"xlm-roberta": write_sentencepiece}


def write(family: str, target: Path) -> None:
    """Write classifier/, masked_lm/ and outputs.npz: the batch, states and logits of both."""
    import torch
    from transformers import AutoConfig, AutoModelForMaskedLM, AutoModelForSequenceClassification

    sizes = {**SIZES, **FAMILIES[family]}
    given = batch(sizes["pad_token_id"], sizes["vocab_size"])
    if sizes.get("type_vocab_size") == 1:
        given["token_type_ids"] *= 0
    config = AutoConfig.for_model(family, **sizes, num_labels=LABELS)
    classifier = randomised(AutoModelForSequenceClassification.from_config(config), 1)
    masked_lm = randomised(AutoModelForMaskedLM.from_config(config), 2)
    tensors = {name: torch.from_numpy(array) for name, array in given.items()}
    tensors["attention_mask"] = (tensors["input_ids"] != sizes["pad_token_id"]).long()
    outputs = {
        "states": answer(classifier.base_model, tensors),  # [B, T, H]
        "logits": answer(classifier, tensors),  # [B, C]
        "token_logits": answer(masked_lm, tensors),  # [B, T, V]
    }
    for name, model in {"classifier": classifier, "masked_lm": masked_lm}.items():
        model.save_pretrained(str(target / name))
        TOKENIZERS.get(family, write_vocabulary)(target / name)
    np.savez_compressed(target / "outputs.npz", **given, **outputs)


def main(directory: str) -> int:
    """A directory for each family."""
    for family in FAMILIES:
        write(family, Path(directory, family))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
