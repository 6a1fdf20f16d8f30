"""An engine that was opened: what it computes from what is in device memory, which profile it takes, what it frees.

NVIDIA's packages are stand-ins whose device memory holds bytes; the signatures are held against the real ones in
tests/engines/test_rtx_engines.py.
"""

import gc
import threading
import weakref

import numpy as np
import pytest

from helpers import fake_cuda, fake_engine
from helpers.handmade_bundle import PAD, expected
from ofa_bert.errors import RunError, UserError
from ofa_bert.runtime.nvidia import lane
from ofa_bert.runtime.nvidia.cuda import Cuda
from ofa_bert.runtime.nvidia.library import RTX, TENSORRT, Library
from ofa_bert.runtime.nvidia.session import EngineSession

TWO = (((1, 1), (1, 4), (2, 4)), ((1, 5), (4, 16), (8, 16)))


class Bench:
    """A GPU with NVIDIA's packages, and an engine of that content opened on it."""

    def __init__(self, rtx=True, room=1 << 30, captures=True, pad=PAD, cache=None, written=None, **about):
        self.device = fake_cuda.Device(room, captures)
        self.module = fake_engine.add(fake_engine.package(), self.device, rtx=rtx)
        library = Library(RTX if rtx else TENSORRT, self.module, self.module.__version__)
        cuda = Cuda(fake_cuda.module(self.device))
        made = fake_engine.content(**about) if written is None else written
        self.session = EngineSession(library, cuda, made, "b/e.engine", pad, cache)

    @property
    def runs(self):
        return self.module.engines[0].runs

    def check(self, rows, tokens, within=1e-6, labels=3):
        ids, types = batch(rows, tokens)
        found = self.session.run(ids, types)
        assert (found.shape, found.dtype) == ((rows, labels), np.float32)
        np.testing.assert_allclose(found, expected(ids, types, labels), rtol=within, atol=within)


