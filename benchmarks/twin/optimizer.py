"""AdamW with decay apart from the gradient and clipping by the global norm, as Paddle computes it.

Its numbers of a step are tensors that are filled before it, so that a CUDA graph of it can be replayed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from ofa_bert.training.settings import OptimizerSettings

_BETAS = (0.9, 0.999)


class AdamW:
    """Biases and LayerNorms are not decayed; a weight without a gradient needs one of zeros."""

    def __init__(self, weights: Mapping[str, torch.Tensor], settings: OptimizerSettings) -> None:
        self.settings = settings
        self.weights = list(weights.values())
        self.decayed = [each for name, each in weights.items() if not name.endswith("bias") and "norm" not in name]
        self.first = [torch.zeros_like(weight) for weight in self.weights]
        self.second = [torch.zeros_like(weight) for weight in self.weights]
        number = torch.zeros((), device=self.weights[0].device)
        # Left of the weights by the decay; what a step is scaled by; what the second moment's root is scaled by.
        self.kept, self.scale, self.root = number.clone(), number.clone(), number.clone()

    @property
    def state(self) -> list[torch.Tensor]:
        """All that a step changes."""
        return [*self.weights, *self.first, *self.second]

    def prepare(self, step: int, rate: float) -> None:
        """For step `step`, counted from 0, at this learning rate."""
        first, second = (1 - beta ** (step + 1) for beta in _BETAS)
        self.kept.fill_(1 - rate * self.settings.weight_decay)
        self.scale.fill_(rate / first)
        self.root.fill_(second**-0.5)

    @torch.no_grad()
    def apply(self, gradients: Sequence[torch.Tensor]) -> None:
        """One step, by gradients in the order of the weights."""
        most = self.settings.max_grad_norm
        if most > 0:
            norm = torch.stack([gradient.pow(2).sum() for gradient in gradients]).sum().sqrt()
            gradients = torch._foreach_mul(gradients, most / norm.clamp(min=most))
        for moment, beta, wanted in zip(
            (self.first, self.second), _BETAS, (gradients, torch._foreach_mul(gradients, gradients))
        ):
            torch._foreach_mul_(moment, beta)
            torch._foreach_add_(moment, wanted, alpha=1 - beta)
        below = torch._foreach_sqrt(self.second)
        torch._foreach_mul_(below, self.root)
        torch._foreach_add_(below, self.settings.adam_epsilon)
        moved = torch._foreach_div(self.first, below)
        torch._foreach_mul_(moved, self.scale)
        torch._foreach_mul_(self.decayed, self.kept)
        torch._foreach_sub_(self.weights, moved)
