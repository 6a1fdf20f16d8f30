"""Several processes under `python -m paddle.distributed.launch`: who this one is, and the sums they share."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

import numpy as np
import paddle
import paddle.distributed as dist


def world_size() -> int:
    return int(os.environ.get("PADDLE_TRAINERS_NUM", "1"))


def rank() -> int:
    return int(os.environ.get("PADDLE_TRAINER_ID", "0"))


def is_main() -> bool:
    """Whether this process is the one that writes files and draws progress bars."""
    return rank() == 0


def start(device: str) -> None:
    """Join the other processes, if there are any: gloo on CPU, the vendor's library elsewhere."""
    if world_size() == 1 or dist.is_initialized():
        return
    if device == "cpu":
        # A GPU build of Paddle would pick NCCL, also when it was told to compute on the CPU.
        os.environ["PADDLE_DISTRI_BACKEND"] = "gloo"
    dist.init_parallel_env()


def same_start(parameters: Iterable[paddle.Tensor]) -> None:
    """Give every process the main process's values, with a single broadcast: new heads start at random."""
    if world_size() == 1:
        return
    parameters = list(parameters)
    flat = paddle.concat([parameter.detach().flatten() for parameter in parameters])
    dist.broadcast(flat, src=0)
    _scatter(flat, parameters)


def average_gradients(parameters: Iterable[paddle.Tensor]) -> None:
    """Replace every gradient by its mean over the processes, with a single all-reduce.

    Every process must hold gradients for the same parameters.
    """
    if world_size() == 1:
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    flat = paddle.concat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    flat.scale_(1.0 / world_size())
    _scatter(flat, gradients)


def _scatter(flat: paddle.Tensor, targets: Sequence[paddle.Tensor]) -> None:
    """Copy the pieces of a flat tensor into the tensors it was concatenated from."""
    sizes = [int(np.prod(target.shape)) for target in targets]
    # One split, not one slice each: a slice is a view that set_value and copy_ handle at the cost of the whole.
    with paddle.no_grad():
        for target, piece in zip(targets, paddle.split(flat, sizes)):
            target.copy_(piece.reshape(target.shape), True)


def sum_array(array: np.ndarray) -> np.ndarray:
    """The element-wise sum of a float32 array over the processes."""
    if world_size() == 1:
        return array
    tensor = paddle.to_tensor(array)
    dist.all_reduce(tensor)
    return tensor.numpy()


def share(values: Sequence[float]) -> list[float]:
    """The mean of each number over the processes, for the log."""
    summed = sum_array(np.asarray(values, dtype=np.float32)) / world_size()
    return [float(value) for value in summed]


def barrier() -> None:
    """Wait for the others, so that nobody reads what rank 0 has not finished writing."""
    if world_size() > 1:
        dist.barrier()
