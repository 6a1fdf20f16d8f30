"""A process of its own: a model of 6 layers of 384 with random weights as files for every engine, with its logits.

python -m ofa_bert.doctor.probes.export
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from ofa_bert.numerics import Array
from ofa_bert.system import child_process

SHAPES = ((1, 12), (3, 33), (16, 64))  # [B, T]; the last one is timed
LAYERS, HIDDEN, HEADS, VOCABULARY = 6, 384, 12, 2000


def export(request: Mapping[str, object]) -> dict[str, object]:
    """Format -> precision -> files. request: `directory`; reference.npz in it holds ids and the model's own logits."""
    from ofa_bert.models import device

    device.select_device("cpu")
    import numpy as np
    import paddle

    from ofa_bert.data.encoding.batches import eval_batches
    from ofa_bert.doctor.probes.models import bert, sentences
    from ofa_bert.export.onnx import writer
    from ofa_bert.export.onnx.form import Form
    from ofa_bert.export.static import save_static

    directory = Path(str(request["directory"]))
    model = bert(LAYERS, HIDDEN, HEADS, VOCABULARY)
    forms = {"fp32": Form(), "fp16": Form(half=True), "int8": Form(weights="dynamic")}
    for precision, form in forms.items():
        writer.write(model, directory / f"{precision}.onnx", form)
    arrays: dict[str, Array] = {}
    for number, (rows, tokens) in enumerate(SHAPES):
        (batch,) = eval_batches(sentences(rows, tokens // 2, tokens, VOCABULARY, number), rows, 0)
        with paddle.no_grad():
            logits = model(paddle.to_tensor(batch.input_ids), paddle.to_tensor(batch.token_type_ids))
        arrays |= {f"ids{number}": batch.input_ids, f"types{number}": batch.token_type_ids}
        arrays[f"logits{number}"] = logits.numpy()
    np.savez(directory / "reference.npz", **arrays)
    static = [str(path) for path in save_static(model, directory)]
    onnx = {precision: [str(directory / f"{precision}.onnx")] for precision in forms}
    return {"onnx": onnx, "paddle": {"fp32": static}}


if __name__ == "__main__":
    sys.exit(child_process.answer(export))
