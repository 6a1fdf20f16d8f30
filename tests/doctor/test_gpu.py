"""Cards and the code that Paddle's builds have for them."""

import pytest

from ofa_bert.doctor.parts import gpu

NAMES = {(7, 5): "T4", (8, 6): "A10", (8, 9): "L4", (9, 0): "H100"}


def with_cards(visit, *capabilities):
    cards = [
        {"name": f"NVIDIA {NAMES.get(found, 'card')}", "capability": list(found), "mebibytes": 24 * 1024}
        for found in capabilities
    ]
    return visit.say(gpu.CARDS, cards=cards, cuda="12.4")


def with_paddle(visit, version="2.6.2", gpus=1, gpu_build=True):
    return visit.say("Paddle", version=version, gpus=gpus, gpu_build=gpu_build, cuda="11.8", cudnn="8.6")


def fits(visit):
    return gpu.paddle_on_gpu(gpu.PADDLE_GPU, visit)


def answering(visit, monkeypatch, answer):
    monkeypatch.setattr(visit, "ask", lambda *request: answer)
    return gpu.cards(gpu.CARDS, visit)


def test_no_card(visit, monkeypatch):
    assert answering(visit, monkeypatch, {"absent": True}).state == "absent"
    assert fits(visit).state == "absent"


def test_a_driver_that_does_not_start(visit, monkeypatch):
    found = answering(
        visit, monkeypatch, {"error": "NVIDIA's driver is installed but does not start (cuInit says 803)"}
    )
    assert found.state == "broken"
    assert "803" in found.said
    assert "nvidia-smi" in found.cure


def test_cards_are_named(visit, monkeypatch):
    answer = dict(with_cards(visit, (8, 9), (9, 0)).facts(gpu.CARDS))
    found = answering(visit, monkeypatch, answer)
    assert found.said == "NVIDIA L4 (8.9, 24 GiB), NVIDIA H100 (9.0, 24 GiB); the driver knows CUDA up to 12.4"
    visit.found[gpu.CARDS] = found
    assert gpu.capabilities(visit) == [(8, 9), (9, 0)]


@pytest.mark.parametrize(
    ("capability", "runs"),
    [
        ((6, 0), False), ((6, 1), True), ((7, 0), True), ((7, 2), True), ((7, 5), True), ((8, 0), True),
        ((8, 6), True), ((8, 9), True), ((9, 0), False), ((12, 0), False),
    ],
)  # fmt: skip
def test_code_of_paddle_2_by_card(visit, capability, runs):
    found = fits(with_paddle(with_cards(visit, capability)))
    assert found.state == ("works" if runs else "broken")
    if not runs:
        assert f"the card is {gpu.shown(capability)}" in found.said
        assert "Paddle 3" in found.cure


def test_of_paddle_3_no_list_is_known(visit):
    assert fits(with_paddle(with_cards(visit, (9, 0)), version="3.3.1")).state == "works"


def test_one_card_too_new_among_two(visit):
    assert fits(with_paddle(with_cards(visit, (8, 6), (9, 0)), gpus=2)).state == "broken"


def test_a_cpu_build_beside_a_card(visit):
    found = fits(with_paddle(with_cards(visit, (8, 6)), gpu_build=False, gpus=0))
    assert found.state == "absent"
    assert 'pip install ".[gpu]"' in found.said


def test_a_build_that_sees_no_card(visit):
    found = fits(with_paddle(with_cards(visit, (8, 6)), gpus=0))
    assert (found.state, found.said) == ("broken", "Paddle 2.6.2 sees none of 1 cards")
    assert "CUDA_VISIBLE_DEVICES" in found.cure


def test_no_paddle(visit):
    assert fits(with_cards(visit, (8, 6))).said == "needs Paddle"
