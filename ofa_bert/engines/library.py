"""NVIDIA's builders: an ONNX file is read as a network, and the network compiled into an engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ofa_bert.bundle.entries import HALF_STATIC
from ofa_bert.bundle.manifest import INPUTS
from ofa_bert.engines.network import Network, read
from ofa_bert.errors import RunError, UserError
from ofa_bert.reporting import one_line
from ofa_bert.runtime.backends.tensorrt import WORKSPACE, Profile
from ofa_bert.runtime.nvidia.library import TENSORRT, Foreign, Library, Messages
from ofa_bert.system import accelerator

TURING = "7.5"  # for which TensorRT-RTX has no float32 matrix products


@dataclass(frozen=True)
class Parsed:
    """A model that a library read; `parser` keeps the memory of its weights."""

    builder: Foreign
    network: Foreign
    parser: Foreign
    facts: Network


def check_targets(
    library: Library, targets: Sequence[str], facts: Network | None = None, option: str = "compute_capability"
) -> None:
    """UserError for a GPU that the library has no code for; with `facts`, none for this model."""
    for target in targets:
        if target not in library.targets:
            other = "; for such a GPU take `runtime` tensorrt there" if target.startswith(("9.", "10.")) else ""
            known = ", ".join(library.targets)
            raise UserError(f"`{option}` {target}: {library.name} compiles for {known}{other}")
        if facts is not None and target == TURING and facts.float32_products:
            name = facts.float32_products[0].name
            raise UserError(
                f"`{option}` {TURING}: {library.name} has no float32 matrix products on Turing, and this model has"
                f" {len(facts.float32_products)} ({name} first); take `precision` fp16, export it with `precision`"
                f" {HALF_STATIC} for int8 there, or leave it out"
            )


def parse(library: Library, source: Path) -> Parsed:
    """Read an ONNX file as a strongly typed network. UserError where there is no GPU and one is needed."""
    module = library.module
    said = library.messages
    said.clear()
    try:
        builder = module.Builder(said.logger)
    except (TypeError, RuntimeError) as error:  # what its factory becomes when it gives nothing
        raise _no_gpu(library, said) from error
    # TensorRT 11 and RTX know no other kind and ignore the flag, 10 needs it.
    network = builder.create_network(1 << int(module.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = module.OnnxParser(network, said.logger)
    if not parser.parse(source.read_bytes(), str(source)):
        errors = [parser.get_error(place) for place in range(parser.num_errors)]
        told = f"{errors[0].node_operator()}: {errors[0].desc()}" if errors else said.last()
        raise RunError(f"{source}: {library.name} cannot read it: {one_line(told)}")
    return Parsed(builder, network, parser, read(network, module))


def compile_engine(library: Library, parsed: Parsed, profile: Profile, precision: str, target: str | None) -> bytes:
    """The engine for GPUs of a compute capability; None: for this machine's. RunError says what the library says."""
    module, said = library.module, library.messages
    said.clear()
    config = parsed.builder.create_builder_config()
    config.set_memory_pool_limit(module.MemoryPoolType.WORKSPACE, WORKSPACE)
    # Its inspector then tells the types of its layers, on a GPU; the engine has the same size.
    config.profiling_verbosity = module.ProfilingVerbosity.DETAILED
    if precision == "fp32":
        config.clear_flag(module.BuilderFlag.TF32)  # which keeps 11 of a product's 24 bits
    _add_profile(parsed.builder, config, profile)
    if target is not None:
        config.num_compute_capabilities = 1
        if not config.set_compute_capability(library.targets[target], 0):
            raise RunError(f"{library.name} does not compile for compute capability {target}: {said.last()}")
    built = parsed.builder.build_serialized_network(parsed.network, config)
    if built is None:
        raise RunError(f"{library.name} cannot compile the model for {target or 'this GPU'}: {said.last()}")
    return bytes(built)


def _add_profile(builder: Foreign, config: Foreign, profile: Profile) -> None:
    """One profile for both inputs, held against what the library keeps of it."""
    made = builder.create_optimization_profile()
    wanted = list(profile.shapes().values())
    for name in INPUTS:
        made.set_shape(name, *wanted)
        kept = [tuple(shape) for shape in made.get_shape(name)]
        if kept != wanted:
            raise RunError(f"TensorRT keeps {kept} as the profile of {name}, must be {wanted}")
    if config.add_optimization_profile(made) < 0:
        raise RunError(f"TensorRT refuses the profile {wanted}")


def this_gpu() -> str:
    """The compute capability of this machine's first GPU."""
    found = accelerator.capabilities()
    if not found:
        raise UserError(_NEEDS_GPU)
    return accelerator.shown(found[0])


_NEEDS_GPU = (
    "runtime tensorrt: TensorRT compiles for the GPU of its own machine and finds none here; run this command there, or"
    " take `runtime` rtx, which compiles without a GPU"
)


def _no_gpu(library: Library, said: Messages) -> UserError:
    if library.runtime == TENSORRT:
        return UserError(_NEEDS_GPU)
    return RunError(f"{library.name} does not start: {said.last()}")
