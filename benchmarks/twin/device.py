"""Where PyTorch computes."""

from __future__ import annotations

import torch

from ofa_bert.errors import UserError


def device_of(named: str) -> str:
    """cuda or cpu, whose matrix products may be TF32 from now on; UserError for a GPU that is not there."""
    torch.set_float32_matmul_precision("high")
    there = torch.cuda.is_available()
    if named == "cuda" and not there:
        raise UserError("--device cuda: PyTorch sees no GPU on this machine; give cpu")
    return "cuda" if there and named != "cpu" else "cpu"


def card(device: str) -> str:
    return torch.cuda.get_device_name() if device == "cuda" else device
