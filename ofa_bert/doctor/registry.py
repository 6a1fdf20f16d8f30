"""The parts of the doctor, in the order in which they are tried and shown."""

from __future__ import annotations

from functools import partial

from ofa_bert.doctor.part import Part
from ofa_bert.doctor.parts import engines, exported, gpu, libraries, processor, requirements, tensorrt, training
from ofa_bert.runtime.backends.registry import OF_MODELS, PROVIDERS, REGISTRY

PARTS = (
    Part("Python", requirements.python),
    Part("versions", requirements.declared),
    Part("processor", processor.cores),
    Part("instructions", processor.instructions),
    Part("memory", processor.memory),
    Part(gpu.CARDS, gpu.cards),
    *(Part(name, partial(libraries.loads, package)) for name, package in libraries.PACKAGES.items()),
    Part(gpu.PADDLE_GPU, gpu.paddle_on_gpu),
    *(Part(name, partial(tensorrt.builds, kind)) for name, kind in tensorrt.KINDS.items()),
    Part(training.CPU, training.on_cpu, trains=True),
    *(Part(name, partial(training.on_gpu, amp), trains=True) for name, amp in training.GPU.items()),
    *(Part(name, partial(training.in_two, device), trains=True) for name, device in training.PAIRS.items()),
    Part(exported.EXPORT, exported.export),
    *(
        Part(f"{backend}, {provider}", partial(engines.answers, backend, provider))
        for provider in PROVIDERS
        for backend in OF_MODELS  # engines that lie in a bundle are the compilers' parts
        if provider in REGISTRY[backend].providers
    ),
)