def batch(rows, tokens):
    rng = np.random.default_rng(rows * 100 + tokens)
    ids = rng.integers(1, 20, (rows, tokens))
    ids[:, tokens // 2 + 1 :] *= rng.integers(0, 2, (rows, 1))  # some rows are padded
    return ids, rng.integers(0, 2, (rows, tokens))


@pytest.mark.parametrize("rtx", [True, False])
def test_logits_of_many_shapes_in_any_order(rtx):
    bench = Bench(rtx)
    for rows, tokens in ((1, 1), (8, 16), (3, 7), (1, 16), (8, 1), (3, 7), (3, 7), (3, 7), (8, 16), (8, 16)):
        bench.check(rows, tokens)


@pytest.mark.parametrize(
    "names", [["input_ids", "logits", "token_type_ids"], ["token_type_ids", "input_ids", "logits"]]
)
def test_inputs_and_outputs_go_by_their_names(names):
    Bench(names=names).check(3, 7)


@pytest.mark.parametrize(("ids", "logits", "within"), [("INT32", "FLOAT", 1e-6), ("INT64", "HALF", 2e-2)])
def test_the_engines_own_types(ids, logits, within):
    bench = Bench(types={"input_ids": ids, "token_type_ids": "INT64", "logits": logits})
    bench.check(3, 7, within)
    bench.check(8, 16, within)


def test_arrays_that_are_not_contiguous_and_of_another_whole_type():
    bench = Bench()
    ids, types = batch(6, 10)
    found = bench.session.run(np.asfortranarray(ids)[::2, :8].astype("int32"), types[::2, :8])
    np.testing.assert_allclose(found, expected(ids[::2, :8], types[::2, :8]), rtol=1e-6, atol=1e-6)


def test_more_rows_than_the_engine_takes_are_done_in_parts():
    bench = Bench()
    bench.check(19, 5)
    assert [shape for _, shape in bench.runs] == [(8, 5), (8, 5), (3, 5)]


def test_fewer_rows_and_tokens_than_it_takes_are_filled_up():
    bench = Bench(profiles=[[[4, 6], [4, 8], [8, 16]]])
    bench.check(1, 3)
    bench.check(10, 16)  # 8, then 2 of 4
    assert [shape for _, shape in bench.runs] == [(4, 6), (8, 16), (4, 16)]
    with pytest.raises(RunError, match="takes 6 to 16 tokens, a text has 3"):
        Bench(profiles=[[[4, 6], [4, 8], [8, 16]]], pad=None).session.run(*batch(1, 3))


def test_the_padding_that_is_filled_in_is_the_models_own():
    """Another id would count as a word."""
    ids, types = batch(2, 3)
    wrong = Bench(profiles=[[[1, 6], [4, 8], [8, 16]]], pad=5).session.run(ids, types)
    assert np.abs(wrong - expected(ids, types)).max() > 0.1


def test_a_text_that_is_too_long_is_one_line():
    with pytest.raises(RunError, match=r"b/e.engine: takes 1 to 16 tokens, a text has 17; .* engine `length`"):
        Bench().session.run(*batch(1, 17))


def test_each_profile_has_memory_of_its_own_once():
    bench = Bench(profiles=TWO)
    bench.check(2, 4)
    assert [profile for profile, _ in bench.runs] == [0]
    assert sorted(map(len, bench.device.memory.values())) == [2 * 3 * 4, 2 * 4 * 8, 2 * 4 * 8]
    bench.check(5, 3)  # cheaper in three parts of 2 x 3 than filled up to 5 x 5
    bench.check(1, 9)
    bench.check(8, 16)
    bench.check(1, 2)
    assert [profile for profile, _ in bench.runs] == [0, 0, 0, 0, 1, 1, 0]
    assert bench.device.calls.count("cudaMalloc") == 6


def test_the_wider_profile_where_it_computes_less():
    bench = Bench(profiles=(((4, 1), (4, 8), (4, 16)), ((1, 1), (1, 8), (8, 16))))
    bench.check(1, 8)
    bench.check(8, 8)
    bench.check(4, 8)  # the same for both: the narrower one
    assert [profile for profile, _ in bench.runs] == [1, 0, 0, 0]


def test_tokens_that_are_filled_up_count_as_well():
    bench = Bench(profiles=(((1, 8), (1, 8), (2, 16)), ((1, 1), (1, 8), (8, 16))))
    bench.check(2, 2)
    bench.check(2, 8)
    assert [profile for profile, _ in bench.runs] == [1, 0]


def test_tensorrts_launches_are_recorded_and_replayed():
    bench = Bench(rtx=False)
    for _ in range(5):
        bench.check(3, 7)
    bench.check(2, 7)
    bench.check(3, 7)
    assert [shape for _, shape in bench.runs] == [(3, 7)] * 3 + [(2, 7)]  # the third is the recording's own
    assert bench.device.calls.count("cudaGraphLaunch") == 4


def test_a_replay_reads_what_was_put_there_last():
    bench = Bench(rtx=False)
    for seed in range(6):
        ids = np.random.default_rng(seed).integers(1, 20, (3, 7))
        types = np.zeros_like(ids)
        np.testing.assert_allclose(bench.session.run(ids, types), expected(ids, types), rtol=1e-6, atol=1e-6)


def test_only_so_many_recordings_are_kept(monkeypatch):
    monkeypatch.setattr(lane, "RECORDED", 3)
    bench = Bench(rtx=False)
    for rows in (1, 2, 3, 4, 5, 1, 5):
        for _ in range(3):
            bench.check(rows, 4)
    assert len(bench.device.graphs) == 3


def test_where_nothing_can_be_recorded_it_runs_all_the_same():
    bench = Bench(rtx=False, captures=False)
    for _ in range(4):
        bench.check(3, 7)
    assert bench.device.calls.count("cudaStreamBeginCapture") == 1
    assert bench.device.failed == 0


def test_rtx_records_by_itself():
    bench = Bench()
    for _ in range(4):
        bench.check(3, 7)
    (config,) = bench.module.engines[0].configs
    assert config.cuda_graph_strategy is fake_engine.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
    assert "cudaStreamBeginCapture" not in bench.device.calls


@pytest.mark.parametrize("rtx", [True, False])
def test_close_frees_everything(rtx):
    bench = Bench(rtx, profiles=TWO)
    for rows, tokens in ((2, 4), (2, 4), (2, 4), (8, 16), (8, 16)):
        bench.check(rows, tokens)
    assert bench.device.left
    engine = weakref.ref(bench.module.engines.pop())
    bench.session.close()
    bench.session.close()
    gc.collect()
    assert engine() is None
    assert bench.device.left == []
    with pytest.raises(RunError, match="b/e.engine: is closed"):
        bench.session.run(*batch(1, 1))


def test_a_session_that_is_let_go_frees_everything():
    bench = Bench(rtx=False)
    bench.check(3, 7)
    bench.session = None
    gc.collect()
    assert bench.device.left == []


def test_memory_that_is_not_there_is_one_line_and_leaves_nothing():
    bench = Bench(rtx=False, room=1500)
    with pytest.raises(RunError, match=r"CUDA, cudaMalloc: out of memory \(error 2\)"):
        bench.session.run(*batch(1, 1))
    assert bench.device.memory == {}
    bench = Bench(full=True)
    with pytest.raises(RunError, match="TensorRT-RTX 1.7.1.116 cannot make room for the engine on the GPU"):
        bench.session.run(*batch(1, 1))


def test_what_the_gpu_says_while_closing_stops_nothing(monkeypatch):
    bench = Bench(rtx=False)
    bench.check(3, 7)
    module = bench.session._parts._cuda._module
    monkeypatch.setattr(module, "cudaGraphExecDestroy", lambda graph: (fake_cuda.cudaError_t(700),))
    bench.check(3, 7)
    bench.session.close()
    assert bench.device.streams == {}


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (b"no engine", "Serialization assertion header.magicTag failed"),
        (fake_engine.content(gpu="8.9"), "gpu of the engine is 8.9, not 8.6"),
        (fake_engine.content(version="1.6.0"), "version of the engine is 1.6.0"),
    ],
)
def test_what_the_library_does_not_open(written, said):
    with pytest.raises(
        RunError, match=f"b/e.engine: TensorRT-RTX 1.7.1.116 does not open it: {said}.*compile it again"
    ):
        Bench(written=written)


