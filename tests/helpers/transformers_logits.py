"""What plain transformers makes of directories. Needs torch and transformers, not this package.

python transformers_logits.py DIRECTORY...    reads inputs.npz in each, writes logits.npz, and prints what was cut how
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np


def main(directories: list[str]) -> int:
    import torch
    import transformers

    for directory in map(Path, directories):
        config = json.loads((directory / "config.json").read_text())
        loader = getattr(transformers, "AutoModelFor" + config["architectures"][0].partition("For")[2])
        model, report = loader.from_pretrained(directory, output_loading_info=True)
        model.eval()
        with np.load(directory / "inputs.npz") as stored:
            given = {name: torch.from_numpy(stored[name]) for name in stored.files}
        with torch.no_grad():
            found = model(**given)
        if config["architectures"][0].endswith("QuestionAnswering"):
            logits = torch.stack([found.start_logits, found.end_logits], -1)
        else:
            logits = found.logits
        np.savez(directory / "logits.npz", logits=logits.numpy())
        tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
        said = {
            "version": transformers.__version__,
            "missing": sorted(map(str, report["missing_keys"])),
            "unexpected": sorted(map(str, report["unexpected_keys"])),
            "cut": dict(tokenizer("a good film .", "not bad !")),
            "longest": tokenizer.model_max_length,
            "labels": {str(number): name for number, name in model.config.id2label.items()},
        }
        print(json.dumps(said))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
