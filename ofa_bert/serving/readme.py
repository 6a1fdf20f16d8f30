"""The README.md of an exported serving directory: how to start each server and how to call it."""

from __future__ import annotations

from collections.abc import Sequence

from ofa_bert.data.tokenization.vocabulary_files import is_cut_again
from ofa_bert.reporting import millions, table
from ofa_bert.serving.config_text import Serving
from ofa_bert.serving.served import Served, Version

_TRITON = """## Triton Inference Server

```
docker run --rm {gpus}-p 8000:8000 -p 8001:8001 -v "$PWD/triton:/models" nvcr.io/nvidia/tritonserver:<release>-py3 \\
    tritonserver --model-repository=/models
```

`<release>` is one of NVIDIA's, such as 25.01. Each model is served in {precision}, with dynamic batching: requests that
wait at the same time and are **padded to the same length** share a run. Pad to a multiple of 16 or 32, not to what
each text needs, and batches form. Padding changes no answer: the model finds it by its token id.
A request without a version gets the highest one.

```python
{client}```

`pip install numpy {cutter} "tritonclient[http]"`
"""

# How the program cuts texts: by the library, or where tokenizer.json is none for it by this package.
_BY_LIBRARY = """from tokenizers import Tokenizer

{names}
tokenizer = Tokenizer.from_file("triton/{name}/tokenizer/tokenizer.json")
tokenizer.enable_truncation(LENGTH)


def cut(texts):
    return [(row.ids, row.type_ids) for row in tokenizer.encode_batch(texts)]
"""
_BY_OWN = """from pathlib import Path

from ofa_bert.runtime.tokenizer import load_text_encoder

{names}
encode = load_text_encoder(Path("triton/{name}/tokenizer"), LENGTH)


def cut(texts):
    return list(zip(*encode(texts)))
"""
_NAMES = 'MODEL, VERSION, LENGTH, PAD = "{name}", "{version}", {length}, {pad}  # version "" is the server\'s choice'
_CLIENT = '''import numpy as np
import tritonclient.http as triton
{cutting}

def inputs(texts, multiple=16):  # texts, or pairs of them
    rows = cut(texts)
    longest = max(len(row) for row, _ in rows)
    length = min(LENGTH, -(-longest // multiple) * multiple)
    ids = np.full((len(rows), length), PAD, dtype=np.int64)  # [B, T]
    types = np.zeros_like(ids)  # [B, T]
    for place, (row, kinds) in enumerate(rows):
        ids[place, : len(row)], types[place, : len(row)] = row, kinds
    return {{"input_ids": ids, "token_type_ids": types}}


def ask(client, texts):
    """Logits [{outputs}]."""
    sent = []
    for name, array in inputs(texts).items():
        sent.append(triton.InferInput(name, array.shape, "INT64"))
        sent[-1].set_data_from_numpy(array)
    return client.infer(MODEL, sent, model_version=VERSION).as_numpy("logits")


if __name__ == "__main__":
    logits = ask(triton.InferenceServerClient("localhost:8000"), {texts})
    print({answer})
'''

_PADDLE_SERVING = """## Paddle Serving

```
python -m paddle_serving_server.serve --model paddle_serving/{name}/{version}/serving_server --port 9393
```

Clients load `serving_client/serving_client_conf.prototxt`, feed `input_ids` and `token_type_ids`, int64 [batch,
length], and fetch `logits`. The model is `inference.pdmodel` with `inference.pdiparams`; the `.prototxt` files are what
`paddle_serving_client.convert` writes for it, but that the output, whose name Paddle generates, is called `logits`.
"""

_FASTDEPLOY = """## FastDeploy

```
fastdeployserver --model-repository=fastdeploy
```

One model per version, `{name}_v{version}` and so on: `1/model.pdmodel`, `1/model.pdiparams`, inputs as above; the
output has the name that `config.pbtxt` says. It is called as Triton is. From Python or C++ without a server:
`RuntimeOption().set_model_path("1/model.pdmodel", "1/model.pdiparams")`.
"""


def readme(models: Sequence[Served], engines: Sequence[str], precision: str, how: Serving) -> str:
    """Markdown: what is served and how each server is started and called."""
    parts = ["# Models to serve\n"]
    for model in models:
        labels = ", ".join(f"{place} {label}" for place, label in enumerate(model.labels)) or _unnamed(model)
        parts.append(f"**{model.name}**, at most {model.max_seq_length} tokens; output: {labels}.\n")
        parts.append(table([_row(version) for version in model.versions]) + "\n")
    parts.append(
        "Inputs of every model: `input_ids` and `token_type_ids`, int64 [batch, length], both free; output: logits,"
        " float32 [batch, labels], or [batch, length, labels] where every token has an answer, of which that of a"
        " word's first piece counts. `tokenizer/` beside each model makes the first two from text.\n"
    )
    first = models[0]
    names = {"name": first.name, "version": first.versions[-1].number}
    if "triton" in engines:
        gpus = "--gpus all " if how.device == "gpu" else ""
        cutter = "ofa_bert[runtime]" if _by_own(first) else "tokenizers"
        parts.append(_TRITON.format(gpus=gpus, precision=precision, client=client(first), cutter=cutter))
    if "paddle_serving" in engines:
        parts.append(_PADDLE_SERVING.format(**names))
    if "fastdeploy" in engines:
        parts.append(_FASTDEPLOY.format(**names))
    return "\n".join(parts)


def _unnamed(model: Served) -> str:
    count = model.first.num_labels
    return "one number" if count == 1 else f"{count} numbers for every token, of an answer's first and last"


def _row(version: Version) -> dict[str, str]:
    parameters, score = version.manifest.parameters, version.manifest.score
    return {
        "version": str(version.number),
        "bundle": version.name,
        "parameters": millions(parameters),
        "score": "–" if score is None else f"{score:.4f}",
    }


def _asked(pairs: bool, together: bool) -> str:
    """What the program asks: of a model that chooses, a row for each choice."""
    if together:
        return '[("a text", "may go on so"), ("a text", "or so")]'
    return '[("a text", "and its partner")]' if pairs else '["a text", "another"]'


def _by_own(model: Served) -> bool:
    return is_cut_again(model.first.model_type or "")


def client(model: Served) -> str:
    """A Python program that asks Triton for this model."""
    pairs = model.first.task is not None and len(model.first.task.text_columns) == 2
    task = model.first.decided_task
    names = _NAMES.format(
        name=model.name,
        version=model.versions[-1].number,
        length=model.max_seq_length,
        pad=model.first.pad_token_id,
    )
    return _CLIENT.format(
        cutting=(_BY_OWN if _by_own(model) else _BY_LIBRARY).format(name=model.name, names=names),
        outputs=", ".join(["B", *("T" if size < 0 else str(size) for size in model.first.output_dims)]),
        texts=_asked(pairs, task.kind.together),
        answer=task.kind.code(task.labels, task.thresholds),
    )
