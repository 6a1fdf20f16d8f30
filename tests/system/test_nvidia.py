"""What NVIDIA's driver answers, by a stand-in with the interface of its C library."""

import pytest

from ofa_bert.errors import RunError
from ofa_bert.system import accelerator, nvidia

CARDS = (("A T4", (7, 5), 16 << 30), ("An RTX", (8, 9), 24 << 30))


class Library:
    """libcuda.so.1 of CUDA 12.4. start, of_card: what cuInit and cuDeviceGet answer."""

    def __init__(self, cards=CARDS, start=0, of_card=0):
        self.cards, self.start, self.of_card = cards, start, of_card

    def cuInit(self, flags):  # noqa: N802
        return self.start

    def cuDriverGetVersion(self, version):  # noqa: N802
        version._obj.value = 12040
        return 0

    def cuDeviceGetCount(self, count):  # noqa: N802
        count._obj.value = len(self.cards)
        return 0

    def cuDeviceGet(self, device, number):  # noqa: N802
        device._obj.value = number
        return self.of_card

    def cuDeviceGetName(self, name, most, device):  # noqa: N802
        name.value = self.cards[device.value][0].encode()
        return 0

    def cuDeviceTotalMem_v2(self, total, device):  # noqa: N802
        total._obj.value = self.cards[device.value][2]
        return 0

    def cuDeviceGetAttribute(self, value, which, device):  # noqa: N802
        value._obj.value = self.cards[device.value][1][{75: 0, 76: 1}[which]]
        return 0


def load(monkeypatch, library):
    def cdll(name):
        assert name == "libcuda.so.1"
        if isinstance(library, Exception):
            raise library
        return library

    monkeypatch.setattr(nvidia.ctypes, "CDLL", cdll)


def test_every_card_with_its_capability_and_memory(monkeypatch):
    load(monkeypatch, Library())
    assert nvidia.driver() == nvidia.Driver("12.4", (("A T4", (7, 5), 16384), ("An RTX", (8, 9), 24576)))
    assert accelerator.capabilities() == [(7, 5), (8, 9)]


@pytest.mark.parametrize("library", [OSError("no such file"), Library(start=100), Library(cards=())])
def test_no_driver_and_no_card(monkeypatch, library):
    load(monkeypatch, library)
    assert nvidia.driver() is None
    assert accelerator.capabilities() == []


@pytest.mark.parametrize(
    ("library", "words"), [(Library(start=999), "cuInit says 999"), (Library(of_card=101), "answers with error 101")]
)
def test_a_broken_driver_is_told_where_it_is_asked_for_and_is_no_gpu_elsewhere(monkeypatch, library, words):
    load(monkeypatch, library)
    with pytest.raises(RunError, match=words):
        nvidia.driver()
    assert accelerator.capabilities() == []


def test_code_runs_on_later_cards_of_its_own_major_version():
    code = accelerator.code_of("2.6.2")
    assert [accelerator.has_code(card, code) for card in ((6, 0), (6, 1), (7, 5), (8, 9), (9, 0))] == [
        False, True, True, True, False,
    ]  # fmt: skip
    assert accelerator.code_of("3.3.1") is None
