"""Which engine of a bundle is opened on this GPU; where none fits, one line says what there is and what makes one."""

from __future__ import annotations

from collections.abc import Sequence

from ofa_bert.bundle.engine_entry import EngineEntry
from ofa_bert.bundle.manifest import Bundle
from ofa_bert.errors import UserError
from ofa_bert.runtime.backends import tensorrt
from ofa_bert.runtime.backends.tensorrt import Profile
from ofa_bert.runtime.nvidia import library as libraries
from ofa_bert.runtime.nvidia.library import NAMES, OF_PROVIDER, RTX
from ofa_bert.system.accelerator import shown


def pick(bundle: Bundle, precision: str, provider: str, profile: Profile | None) -> EngineEntry:
    """The engine for this GPU and the installed library that takes texts of every length that is wanted.

    Of several the one that takes the most rows at once, then the one whose longest text is shortest, then the newest.
    profile: the shapes that will come; None: texts up to the bundle's longest.
    """
    runtime, wanted = OF_PROVIDER[provider], tensorrt.FILES[precision][0]
    found = [each for each in bundle.manifest.engines if (each.runtime, each.precision) == (runtime, wanted)]
    command = f"python -m ofa_bert engine `bundle` {bundle.path} `precision` {wanted} `runtime` {runtime}"
    if not found:
        raise UserError(
            f"{bundle.path}: holds no engine of {NAMES[runtime]} in {wanted}{_held(bundle)}; {command} compiles one"
        )
    gpu = shown(tensorrt.served_gpu(provider))
    here = f"{command} `compute_capability` {gpu}" if runtime == RTX else f"{command} on this machine"
    known = found
    found = [each for each in known if each.compute_capability == gpu]
    if not found:
        there = _several([each.compute_capability for each in known])
        raise UserError(f"{bundle.path}: its engines are for compute capability {there}, this GPU has {gpu}; {here}")
    library, known = libraries.installed(runtime), found
    found = [each for each in known if each.version == library.version]
    if not found:
        there = _several([each.version for each in known])
        raise UserError(
            f"{bundle.path}: its engine for {gpu} was compiled by {NAMES[runtime]} {there}, {library.version} is"
            f" installed, and an engine runs with its own version alone; {here}"
        )
    longest, known = (profile or Profile.up_to(bundle.manifest.max_seq_length)).length[2], found
    found = [each for each in known if each.length[2] >= longest]
    if not found:
        most = max(each.length[2] for each in known)
        raise UserError(
            f"{bundle.path}: its engine for {gpu} takes texts of up to {most} tokens, {longest} are wanted; {here}"
            f" `length` 1 {min(64, longest)} {longest}, or give a profile whose longest is {most}"
        )
    return max(enumerate(found), key=lambda at: (at[1].batch[2], -at[1].length[2], at[0]))[1]


def _held(bundle: Bundle) -> str:
    names = [f"{NAMES[each.runtime]} in {each.precision}" for each in bundle.manifest.engines]
    return f", only of {_several(names)}" if names else ""


def _several(values: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(values))
