"""Sub-models answering held-out examples in the engine and precision they would be deployed in."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from paddle import nn

from ofa_bert.data.encoding.batches import Batch, eval_batches
from ofa_bert.data.encoding.encoded import Encoded
from ofa_bert.data.tagging.answered import Answered
from ofa_bert.exits.outputs import Outputs, unpack
from ofa_bert.export.variants import Forms
from ofa_bert.latency.device import Measurer, write_model
from ofa_bert.latency.exits import open_parts, through, write_parts
from ofa_bert.models.exits.graphs import depths
from ofa_bert.models.exits.heads import Exits, exits_of_sub_model
from ofa_bert.models.supernet import extract
from ofa_bert.submodels.values import SubModelConfig


class Engine:
    """Writes a sub-model's graphs as an export does and runs them. `calibration` is for INT8's static scales."""

    def __init__(
        self, device: Measurer, model: nn.Layer, exits: Exits | None, pad_id: int, calibration: Sequence[Batch]
    ) -> None:
        self.device, self.model, self.exits, self.pad_id = device, model, exits, pad_id
        self.calibration = calibration

    def outputs(self, sub_model: SubModelConfig, encoded: Encoded) -> Outputs:
        """What every exit says of the examples, in batches of the device's size."""
        small = extract(self.model, sub_model)
        small.eval()
        exits = exits_of_sub_model(self.exits, small, sub_model)
        layers = (sub_model.depth,) if exits is None else depths(small, exits)
        classes = small.config.num_labels
        answered = Answered(encoded, len(layers) * (classes + 1) - 1)
        with tempfile.TemporaryDirectory(prefix="ofa-engine-") as folder:
            form = Forms(small, lambda: list(self.calibration), Path(folder)).form(self._name())
            graphs = Path(folder, "graphs")
            graphs.mkdir()
            if exits is None:
                backend = self.device.open(write_model(small, graphs, self.device, form))

                def run(batch: Batch) -> list[np.ndarray]:
                    return [backend.run(batch.input_ids, batch.token_type_ids)]
            else:
                parts = open_parts(self.device, write_parts(small, exits, graphs, self.device, form), layers)

                def run(batch: Batch) -> list[np.ndarray]:
                    found = through(parts, batch.input_ids, batch.token_type_ids, range(len(layers)))
                    certain = [found[place][1][:, None] for place in range(len(layers) - 1)]
                    return [*(found[place][0] for place in range(len(layers))), *certain]

            for batch in eval_batches(encoded, self.device.batch, self.pad_id):
                answered.put(batch.index, np.concatenate(run(batch), axis=-1))
        return unpack(answered.logits, classes, layers)

    def _name(self) -> str:
        """manifest.KINDS' name of the graph."""
        fused = "-fused" if self.device.device == "gpu" else ""
        precision = self.device.file_precision
        if precision in ("int8", "int8-static"):
            return f"onnx-{precision}"
        return f"onnx-{'fp16' if precision == 'fp16' else 'fp32'}{fused}"
