"""Text to token ids by PaddleNLP's tokenizer, for bundles whose tokenizer has no tokenizer.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ofa_bert.bundle.manifest import TOKENIZER
from ofa_bert.errors import UserError
from ofa_bert.runtime.texts import Text, TextEncoder
from ofa_bert.system import packages


def paddlenlp_encoder(bundle: Path, manifest: Mapping[str, Any]) -> TextEncoder:
    try:
        # Costs seconds and the training stack: only for the families that have no tokenizer.json.
        packages.require("paddle")
        from paddlenlp.transformers import AutoTokenizer
    except (ImportError, UserError) as error:
        raise UserError(
            f"{bundle}: has no {TOKENIZER}, its tokenizer needs PaddleNLP, which does not load ({error}):"
            ' pip install "ofa_bert[cpu]"'
        ) from error
    from ofa_bert.data.batches import encode
    from ofa_bert.tasks.task import Example

    tokenizer = AutoTokenizer.from_pretrained(str(bundle))

    def encoder(texts: Sequence[Text]) -> tuple[list[np.ndarray], list[np.ndarray]]:
        pairs = [text if isinstance(text, tuple) else (text, None) for text in texts]
        examples = [Example(first, second, 0) for first, second in pairs]
        encoded = encode(examples, tokenizer, manifest["max_seq_length"], progress=False)
        return encoded.input_ids, encoded.token_type_ids

    return encoder
