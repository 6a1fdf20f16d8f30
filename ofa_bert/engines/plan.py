"""The engines that an export is to compile, settled before there is a model."""

from __future__ import annotations

from typing import NamedTuple

from ofa_bert.engines.job import EngineOptions
from ofa_bert.engines.library import TURING, check_targets, this_gpu
from ofa_bert.errors import UserError
from ofa_bert.runtime.backends.tensorrt import Profile
from ofa_bert.runtime.nvidia.library import RTX, Library, installed


class EnginePlan(NamedTuple):
    """targets, batch and length as the options have them."""

    library: Library
    precisions: tuple[str, ...]
    targets: tuple[str, ...] | None
    batch: tuple[int, ...]
    length: tuple[int, ...] | None


def engine_plan(options: EngineOptions, precisions: tuple[str, ...], max_seq_length: int) -> EnginePlan | None:
    """None when no engine is asked for. UserError for what cannot be compiled here, or not for such a GPU.

    precisions: that the bundle is exported in.
    """
    if options.engine is None:
        return None
    made, targets = options.compiled(precisions), options.engine_compute_capability
    Profile.within(max_seq_length, options.engine_batch, options.engine_length, "engine_")
    if options.engine == RTX and "fp32" in made and TURING in (targets or ()):
        raise UserError(
            f"`engine_compute_capability` {TURING}: TensorRT-RTX has no float32 matrix products on Turing; ask for"
            " `precision` fp16 or int8-static too"
        )
    library = installed(options.engine)
    check_targets(library, targets or (), option="engine_compute_capability")
    if not library.targets:
        this_gpu()
    return EnginePlan(library, made, targets, options.engine_batch, options.engine_length)
