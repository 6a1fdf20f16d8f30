"""The model card of a sub-model: what it is, how good and how fast."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ofa_bert.bundle.entries import ModelEntry
from ofa_bert.errors import UserError
from ofa_bert.export.hugging_face.layout import Layout
from ofa_bert.models.record import HUB, ModelRecord, numbers
from ofa_bert.reporting import millions, table
from ofa_bert.runtime.opening import open_model
from ofa_bert.submodels.counting import count_flops, count_parameters
from ofa_bert.submodels.values import ModelShape, SubModelConfig, uniform
from ofa_bert.system import timing
from ofa_bert.system.machine import machine
from ofa_bert.tasks.heads import CONTEXTS, ONE_LABEL, OPTIONS, TAGS

# Hugging Face's names of what such models are for.
_PIPELINES = {
    ONE_LABEL: "text-classification",
    TAGS: "token-classification",
    CONTEXTS: "question-answering",
    OPTIONS: "multiple-choice",
}
_TOKENS = 128  # of the text that is timed, if the model takes so many


@dataclass(frozen=True)
class Timed:
    """Median milliseconds of one text in the deployed models of the same sub-model."""

    tokens: int
    device: str
    milliseconds: Mapping[str, float]  # file and what runs it -> milliseconds


def timed(bundle: str | Path, models: Sequence[ModelEntry], length: int, gpu: bool) -> Timed:
    """One text of `length` tokens, 128 at most, through each of a bundle's models that something here runs, in turn."""
    tokens, runs = min(length, _TOKENS), {}
    # Which tokens these are changes nothing about dense kernels; small ids are in every vocabulary.
    ids = np.random.default_rng(0).integers(1, 20, (1, tokens))
    for precision in dict.fromkeys(model.precision for model in models):
        try:
            opened = open_model(bundle, precision=precision, device="gpu" if gpu else "cpu")
        except UserError:  # nothing that runs it is installed, or not on this device
            continue
        runs[f"{precision}, {opened.name}"] = lambda run=opened.run: run(ids, np.zeros_like(ids))
    here = machine("gpu" if gpu else "cpu")
    device = here["gpu"] or f"{here['processor']}, {here['cores']} cores"
    found = timing.in_turn(runs) if runs else {}
    return Timed(tokens, device, {name: float(np.median(each)) for name, each in found.items()})


def card(record: ModelRecord, shape: ModelShape, sub_model: SubModelConfig, layout: Layout, speed: Timed | None) -> str:
    """README.md of the directory."""
    task = record.task
    assert task is not None
    made = record.versions.get("ofa_bert", "")
    about = {"library_name": "transformers", "pipeline_tag": _PIPELINES[layout.head], "tags": ["ofa_bert"]}
    origin = record.more.get(HUB)
    if isinstance(origin, dict):
        about |= {"base_model": str(origin.get("name"))}
    head = "\n".join(f"{name}: {json.dumps(value)}" for name, value in about.items())
    parts = [
        f"---\n{head}\n---\n\n# {task.name}: {sub_model.depth} of {shape.num_layers} layers",
        f"`{layout.architecture}` with {millions(count_parameters(shape, sub_model))} parameters and"
        f" {count_flops(shape, sub_model) / 1e9:.2f} GFLOPs for {_TOKENS} tokens, made with ofa_bert {made}."
        f" `transformers.AutoModelFor{layout.head}.from_pretrained` loads it.",
        _sizes(sub_model, layout),
        ""
        if sub_model == uniform(shape, 1.0)
        else "The heads and neurons of a layer are the most important ones, by"
        " weight times gradient, of the layer that it was cut from.",
        _scores(record),
        _speed(speed),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _sizes(sub_model: SubModelConfig, layout: Layout) -> str:
    rows = [
        {"layer": str(place), "of the model's": str(layer), "heads": str(heads), "FFN neurons": str(neurons)}
        for place, (layer, heads, neurons) in enumerate(zip(sub_model.layers, sub_model.heads, sub_model.ffn))
    ]
    zeros = []
    if not layout.left_out and min(layout.heads) < layout.most_heads:
        zeros.append("the heads that a layer lacks stand in the file as zeros: transformers 5 has nothing for fewer")
    if min(sub_model.ffn) < layout.ffn:
        zeros.append(f"layers with fewer than {layout.ffn} FFN neurons are filled up with zeros")
    if layout.pruned:
        zeros.append("`pruned_heads` of config.json says which heads the file lacks; transformers 4 reads that")
    return table(rows) + "".join(f"\n\n{text[0].upper()}{text[1:]}." for text in zeros)


def _scores(record: ModelRecord) -> str:
    found = numbers(record.scores)
    if not found:
        return ""
    return "On the dev split:\n\n" + table([{"metric": name, "value": f"{value:.4f}"} for name, value in found.items()])


def _speed(speed: Timed | None) -> str:
    if speed is None or not speed.milliseconds:
        return ""
    rows = [{"model": name, "ms": f"{value:.2f}"} for name, value in speed.milliseconds.items()]
    return (
        f"One text of {speed.tokens} tokens on {speed.device}, median milliseconds of runs in turn, in the models that"
        f" were exported beside this one:\n\n{table(rows)}"
    )
