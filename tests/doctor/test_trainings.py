"""What is said of trainings: that failed, that drift from the CPU's, and that two processes end elsewhere."""

import numpy as np
import pytest

from ofa_bert.doctor.parts import gpu, training

START = {"a": np.zeros((4, 4)), "b": np.ones(3)}
LOSSES = {"finetuning": [1.0, 0.5], "supernet": [2.0, 1.0], "parity": 1e-7}


def stored(path, change=0.0, only=None):
    """Weights as a training leaves them; `change` is added to one tensor of the supernet, or to `only` one number."""
    arrays = {f"start/{name}": values for name, values in START.items()}
    for name in ("finetuning", "supernet"):
        arrays |= {f"{name}/{key}": values + 0.01 for key, values in START.items()}
    changed = arrays["supernet/a"].copy()
    if only is None:
        changed += change
    else:
        changed[only] += change
    arrays["supernet/a"] = changed
    np.savez(path, **arrays)


@pytest.fixture
def trained(visit, monkeypatch):
    """The CPU has trained; another training ends with what the test puts into `change`."""
    change = {}

    def ask(probe, request, seconds):
        stored(request["target"], **change)
        return LOSSES

    def launch(device, target, logs):
        complaint = change.pop("complaint", "")
        stored(target, **change)
        return complaint

    monkeypatch.setattr(visit, "ask", ask)
    monkeypatch.setattr(training, "_launch", launch)
    visit.say("Paddle").say("PaddleNLP").say(training.CPU)
    stored(training.weights(visit, "cpu"))
    return change


def with_cards(visit, *capabilities):
    cards = [{"name": "card", "capability": list(found), "mebibytes": 1} for found in capabilities]
    return visit.say(gpu.CARDS, cards=cards).say(gpu.PADDLE_GPU)


def test_without_paddle_nothing_is_trained(visit):
    assert training.on_cpu(training.CPU, visit).said == "needs PaddleNLP"
    assert training.in_two("cpu", "two", visit).state == "absent"
    assert training.on_gpu("off", "gpu", visit).said == "no NVIDIA card"


def test_losses_are_told(visit, trained):
    found = training.on_cpu(training.CPU, visit)
    assert (found.state, found.said) == ("works", "finetuning 1.000 → 0.500, supernet 2.000 → 1.000")


def test_a_crash_is_a_finding(visit, trained, monkeypatch):
    monkeypatch.setattr(visit, "ask", lambda *request: {"error": "its process was ended by SIGSEGV"})
    found = training.on_cpu(training.CPU, visit)
    assert (found.state, found.said) == ("broken", "its process was ended by SIGSEGV")
    assert found.cure


@pytest.mark.parametrize(("change", "state"), [(0.0, "works"), (1e-5, "works"), (3e-5, "broken"), (np.nan, "broken")])
def test_two_processes_end_where_one_does(visit, trained, change, state):
    trained.update(change=change, only=(2, 1))
    found = training.in_two("cpu", "two processes, cpu", visit)
    assert found.state == state
    assert "apart" in found.to_json()["facts"]


def test_a_launch_that_fails(visit, trained):
    trained["complaint"] = "gloo: connect timeout"
    found = training.in_two("cpu", "two processes, cpu", visit)
    assert (found.state, found.said) == ("broken", "gloo: connect timeout")


@pytest.mark.parametrize(
    ("amp", "change", "state"),
    [
        ("off", 0.0, "works"), ("off", 1e-4, "works"), ("off", 1e-3, "broken"), ("off", np.nan, "broken"),
        ("bf16", 1e-3, "works"), ("bf16", 1e-2, "broken"), ("fp16", 1e-3, "works"), ("fp16", 1e-2, "broken"),
    ],
)  # fmt: skip
def test_a_gpu_ends_near_the_cpu(visit, trained, amp, change, state):
    """Each weight was moved by 0.01; a training that moved none would be as far away as the way is long."""
    trained["change"] = change
    assert training.on_gpu(amp, "training, gpu", with_cards(visit, (8, 6))).state == state


def test_bf16_is_not_asked_of_a_card_without_it(visit, trained):
    assert training.on_gpu("bf16", "bf16", with_cards(visit, (7, 5))).state == "absent"
    assert training.on_gpu("fp16", "fp16", with_cards(visit, (7, 5))).state == "works"


def test_two_cards_are_needed_for_two(visit, trained):
    visit.say("training, gpu")
    assert training.in_two("gpu", "two", with_cards(visit, (8, 6))).said == "needs two NVIDIA cards"
    stored(training.weights(visit, "gpu-off"))
    assert training.in_two("gpu", "two", with_cards(visit, (8, 6), (8, 6))).state == "works"
