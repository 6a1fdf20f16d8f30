"""A tiny BERT as a directory, made without Paddle; random weights everywhere, since fresh LayerNorms hide errors."""

import json
import sys
from dataclasses import replace

import numpy as np

from helpers.models import VOCABULARY
from helpers.paths import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))

from twin.directory import product_name, read_directory

from ofa_bert.files.weights import write_weights
from ofa_bert.submodels.values import ModelShape
from ofa_bert.tasks.glue import glue_task

SHAPE = ModelShape(4, 32, 4, 8, 64, len(VOCABULARY), 48, 2, 2)


def tiny_weights(labels=2):
    rng = np.random.default_rng(0)
    layers, hidden, ffn = SHAPE.num_layers, SHAPE.hidden_size, SHAPE.ffn_size
    sizes = {"embeddings.word_embeddings.weight": (SHAPE.vocab_size, hidden)}
    sizes |= {
        "embeddings.position_embeddings.weight": (48, hidden),
        "embeddings.token_type_embeddings.weight": (2, hidden),
    }
    linears = {"self_attn.q_proj": (hidden, hidden), "self_attn.k_proj": (hidden, hidden)}
    linears |= {"self_attn.v_proj": (hidden, hidden), "self_attn.out_proj": (hidden, hidden)}
    linears |= {"linear1": (hidden, ffn), "linear2": (ffn, hidden)}
    every = {f"encoder.layers.{i}.{name}": size for i in range(layers) for name, size in linears.items()}
    every |= {"pooler.dense": (hidden, hidden), **({"classifier": (hidden, labels)} if labels else {})}
    for name, size in every.items():
        sizes |= {f"{name}.weight": size, f"{name}.bias": size[1:]}
    norms = ["embeddings.layer_norm", *(f"encoder.layers.{i}.norm{n}" for i in range(layers) for n in (1, 2))]
    sizes |= {f"{norm}.{leaf}": (hidden,) for norm in norms for leaf in ("weight", "bias")}
    found = {name: rng.normal(0, 0.2, size).astype(np.float32) for name, size in sizes.items()}
    return {name: array + (1 if "norm" in name and "weight" in name else 0) for name, array in found.items()}


def tiny_directory(directory, labels=2):
    """An encoder without a record; with labels 0 it has no classifier."""
    directory.mkdir(parents=True)
    (directory / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    config = {
        "model_type": "bert", "vocab_size": len(VOCABULARY), "hidden_size": 32, "num_hidden_layers": 4,
        "num_attention_heads": 4, "intermediate_size": 64, "max_position_embeddings": 48, "type_vocab_size": 2,
        "layer_norm_eps": 1e-5, "hidden_act": "gelu", "pad_token_id": 0,
    }  # fmt: skip
    (directory / "config.json").write_text(json.dumps(config))
    write_weights(directory / "model.safetensors", {product_name(n): w for n, w in tiny_weights(labels).items()})
    return directory


def tiny_teacher(directory, task_name):
    """A tiny model with random weights everywhere, as if it had been finetuned for the task."""
    task = glue_task(task_name)
    encoder = tiny_directory(directory.with_name(directory.name + "-encoder"), 0)
    found = read_directory(str(encoder), task).with_head(task.num_labels, seed=1)
    rng = np.random.default_rng(3)
    head = {"classifier.weight": rng.normal(0, 1, [32, task.num_labels]).astype(np.float32)}
    replace(found, weights={**found.weights, **head}).save(directory, task, 32, 1, {"score": 0.5})
    return directory
