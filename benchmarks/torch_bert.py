"""BERT classification in PyTorch, in the form that is fastest on a GPU: what gpu_onnx.py compares exports with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


class Layer(torch.nn.Module):
    def __init__(self, hidden: int, head_dim: int, heads: int, ffn: int):
        super().__init__()
        self.heads, self.head_dim = heads, head_dim
        self.qkv = torch.nn.Linear(hidden, 3 * heads * head_dim)
        self.out, self.norm1 = torch.nn.Linear(heads * head_dim, hidden), torch.nn.LayerNorm(hidden)
        self.up, self.down = torch.nn.Linear(hidden, ffn), torch.nn.Linear(ffn, hidden)
        self.norm2 = torch.nn.LayerNorm(hidden)

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        rows, length, _ = x.shape
        packed = self.qkv(x).view(rows, length, 3, self.heads, self.head_dim).permute(2, 0, 3, 1, 4)  # [3, B, h, T, d]
        mixed = torch.nn.functional.scaled_dot_product_attention(*packed, attn_mask=mask)  # [B, h, T, d]
        x = self.norm1(x + self.out(mixed.transpose(1, 2).reshape(rows, length, -1)))  # [B, T, H]
        return self.norm2(x + self.down(torch.nn.functional.gelu(self.up(x))))


class Bert(torch.nn.Module):
    """(input_ids, token_type_ids) [B, T] -> logits [B, C], float32; layers as narrow as the sub-model's."""

    def __init__(self, full: dict[str, int], kept: dict[str, list[int]], mask: bool):
        super().__init__()
        hidden = full["hidden_size"]
        self.words = torch.nn.Embedding(full["vocab_size"], hidden)
        self.places = torch.nn.Embedding(full["max_positions"], hidden)
        self.types = torch.nn.Embedding(full["type_vocab_size"], hidden)
        self.norm = torch.nn.LayerNorm(hidden)
        sizes = zip(kept["heads"], kept["ffn"])
        self.layers = torch.nn.ModuleList(Layer(hidden, full["head_dim"], *size) for size in sizes)
        self.pooler, self.classifier = torch.nn.Linear(hidden, hidden), torch.nn.Linear(hidden, full["num_labels"])
        self.mask = mask

    def forward(self, input_ids: torch.Tensor, token_type_ids: torch.Tensor) -> torch.Tensor:
        places = self.places.weight[: input_ids.shape[1]]
        x = self.norm(self.words(input_ids) + self.types(token_type_ids) + places)  # [B, T, H]
        mask = (input_ids != 0)[:, None, None] if self.mask else None  # [B, 1, 1, T]
        for layer in self.layers:
            x = layer(x, mask)
        return self.classifier(torch.tanh(self.pooler(x[:, 0]))).float()


def captured(model: Callable[..., torch.Tensor], batch: tuple[torch.Tensor, ...]) -> Callable[[], None]:
    """The model on this batch as a CUDA graph."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            model(*batch)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output = model(*batch)

    def run(keep: Any = output) -> None:
        graph.replay()

    return run
