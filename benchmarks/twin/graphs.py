"""Steps as CUDA graphs: the host says once what a step does, the GPU repeats it."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import NamedTuple

import torch

Inputs = tuple[torch.Tensor, ...]
Losses = list[dict[str, torch.Tensor]]
Work = Callable[[Inputs, Hashable], Losses]
_TRIES = 2  # before a graph is recorded: libraries choose their kernels and take their memory then


class _Graph(NamedTuple):
    graph: torch.cuda.CUDAGraph
    inputs: Inputs
    losses: Losses


class Replayed:
    """`work(inputs, key)`, recorded once for every key and shape of inputs. state: all that it changes in place."""

    def __init__(self, work: Work, state: list[torch.Tensor]) -> None:
        self.work, self.state = work, state
        self._graphs: dict[Hashable, _Graph] = {}
        self._pool = torch.cuda.graph_pool_handle()  # one graph runs at a time: they share their memory

    def __call__(self, inputs: Inputs, key: Hashable) -> Losses:
        known = (key, *(tuple(each.shape) for each in inputs))
        if known not in self._graphs:
            self._graphs[known] = self._record(tuple(each.clone() for each in inputs), key)
        found = self._graphs[known]
        for own, given in zip(found.inputs, inputs):
            own.copy_(given)
        found.graph.replay()
        return [{name: loss.clone() for name, loss in each.items()} for each in found.losses]

    def _record(self, inputs: Inputs, key: Hashable) -> _Graph:
        before = [each.detach().clone() for each in self.state]
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(_TRIES):
                self.work(inputs, key)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            losses = self.work(inputs, key)
        with torch.no_grad():
            for each, was in zip(self.state, before):
                each.copy_(was)
        return _Graph(graph, inputs, losses)
