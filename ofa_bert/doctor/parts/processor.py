"""The processor: its cores, the instructions that decide which precisions are fast, and the memory."""

from __future__ import annotations

import os

from ofa_bert.doctor.finding import Finding
from ofa_bert.doctor.part import Visit
from ofa_bert.system import environment, machine

_LITTLE = 3 * 1024  # MiB; Paddle with PaddleNLP takes about 1 GiB before a model is there


def cores(name: str, visit: Visit) -> Finding:
    usable, every = environment.cores(), os.cpu_count() or 1
    of = f" of {every}" if every != usable else ""
    said = f"{machine.processor()}, {usable}{of} {'cores' if usable > 1 else 'core'} for this process"
    return Finding(name, "works", said, facts={"cores": usable, "all": every, "processor": machine.processor()})


def instructions(name: str, visit: Visit) -> Finding:
    """What the processor computes with, and what that means for each precision."""
    flags = machine.instructions()
    if not flags & {"sse2", "avx"}:
        return Finding(name, "absent", "the system does not say, or it is no x86-64 processor")
    facts: dict[str, object] = {"flags": sorted(flag for flag in flags if flag.startswith(("avx", "amx", "fma")))}
    if "avx2" not in flags:
        cure = "another machine: Paddle, ONNX Runtime and OpenVINO are slow without it, or do not start"
        return Finding(name, "broken", "no AVX2", cure, facts)
    floats = "AVX-512" if "avx512f" in flags else "AVX2"
    if machine.has_vnni():
        small = f"int8 is fast ({'AMX' if 'amx_int8' in flags else 'VNNI'})"
    else:
        small = "no VNNI, so int8 saves memory more than time, and Paddle's int8 is left out of exports"
    bf16 = flags & {"amx_bf16", "avx512_bf16"}
    half = f"bf16 is fast ({'AMX' if 'amx_bf16' in bf16 else 'AVX512-BF16'})" if bf16 else "no bf16 (it is refused)"
    facts |= {"int8": machine.has_vnni(), "bf16": bool(bf16)}
    return Finding(name, "works", f"{floats}; {small}; {half}", facts=facts)


def memory(name: str, visit: Visit) -> Finding:
    found = machine.memory_mib()
    if found is None:
        return Finding(name, "absent", "the system does not say")
    total, free = found
    facts: dict[str, object] = {"mebibytes": total, "free_mebibytes": free}
    said = f"{total / 1024:.1f} GiB, {free / 1024:.1f} free"
    if free < _LITTLE:
        said += ": enough to run bundles, little for training, where smaller batches help"
    return Finding(name, "works", said, facts=facts)
