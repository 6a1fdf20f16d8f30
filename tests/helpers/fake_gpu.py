"""A machine with an NVIDIA GPU and NVIDIA's packages, and bundles with engines for it."""

from __future__ import annotations

import json
import sys
import types

from helpers import fake_cuda, fake_engine, fake_tensorrt
from helpers.handmade_bundle import change_manifest, digests_of
from ofa_bert.system import accelerator

PACKAGES = {"rtx": "tensorrt_rtx_bindings", "tensorrt": "tensorrt"}


def install(monkeypatch, runtime="rtx", gpu="8.6", version="1.7.1.116", device=None, **about):
    """(the GPU, NVIDIA's package); gpu None: there is none."""
    device = device or fake_cuda.Device()
    made = fake_tensorrt.module(version, **about)
    made.gpu = gpu
    fake_engine.add(made, device, gpu or "none", rtx=runtime == "rtx")
    monkeypatch.setitem(sys.modules, PACKAGES[runtime], made)
    runtime_module = fake_cuda.module(device)
    for name in ("cuda", "cuda.bindings"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", runtime_module)
    capability = [] if gpu is None else [tuple(map(int, gpu.split(".")))]
    monkeypatch.setattr(accelerator, "capabilities", lambda: capability)
    return device, made


def add_engine(bundle, name="e", gpu="8.6", version="1.7.1.116", runtime="rtx", precision="fp32", batch=(1, 4, 8),
               length=(1, 8, 16), **about):  # fmt: skip
    """Put an engine into a bundle, as the engine command does."""
    (bundle / "engines").mkdir(exist_ok=True)
    file, profile = f"engines/{name}.engine", list(zip(batch, length))
    (bundle / file).write_bytes(fake_engine.content(version, gpu, [profile], **about))
    entry = {
        "file": file, "source": "model.onnx", "runtime": runtime, "version": version, "compute_capability": gpu,
        "precision": precision, "batch": batch, "length": length, "layers": 9, "seconds": 1.0,
        "state": "built, not run",
    }  # fmt: skip
    held = json.loads((bundle / "manifest.json").read_text("utf-8")).get("engines", [])
    change_manifest(bundle, engines=[*held, entry], files=digests_of(bundle))
    return bundle / file