@pytest.mark.parametrize(
    ("about", "said"),
    [
        (
            {"names": ["input_ids", "logits"]},
            "has inputs input_ids and outputs logits, must have input_ids, token_type",
        ),
        ({"names": ["input_ids", "token_type_ids", "answers"], "types": {}}, "and outputs answers, must have"),
        (
            {"types": {"input_ids": "INT64", "token_type_ids": "INT64", "logits": "BF16"}},
            "output in BF16, must be one of FLOAT, HALF, INT64, INT32",
        ),
    ],
)
def test_an_engine_of_something_else(about, said):
    with pytest.raises(UserError, match=said):
        Bench(**about)


def test_threads_take_turns():
    bench = Bench(rtx=False)
    wrong = []

    def work(rows):
        try:
            for _ in range(20):
                bench.check(rows, 5)
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(rows,)) for rows in (1, 3, 8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


class TestKernels:
    """What TensorRT-RTX compiles as it runs is kept beside the engine."""

    def test_they_are_written_once_and_read_again(self, tmp_path):
        path = tmp_path / "e.engine.kernels"
        first = Bench(cache=path)
        first.check(3, 7)
        assert not path.exists()
        first.session.close()
        held = path.read_bytes()
        second = Bench(cache=path)
        (config,) = second.module.engines[0].configs
        assert config.cache.kernels == {(3, 7)}
        second.check(3, 7)
        second.session.close()
        assert path.read_bytes() == held
        third = Bench(cache=path)
        third.check(1, 1)
        third.session.close()
        assert path.read_bytes() != held

    def test_nothing_ran_nothing_is_new(self, tmp_path):
        first = Bench(cache=tmp_path / "k")
        first.check(1, 1)
        first.session.close()
        before = (tmp_path / "k").stat().st_mtime_ns
        Bench(cache=tmp_path / "k").session.close()
        assert (tmp_path / "k").stat().st_mtime_ns == before

    @pytest.mark.parametrize(
        "damage", [lambda held: held[:-1], lambda held: held[:40] + b"?" + held[41:], lambda _: b""]
    )
    def test_damaged_ones_are_not_read(self, tmp_path, damage, caplog):
        path = tmp_path / "k"
        first = Bench(cache=path)
        first.check(3, 7)
        first.session.close()
        whole = path.read_bytes()
        path.write_bytes(damage(whole))
        second = Bench(cache=path)
        assert second.module.engines[0].configs[0].cache.read is None
        assert "is not whole; kernels are compiled again" in caplog.text
        second.check(3, 7)
        second.session.close()
        assert path.read_bytes() == whole

    def test_a_pipe_or_a_folder_of_that_name_is_not_waited_for(self, tmp_path):
        (tmp_path / "k").mkdir()
        bench = Bench(cache=tmp_path / "k")
        bench.check(1, 1)
        bench.session.close()

    def test_a_bundle_that_cannot_be_written_is_used_as_it_is(self, tmp_path, monkeypatch):
        from ofa_bert.runtime.nvidia import runtime_cache

        monkeypatch.setattr(runtime_cache.os, "access", lambda *_: False)
        bench = Bench(cache=tmp_path / "k")
        bench.check(1, 1)
        bench.session.close()
        assert list(tmp_path.iterdir()) == []
