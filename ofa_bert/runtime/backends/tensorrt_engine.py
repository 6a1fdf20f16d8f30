"""Engines that lie in the bundle: NVIDIA's TensorRT-RTX or TensorRT opens one, nothing is compiled for that."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ofa_bert.bundle.manifest import OUTPUT, Bundle
from ofa_bert.errors import UserError
from ofa_bert.files.reading import open_regular
from ofa_bert.runtime.backends import tensorrt
from ofa_bert.runtime.backends.base import Capabilities, Engine, Provider, Settings
from ofa_bert.runtime.backends.tensorrt import Profile
from ofa_bert.runtime.exit_tensors import Part
from ofa_bert.system import packages


def pick(bundle: Bundle, precision: str, provider: str, profile: Profile | None) -> tuple[list[Path], str]:
    """(the engine, its precision). UserError where none of the bundle's fits this GPU and the installed library."""
    from ofa_bert.runtime.nvidia import choice  # an engine alone needs it, as all that is imported below

    chosen = choice.pick(bundle, precision, provider, profile)
    return [bundle.path / chosen.file], chosen.precision


def load(files: Sequence[Path], settings: Settings) -> Engine:
    """UserError where NVIDIA's packages or the GPU are missing."""
    from ofa_bert.runtime.nvidia import cuda, library
    from ofa_bert.runtime.nvidia.runtime_cache import cache_path
    from ofa_bert.runtime.nvidia.session import EngineSession

    tensorrt.served_gpu(settings.provider)
    opener, memory = library.installed(library.OF_PROVIDER[settings.provider]), cuda.require()
    with open_regular(files[0]) as file:
        content = file.read()
    session = EngineSession(opener, memory, content, str(files[0]), settings.pad_token_id, cache_path(files[0]))
    return Engine(session.run, OUTPUT, close=session.close)


def load_part(files: Sequence[Path], settings: Settings) -> Part:
    raise UserError("engines hold whole models, and none of the parts of a model with exits; take another back end")


CAPABILITIES = Capabilities(
    name="tensorrt_engine",
    package="cuda",
    cure=packages.cure("cuda"),
    format="engine",
    providers={"tensorrt": Provider(tensorrt.FILES), "tensorrt_rtx": Provider(tensorrt.FILES)},
    load=load,
    load_part=load_part,
    pick=pick,
)
