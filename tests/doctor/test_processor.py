"""What a processor's flags mean for the precisions, and how much memory there is."""

import pytest

from ofa_bert.doctor.parts import processor
from ofa_bert.system import machine

OLD = "fpu sse sse2 avx"
PLAIN = f"{OLD} fma avx2"
WIDE = f"{PLAIN} avx512f avx512bw"


@pytest.mark.parametrize(
    ("flags", "state", "said"),
    [
        ("", "absent", "no x86-64"),
        ("fp asimd bf16", "absent", "no x86-64"),
        (OLD, "broken", "no AVX2"),
        (PLAIN, "works", "AVX2; no VNNI, so int8 saves memory more than time"),
        (f"{PLAIN} avx_vnni", "works", "AVX2; int8 is fast (VNNI); no bf16 (it is refused)"),
        (f"{WIDE} avx512_vnni", "works", "AVX-512; int8 is fast (VNNI); no bf16"),
        (f"{WIDE} avx512_vnni avx512_bf16", "works", "AVX-512; int8 is fast (VNNI); bf16 is fast (AVX512-BF16)"),
        (f"{WIDE} avx512_vnni avx512_bf16 amx_bf16 amx_int8", "works", "int8 is fast (AMX); bf16 is fast (AMX)"),
    ],
)
def test_instructions(visit, tmp_path, monkeypatch, flags, state, said):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor : 0\nflags : {flags}\n")
    monkeypatch.setattr(machine.instructions, "__defaults__", (str(cpuinfo),))
    monkeypatch.setattr(machine.has_vnni, "__defaults__", (str(cpuinfo),))
    found = processor.instructions("instructions", visit)
    assert found.state == state
    assert said in found.said
    assert bool(found.facts.get("bf16")) == ("bf16 is fast" in found.said)


def test_memory_counts_a_container(tmp_path):
    (tmp_path / "meminfo").write_text("MemTotal: 16777216 kB\nMemFree: 1 kB\nMemAvailable: 8388608 kB\nHugePages: 0\n")
    (tmp_path / "max").write_text(f"{4 << 30}\n")
    (tmp_path / "current").write_text(f"{3 << 30}\n")
    none = str(tmp_path / "none")
    assert machine.memory_mib(str(tmp_path / "meminfo"), none, none) == (16384, 8192)
    assert machine.memory_mib(*(str(tmp_path / name) for name in ("meminfo", "max", "current"))) == (4096, 1024)
    (tmp_path / "max").write_text("max\n")
    assert machine.memory_mib(*(str(tmp_path / name) for name in ("meminfo", "max", "current"))) == (16384, 8192)
    assert machine.memory_mib(none, none, none) is None


@pytest.mark.parametrize(
    ("found", "state", "said"),
    [
        (None, "absent", "does not say"),
        ((16384, 8192), "works", "16.0 GiB, 8.0 free"),
        ((2048, 512), "works", "little for training"),
    ],
)
def test_memory(visit, monkeypatch, found, state, said):
    monkeypatch.setattr(machine, "memory_mib", lambda: found)
    told = processor.memory("memory", visit)
    assert told.state == state
    assert said in told.said


def test_cores(visit):
    assert processor.cores("processor", visit).facts["cores"] >= 1
