"""The NVIDIA cards of this machine, and whether the installed Paddle has code for them."""

from __future__ import annotations

from ofa_bert.doctor.finding import Finding
from ofa_bert.doctor.part import Visit
from ofa_bert.files.fields import Fields
from ofa_bert.runtime.backends.tensorrt import UNSERVED_BY_RTX
from ofa_bert.system import packages
from ofa_bert.system.accelerator import code_of, has_code, shown
from ofa_bert.system.nvidia import Capability

CARDS, PADDLE_GPU = "NVIDIA cards", "Paddle's GPU code"
_SECONDS = 60.0
_DRIVER = "see whether nvidia-smi lists a card; after an update of the driver, start the machine anew"


def cards(name: str, visit: Visit) -> Finding:
    answer = visit.ask("driver", {}, _SECONDS)
    if answer.get("absent"):
        return Finding(name, "absent", "none, or no driver")
    if "error" in answer:
        return Finding(name, "broken", str(answer["error"]), _DRIVER)
    told = [
        f"{card.text('name')} ({shown(capability_of(card))}, {card.whole('mebibytes') / 1024:.0f} GiB)"
        for card in Fields(answer, name).each("cards")
    ]
    return Finding(name, "works", f"{', '.join(told)}; the driver knows CUDA up to {answer['cuda']}", facts=answer)


def capabilities(visit: Visit) -> list[Capability]:
    """Compute capability of each card."""
    return [capability_of(card) for card in Fields(visit.facts(CARDS), CARDS).each("cards", default=[])]


def unserved_by_rtx(visit: Visit) -> str | None:
    """Why TensorRT-RTX runs nothing on the first card; None where it does, or where there is no card."""
    found = next(iter(capabilities(visit)), None)
    if found is None or found[0] not in UNSERVED_BY_RTX:
        return None
    return f"TensorRT-RTX has no code for compute capability {shown(found)} ({UNSERVED_BY_RTX[found[0]]})"


def capability_of(card: Fields) -> Capability:
    major, minor = card.wholes("capability")
    return major, minor


def paddle_on_gpu(name: str, visit: Visit) -> Finding:
    """Whether Paddle's build and the cards fit, before anything is computed on them."""
    found = capabilities(visit)
    if not found:
        return Finding(name, "absent", "no NVIDIA card")
    lacking = visit.lacks(name, "Paddle")
    if lacking:
        return lacking
    facts = visit.facts("Paddle")
    version = str(facts["version"])
    if not facts["gpu_build"]:
        said = f"Paddle is a CPU build, the card is left alone; a GPU build: {packages.install('gpu')}"
        return Finding(name, "absent", said)
    code = code_of(version)
    without = [shown(card) for card in found if code is not None and not has_code(card, code)]
    if without and code is not None:
        said = f"Paddle {version} has code for {', '.join(map(shown, code))}, the card is {', '.join(without)}"
        return Finding(name, "broken", said, "Paddle 3's GPU build from Paddle's own index, then the extra train")
    if not facts["gpus"]:
        said = f"Paddle {version} sees none of {len(found)} cards"
        cure = f"look at CUDA_VISIBLE_DEVICES, and whether the driver knows CUDA {facts['cuda']}"
        return Finding(name, "broken", said, cure)
    return Finding(name, "works", f"Paddle {version} sees {facts['gpus']} of {len(found)} cards", facts=facts)
