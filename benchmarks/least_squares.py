"""Are the matrices behind cut heads and neurons worth repairing? Least squares on a trained supernet, in PyTorch.

    python benchmarks/least_squares.py --supernet out/depth-MRPC/supernet_1 --task_name MRPC --data_dir glue/MRPC

What a sub-model adds to the hidden state comes from fewer heads and neurons, through matrices that all widths share.
Here every sub-model gets its own, from the first layer on: those that bring its state closest, over texts of the
training data, to that of the widest sub-model of its depth (as K-prune does, Park et al. 2023). How far they may go
from the trained ones is chosen on other training texts, by how close the logits come; dev is scored once.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from twin.directory import Directory, read_directory
from twin.net import LINEAR2, OUT_PROJ, Net
from twin.scoring import answers, scores_of
from twin.step import tensors

from ofa_bert.cli.process import run_command, show
from ofa_bert.data.encoding.batches import eval_batches
from ofa_bert.data.encoding.encoded import Encoded, encode
from ofa_bert.data.source import TrainingData
from ofa_bert.errors import UserError
from ofa_bert.reporting import table
from ofa_bert.submodels.grid import SearchSpace
from ofa_bert.submodels.values import SubModelConfig
from ofa_bert.tasks.task import Datasets

RIDGES = (1e-3, 1e-2, 1e-1)  # shares of the mean square of what enters a matrix
BATCH = 32


@dataclass
class State:
    """The hidden states [B, T, H] of a sub-model, batch by batch, on its way through the layers."""

    net: Net
    sub_model: SubModelConfig
    states: list[torch.Tensor]


@torch.no_grad()
def repaired(net: Net, sub_model: SubModelConfig, goal: SubModelConfig, texts: Encoded, ridge: float) -> Net:
    """The supernet's weights with output matrices of this sub-model's own. goal: of the same layers."""
    batches = [tensors(batch, net) for batch in eval_batches(texts, BATCH, net.pad_id)]
    masks, real = [net.mask(ids) for ids, _ in batches], [ids != net.pad_id for ids, _ in batches]
    begun = [net.embed(ids, types) for ids, types in batches]
    cut, whole = State(net, sub_model, begun), State(net, goal, list(begun))
    for place, layer in enumerate(sub_model.layers):
        at = f"encoder.layers.{layer}."
        for module, norm in ((at + OUT_PROJ, at + "norm1"), (at + LINEAR2, at + "norm2")):
            own, wanted = (entering(state, at, module, place, masks) for state in (cut, whole))
            aims = [x + whole.net.linear(into, module, rows=into.shape[-1]) for x, into in zip(whole.states, wanted)]
            missing = [
                aim - x - cut.net.linear(into, module, rows=into.shape[-1])
                for aim, x, into in zip(aims, cut.states, own)
            ]
            cut.net = changed(cut.net, module, least_squares(own, missing, real, ridge))
            whole.states = [net.norm(aim, norm) for aim in aims]
            cut.states = [
                net.norm(x + cut.net.linear(into, module, rows=into.shape[-1]), norm)
                for x, into in zip(cut.states, own)
            ]
    return cut.net


def entering(state: State, at: str, module: str, place: int, masks: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """What the output matrix is multiplied with."""
    if module.endswith(OUT_PROJ):
        heads = state.sub_model.heads[place]
        return [state.net.attended(at, x, mask, heads) for x, mask in zip(state.states, masks)]
    return [state.net.activated(at, x, state.sub_model.ffn[place]) for x in state.states]


def least_squares(
    inputs: Sequence[torch.Tensor], missing: Sequence[torch.Tensor], real: Sequence[torch.Tensor], ridge: float
) -> torch.Tensor:
    """[n + 1, H]: what to add to a matrix and, last, to its bias, so that it adds what is missing in real tokens."""
    moments, wanted = 0.0, 0.0
    for into, lacks, there in zip(inputs, missing, real):
        rows = torch.cat([into[there], torch.ones(int(there.sum()), 1)], 1).double()
        moments, wanted = moments + rows.T @ rows, wanted + rows.T @ lacks[there].double()
    held = ridge * moments.diagonal().mean() * torch.eye(len(moments), dtype=torch.double)
    return torch.linalg.solve(moments + held, wanted).float()


def changed(net: Net, module: str, added: torch.Tensor) -> Net:
    matrix, bias = net.weights[f"{module}.weight"].clone(), net.weights[f"{module}.bias"]
    matrix[: len(added) - 1] += added[:-1]
    return replace(net, weights={**net.weights, f"{module}.weight": matrix, f"{module}.bias": bias + added[-1]})


def row(net: Net, directory: Directory, space: SearchSpace, name: str, datasets: Datasets, texts: int) -> dict:
    """Of one sub-model, before and after."""
    sub_model = space.sub_models()[name]
    goal = widest(space, sub_model)
    length = directory.stated.record.max_seq_length
    order = np.random.default_rng(0).permutation(len(datasets.train))
    every = encode(datasets.train, directory.tokenizer, length, progress=False)
    fitted, other = every.select(np.sort(order[:texts])), every.select(np.sort(order[texts : texts + 300]))
    aims = answers(net, goal, other)
    nets = {0.0: net, **{ridge: repaired(net, sub_model, goal, fitted, ridge) for ridge in RIDGES}}
    distances = {ridge: float(np.square(answers(each, sub_model, other) - aims).mean()) for ridge, each in nets.items()}
    best = min((ridge for ridge in nets if ridge), key=lambda ridge: distances[ridge])
    dev = [encode(split, directory.tokenizer, length, progress=False) for split in datasets.dev.values()]

    def score(each: Net, config: SubModelConfig) -> str:
        found = scores_of(
            datasets.task, [answers(each, config, split) for split in dev], [split.labels for split in dev]
        )
        return f"{100 * found['score']:.1f}"

    return {
        "sub-model": name, "widest": score(net, goal), "trained": score(net, sub_model),
        "repaired": score(nets[best], sub_model), "ridge": f"{best:g}",
        "logits' distance": f"{distances[0.0]:.3f} -> {distances[best]:.3f}",
    }  # fmt: skip


def widest(space: SearchSpace, sub_model: SubModelConfig) -> SubModelConfig:
    """Of the same layers."""
    return next(each for each in space.sub_models().values() if each.layers == sub_model.layers)


def parsed(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--supernet", required=True, help="a directory that torch_twin.py train --keep wrote, or ours")
    parser.add_argument("--task_name", required=True)
    parser.add_argument("--data_dir", required=True)
    parser.add_argument("--sub_models", nargs="+", default=["w0.6667_d1", "w0.5_d1", "w0.5_d0.5"], help="their names")
    parser.add_argument("--texts", type=int, default=500, help="of the training data that the repair looks at [500]")
    return parser.parse_args(argv)


def work(argv: Sequence[str] | None) -> None:
    told = parsed(argv)
    datasets = TrainingData(task_name=told.task_name, data_dir=told.data_dir).load()
    directory = read_directory(told.supernet, datasets.task)
    space = directory.stated.record.space
    if space is None:
        raise UserError(f"--supernet {told.supernet}: is no supernet; name what run_glue_ofa.py or the twin wrote")
    unknown = [name for name in told.sub_models if name not in space.sub_models()]
    if unknown:
        raise UserError(f"--sub_models {' '.join(unknown)}: the supernet has {' '.join(space.sub_models())}")
    net = Net.of(directory, "cpu")
    show(table([row(net, directory, space, name, datasets, told.texts) for name in told.sub_models]))


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(work, argv, resumable=False)


if __name__ == "__main__":
    sys.exit(main())
