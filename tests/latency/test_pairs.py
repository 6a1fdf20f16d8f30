"""Models beside a reference: each is paired with the reference of its own group."""

from pathlib import Path

from ofa_bert.latency import pairs
from ofa_bert.latency.device import GROUP_BYTES
from ofa_bert.latency.pairs import Alternative, Beside, beside


class SlowingDevice:
    """Each group takes twice as long as the one before. A "file" is what was built."""

    def __init__(self, factor=1.0):
        self.factor, self.hour, self.groups = factor, 1.0, []

    def open(self, files):
        device, (cost,) = self, files

        class Opened:
            def bind(self, ids, types):
                return lambda: device.factor * cost * len(ids)

        return Opened()

    def inputs(self, vocabulary):
        return [0] * 2, [0] * 2

    def timed(self, runs):
        self.groups.append(list(runs))
        self.hour *= 2
        return {name: self.hour * run() for name, run in runs.items()}


def test_each_is_paired_with_the_reference_of_its_own_group(monkeypatch):
    written = []

    def write(model, directory, device):
        assert Path(directory).is_dir()
        written.append(model)
        return [model]

    monkeypatch.setattr(pairs, "write_model", write)
    full, fast = SlowingDevice(), SlowingDevice(0.25)
    reference = Alternative(full, lambda: 8.0, GROUP_BYTES // 4)
    others = {
        "half": Alternative(full, lambda: 4.0, GROUP_BYTES // 2),
        "fast": Alternative(fast, lambda: 8.0, GROUP_BYTES // 2),
    }
    assert list(beside(reference, others, 100)) == [Beside("half", 16.0, 32.0), Beside("fast", 16.0, 64.0)]
    assert full.groups == [["reference", "half"], ["reference", "fast"]]
    assert written == [8.0, 4.0, 8.0]  # the reference once
    assert list(beside(reference, {}, 100)) == []
    assert len(full.groups) == 2
