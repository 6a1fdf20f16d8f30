"""Text to token ids by PaddleNLP's tokenizer, for bundles whose tokenizer has no tokenizer.json."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ofa_bert.bundle.manifest import TOKENIZER
from ofa_bert.data.tokenization.text_tokenizer import CutTexts
from ofa_bert.errors import UserError
from ofa_bert.runtime.texts import Text, TextEncoder
from ofa_bert.system import packages


def paddlenlp_encoder(bundle: Path, longest: int) -> TextEncoder:
    """longest: tokens of a text, special ones included; the rest is cut off."""
    try:
        # Costs seconds and the training stack: only for the families that have no tokenizer.json.
        packages.require("paddle")
        from paddlenlp.transformers import AutoTokenizer
    except (ImportError, UserError) as error:
        raise UserError(
            f"{bundle}: has no {TOKENIZER}, its tokenizer needs PaddleNLP, which does not load ({error}):"
            f" {packages.install('cpu')}"
        ) from error
    from ofa_bert.data.encoding.encoded import encode
    from ofa_bert.tasks.task import Example

    tokenizer = AutoTokenizer.from_pretrained(str(bundle))

    def cut(texts: Sequence[Text]) -> CutTexts:
        pairs = [text if isinstance(text, tuple) else (text, None) for text in texts]
        examples = [Example(first, second, 0) for first, second in pairs]
        encoded = encode(examples, tokenizer, longest, progress=False)
        assert encoded.whole is not None  # as `encode` makes them
        return CutTexts(encoded.input_ids, encoded.token_type_ids, encoded.whole)

    return TextEncoder(cut)
