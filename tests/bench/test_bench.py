"""The benchmark: every row is there and true, the models take turns, what cannot run is said once."""

import csv
import json
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from helpers.handmade_bundle import LABELS, change_manifest, expected, make_bundle
from helpers.models import WORDS
from ofa_bert import __main__ as program
from ofa_bert.bench import benchmark, plan, probe
from ofa_bert.bench import rows as bench_rows
from ofa_bert.bench.job import BenchGrid, BenchJob
from ofa_bert.bench.peers import hugging_face
from ofa_bert.bench.peers.base import Job, Opening, Peer, Written
from ofa_bert.bench.peers.registry import PEERS
from ofa_bert.bench.probe import Candidate, Setup
from ofa_bert.bundle.entries import Check, FileEntry, ModelEntry
from ofa_bert.bundle.manifest import Manifest
from ofa_bert.cli.parser import parse
from ofa_bert.errors import UserError
from ofa_bert.runtime import opening
from ofa_bert.submodels.counting import count_parameters
from ofa_bert.submodels.values import ModelShape, SubModelConfig
from ofa_bert.system import timing
from ofa_bert.system.machine import host_peak_mib

FAST = ["--repeats", "2", "--warmup", "0", "--length", "8"]


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    """A full model and a small one with an int8 file beside its fp32 one; the manifest knows scores of both."""
    root = tmp_path_factory.mktemp("bundles")
    make_bundle(root / "full", score=0.9, parameters=200)
    small = make_bundle(
        root / "small", score=0.8, parameters=100, models=[("onnx-int8", "onnx", "int8", "model.int8.onnx")]
    )
    held = json.loads((small / "manifest.json").read_text())["models"]
    judged = Check(0.1, 0.1, 1.0, None, 0.5, "onnx_runtime", "cpu", "logits", 0.8, 0.75).to_json()
    change_manifest(small, models=[held[0], {**held[1], **judged}])
    return str(root / "full"), str(small)


@pytest.fixture
def here(monkeypatch):
    """Models are probed in this process: the tests that start processes say so."""
    monkeypatch.setattr(plan, "probe", probed_here)


def probed_here(candidate, setup, pad_token_id):
    try:
        return probe.measure({"candidate": asdict(candidate), "setup": asdict(setup), "pad_token_id": pad_token_id})
    except UserError as error:
        return {"error": str(error)}


def job_of(bundles, output, *more):
    return parse(BenchJob, ["--bundles", *bundles, "--output_dir", str(output), *FAST, *more], "")


def run(bundles, output, *more):
    return program.main(["bench", "--bundles", *bundles, "--output_dir", str(output), *FAST, *more])


def rows_of(output):
    return json.loads((output / "rows.json").read_text())


def test_every_combination_is_one_row_and_csv_says_the_same(bundles, tmp_path, capsys):
    """The command as a user calls it, memory measured in processes of their own."""
    more = ["--backends", "onnx_runtime", "--batch", "1", "3", "--threads", "1"]
    assert run(bundles, tmp_path / "out", *more) == 0
    written = rows_of(tmp_path / "out")
    rows = written["rows"]
    found = [(row["bundle"], row["precision"], row["batch"], row["length"], row["threads"]) for row in rows]
    models = [("full", "fp32"), ("small", "fp32"), ("small", "int8")]
    assert found == [(*model, batch, 8, 1) for batch in (1, 3) for model in models]
    assert written["skipped"] == []
    for row in rows:
        assert row["runs"] == 2
        assert 0 < row["p50_ms"] <= row["p95_ms"]
        assert row["samples_per_second"] == pytest.approx(row["batch"] * 1e3 / row["p50_ms"], rel=0.5)
        assert 20 < row["peak_memory_mib"] < 2000
        assert row["open_seconds"] > 0
        assert row["device"] == "cpu"
        assert row["processor"]
        assert row["cores"] >= 1
        assert row["gpu"] is None
        assert f"onnxruntime {sys.modules['onnxruntime'].__version__}" in row["versions"]
        assert row["command"].startswith("python -m ofa_bert bench --bundles")
    assert [row["score"] for row in rows[:3]] == [0.9, 0.8, 0.75]
    assert {row["score_source"] for row in rows} == {"manifest"}
    assert rows[0]["score_name"] == "accuracy"
    assert [row["score_to_full"] for row in rows[:3]] == pytest.approx([0, -0.1, -0.15])
    with open(tmp_path / "out" / "rows.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert lines == [{key: "" if value is None else str(value) for key, value in row.items()} for row in rows]
    printed = capsys.readouterr().out
    assert "| 1 x 8 " in printed
    assert "| full ms | small" in printed
    assert "-0.1500" in printed
    assert (tmp_path / "out" / "table.md").read_text().strip() in printed
    sizes = {path.name: path.stat().st_size for path in (tmp_path / "out").iterdir()}
    assert set(sizes) == {"rows.json", "rows.csv", "table.md", "latency.png", "score_latency.png"}
    assert sizes["latency.png"] > 5000
    assert sizes["score_latency.png"] > 5000


def test_sizes_are_those_on_disk(bundles, tmp_path, here):
    benchmark.bench(job_of(bundles, tmp_path, "--backends", "onnx_runtime", "--batch", "1"))
    for row in rows_of(tmp_path)["rows"]:
        folder = Path(bundles[row["bundle"] == "small"])
        file = "model.onnx" if row["precision"] == "fp32" else "model.int8.onnx"
        assert row["model_mib"] == (folder / file).stat().st_size / 2**20


def test_models_take_turns_with_every_thread_count(bundles, tmp_path, here, monkeypatch):
    """full, small, full, small ...: never the same model's timed runs in a row."""
    calls, opened = [], opening.open_model

    def spying(bundle, backend, precision, device, threads, *more):
        model = opened(bundle, backend, precision, device, threads, *more)

        def bind(*batch):
            return lambda: calls.append((str(getattr(bundle, "path", bundle)), threads, len(batch[0])))

        return model._replace(bind=bind)

    monkeypatch.setattr(probe, "open_model", spying)
    monkeypatch.setattr(plan.environment, "cores", lambda: 2)
    more = ["--backends", "onnx_runtime", "--precisions", "fp32", "--batch", "4", "2", "--threads", "1", "2"]
    benchmark.bench(job_of(bundles, tmp_path, *more, "--repeats", "3"))
    one_round = [(path, threads) for threads in (1, 2) for path in bundles]
    for batch, part in ((4, calls[: len(calls) // 2]), (2, calls[len(calls) // 2 :])):
        assert {size for *_, size in part} == {batch}
        # Each timed run follows an untimed one of the same model.
        assert [call[:2] for call in part] == [model for model in one_round for _ in range(2)] * 3
    rows = rows_of(tmp_path)["rows"]
    assert [(row["batch"], row["threads"]) for row in rows] == [(b, t) for b in (4, 2) for t in (1, 1, 2, 2)]


def test_in_turn_stops_in_time_but_not_before_three_rounds(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(timing.time, "perf_counter", lambda: now[0])

    def slow():
        now[0] += 1.0

    assert [len(timing.in_turn({"a": slow}, 10, 1, seconds)["a"]) for seconds in (0.5, 5.5, 100)] == [3, 4, 10]
    np.testing.assert_array_equal(timing.in_turn({"a": slow}, 4, 0)["a"], [1000.0] * 4)


def test_pauses_only_after_paddle(monkeypatch):
    seen, paused = [], []
    monkeypatch.setattr(benchmark.time, "sleep", lambda seconds: paused.append(len(seen)))
    names = {0: "paddle_inference", 1: "paddle_inference", 2: "onnx_runtime", 3: "openvino"}
    opened = {(1, n): opening.Backend(None, "", "cpu", name, "fp32", "cpu", None) for n, name in names.items()}
    runs = {key: lambda key=key: seen.append(key[1]) for key in opened}
    timing.in_turn(runs, 2, 0, settle=benchmark.settler(opened, runs))
    assert seen == [0, 0, 1, 1, 2, 2, 3, 3] * 2
    assert paused == [4, 12]


def test_speed_ups():
    def row(bundle, backend, ms, batch=1, precision="fp32"):
        setting = {"threads": 1, "batch": batch, "length": 8}
        return {"bundle": bundle, "backend": backend, "precision": precision, "p50_ms": ms, **setting}

    rows = [
        row("full", "a", 12.0), row("small", "a", 6.0), row("full", "b", 8.0), row("small", "b", 2.0),
        row("small", "b", 1.0, precision="int8"), row("full", "a", 100.0, batch=16), row("small", "b", 20.0, batch=16),
    ]  # fmt: skip
    bench_rows.add_speedups(rows)
    assert [row["speedup"] for row in rows] == [1, 2, 1.5, 6, 12, 1, 5]
    assert [row["speedup_to_full"] for row in rows] == [1, 2, 1, 4, None, 1, None]
    table = bench_rows.speed_table(rows).splitlines()
    assert "| 1 x 8  |       1 | a        | fp32      |      12 | 6 (2.00x) |" in table
    assert any("int8" in line and line.rstrip(" |").endswith("1") and "–" in line for line in table)


def test_missing_package_is_said_once_with_its_cure(bundles, tmp_path, here, monkeypatch, capsys):
    real = opening.importlib.util.find_spec
    monkeypatch.setattr(opening.importlib.util, "find_spec", lambda name: None if name == "openvino" else real(name))
    monkeypatch.delitem(sys.modules, "openvino", raising=False)
    more = ["--backends", "onnx_runtime", "openvino", "--batch", "1", "--precisions", "fp32", "int8"]
    assert run(bundles, tmp_path, *more) == 0
    output = capsys.readouterr()
    for text in (output.out, output.err):
        assert text.count("openvino is not installed") == 1
        assert '".[openvino]"' in text
    assert "not measured: openvino in fp32, int8 (full, small)" in output.out
    assert "not measured: onnx_runtime in int8 (full)" in output.out  # asked for, and not in the bundle
    written = rows_of(tmp_path)
    assert {row["backend"] for row in written["rows"]} == {"onnx_runtime"}
    assert len(written["rows"]) == 3
    assert len(written["skipped"]) == 5


def test_nothing_to_measure_is_an_error(bundles, tmp_path, here, capsys):
    assert run(bundles[:1], tmp_path, "--backends", "onnx_runtime", "--precisions", "fp16") == 1
    assert "nothing can be measured" in capsys.readouterr().err
    assert not (tmp_path / "rows.json").exists()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--threads", "4096"], "--threads 4096: this process may use"),
        (["--length", "17"], "--length 17: full was exported for at most 16 tokens"),
        (["--batch", "0", "--repeats", "0"], "--batch 0: must be at least 1; --repeats 0: must be above 0"),
        (["--batch", "2", "2"], "--batch 2: given twice"),
        (["--backends", "tensorflow"], "must be one of onnx_runtime, openvino, paddle_inference"),
        (["--precisions", "int4"], "must be one of fp32, fp16, bf16, int8, int8-static"),
        (["--provider", "cuda"], "--provider cuda: needs --device gpu"),
        (["--data_dir", "x", "--train_file", "y", "--dev_file", "z"], "--data_dir holds a GLUE task's files"),
        (["--data_dir", "x"], "task"),
        (
            ["--peers", "bert"],
            "must be one of hugging_face, hugging_face_tuned, optimum_int8, nncf_int8, paddle_dynamic",
        ),
    ],
)
def test_wrong_flags(bundles, tmp_path, capsys, flags, words):
    assert run(bundles, tmp_path, *flags) == 2
    assert words in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


def test_wrong_bundles(bundles, tmp_path):
    with pytest.raises(UserError, match="given twice"):
        plan.open_bundles([bundles[0], bundles[0] + "/../full"])
    with pytest.raises(UserError, match="no bundle"):
        plan.open_bundles([str(tmp_path)])
    same = [make_bundle(tmp_path / name / "static") for name in ("a", "b")]
    assert list(plan.open_bundles(list(map(str, same)))) == ["a/static", "b/static"]


def test_a_model_that_fails_is_left_out_with_its_reason(tmp_path, here):
    fine, broken = make_bundle(tmp_path / "fine"), make_bundle(tmp_path / "broken", scale=float("nan"))
    benchmark.bench(job_of([str(fine), str(broken)], tmp_path / "out", "--backends", "onnx_runtime", "--batch", "1"))
    written = rows_of(tmp_path / "out")
    assert [row["bundle"] for row in written["rows"]] == ["fine"]
    assert [item["bundle"] for item in written["skipped"]] == ["broken"]
    assert "not finite" in written["skipped"][0]["reason"]


def test_probe_measures_the_process_of_one_model(bundles):
    candidate = Candidate("full", bundles[0], "onnx_runtime", "int8")
    setup = Setup("cpu", None, 1, (1,), (8,))
    assert "holds no onnx model in int8" in probe.probe(candidate, setup, 0)["error"]
    ballast = np.ones(200_000_000, dtype="i1")  # the parent's memory is not the model's
    found = probe.probe(Candidate("full", bundles[0], "onnx_runtime", "fp32"), setup, 0)
    assert found["precision"] == "fp32"
    assert ballast.nbytes / 2**20 > 190
    assert 20 < found["peak_memory_mib"] < host_peak_mib()


def test_same_file_under_two_names_is_measured_once(tmp_path, here):
    models = [("onnx-int8-static", "onnx", "int8-static", "model.int8-static.onnx")]
    bundle = make_bundle(tmp_path / "a", models=models)
    more = ["--backends", "onnx_runtime", "--precisions", "int8", "int8-static", "--batch", "1"]
    benchmark.bench(job_of([str(bundle)], tmp_path / "out", *more))
    assert [row["precision"] for row in rows_of(tmp_path / "out")["rows"]] == ["int8-static"]


SHAPE = ModelShape(
    num_layers=3, hidden_size=48, num_heads=4, head_dim=12, ffn_size=64, vocab_size=30, max_positions=16,
    type_vocab_size=2, num_labels=3,
)  # fmt: skip


def test_peer_has_the_bundle_s_shape_narrow_layers_included(tmp_path, monkeypatch):
    """hugging_face: its own parameter count, its fused operators, and that it runs, tuned or not."""
    # In this process: it has PyTorch anyway, to compare with.
    monkeypatch.setattr(hugging_face.child_process, "ask", lambda _, request: hugging_face._export_all(request))
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    sub_model = SubModelConfig((0, 2), (2, 3), (10, 33))
    model = hugging_face.hugging_face_model(SHAPE, sub_model)
    assert sum(parameter.numel() for parameter in model.parameters()) == count_parameters(SHAPE, sub_model)
    jobs = [
        Job("hugging_face", SHAPE, sub_model, str(tmp_path / "peer"), ("fp32", "int8")),
        Job("hugging_face_tuned", SHAPE, sub_model, str(tmp_path / "tuned"), ("fp32",)),
    ]
    plain, tuned = hugging_face.write(jobs)
    fused = plain.fused
    assert (fused["Attention"], fused["SkipLayerNormalization"], fused["EmbedLayerNormalization"]) == (2, 4, 1)
    assert tuned.fused["Attention"] == 2
    assert "SkipLayerNormalization" not in tuned.fused
    ids, types = probe.tokens(2, 7, 0)
    with torch.no_grad():
        wanted = model(*map(torch.from_numpy, (ids, np.ones_like(ids), types))).numpy()
    for name, path, tolerance in (
        ("hugging_face", plain.files["fp32"], 1e-4),
        ("hugging_face_tuned", tuned.files["fp32"], 1e-4),
        ("hugging_face", plain.files["int8"], 0.1),
    ):
        backend = PEERS[name].open(Opening(None, Path(path), "fp32", "cpu", 1))
        assert backend.name == name
        np.testing.assert_allclose(backend.run(ids, types), wanted, atol=tolerance)
    assert not list(tmp_path.glob("*.plain.onnx"))


def test_peers_of_one_writer_are_written_together(tmp_path, here, monkeypatch):
    """A peer that is told how in a registry entry alone: of every bundle, or of the first one; files in one call."""
    calls = []

    def write(jobs):
        calls.append([(job.peer, job.precisions) for job in jobs])
        return [Written({name: f"{job.prefix}.{name}" for name in job.precisions}, {"Attention": 2}) for job in jobs]

    def open_small(how):
        return opening.open_model(small, "onnx_runtime", how.precision, threads=how.threads)._replace(name="one")

    small = make_bundle(tmp_path / "small", models=[("onnx-int8", "onnx", "int8", "model.int8.onnx")])
    first, second = (make_bundle(tmp_path / name, shape=SHAPE.to_json(), sub_model=None) for name in ("x", "y"))
    made = [
        Peer("one", "the first", ("fp32", "int8"), open_small, write),
        Peer("two", "the other", ("fp32",), open_small, write),
        Peer("three", "without files", ("fp32",), open_small, first_only=True),
    ]
    for peer in made:
        monkeypatch.setitem(PEERS, peer.name, peer)
    grid = BenchGrid(peers=("one", "two", "three"), precisions=("fp32", "int8"), backends=("onnx_runtime",))
    bundles = plan.open_bundles([str(first), str(second)])
    found = list(plan._peers(grid, bundles, tmp_path, []))
    assert calls == [[("one", ("fp32", "int8"))] * 2 + [("two", ("fp32",))] * 2]
    wanted = [("three", "x", "fp32", "")]
    for peer, precisions in (("one", ("fp32", "int8")), ("two", ("fp32",))):
        for number, bundle in enumerate(("x", "y")):
            wanted += [(peer, bundle, name, str(tmp_path / f"{peer}-{number}.{name}")) for name in precisions]
    assert [(c.backend, c.bundle, c.precision, c.file) for c in found] == wanted
    assert all(candidate.is_peer for candidate in found)
    assert probe.open_candidate(found[1], Setup("cpu", None, 1, (1,), (8,))).precision == "fp32"


def test_a_writer_that_fails_skips_its_peers(tmp_path, monkeypatch):
    def write(jobs):
        raise UserError("peer one: needs torch")

    monkeypatch.setitem(PEERS, "one", Peer("one", "", ("fp32",), lambda how: None, write))
    bundle = make_bundle(tmp_path / "x", shape=SHAPE.to_json(), sub_model=None)
    skipped = []
    assert list(plan._peers(BenchGrid(peers=("one",)), plan.open_bundles([str(bundle)]), tmp_path, skipped)) == []
    assert [(item["backend"], item["reason"]) for item in skipped] == [("one", "peer one: needs torch")]


@pytest.mark.parametrize(("name", "off"), [("hugging_face", []), ("hugging_face_tuned", ["SkipLayerNormFusion"])])
def test_a_peers_model_is_given_a_mask(name, off, tmp_path, monkeypatch):
    """logits = ids + 10 * mask + 100 * types, summed."""
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper

    names = hugging_face.MASKED_INPUTS
    nodes = [
        helper.make_node("Mul", [names[1], "ten"], ["mask"]),
        helper.make_node("Mul", [names[2], "hundred"], ["types"]),
        helper.make_node("Add", ["mask", "types"], ["both"]),
        helper.make_node("Add", [names[0], "both"], ["all"]),
        helper.make_node("Cast", ["all"], ["logits"], to=TensorProto.FLOAT),
    ]
    inputs = [helper.make_tensor_value_info(item, TensorProto.INT64, ["B", "T"]) for item in names]
    output = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["B", "T"])
    numbers = (("ten", 10), ("hundred", 100))
    constants = [helper.make_tensor(item, TensorProto.INT64, [], [value]) for item, value in numbers]
    graph = helper.make_graph(nodes, "masked", inputs, [output], constants)
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=9), str(tmp_path / "m.onnx"))
    told, real = [], onnxruntime.InferenceSession

    def session(*arguments, **named):
        told.append(named["disabled_optimizers"])
        return real(*arguments, **named)

    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    backend = PEERS[name].open(Opening(None, tmp_path / "m.onnx", "fp32", "cpu", 1))
    ids, types = np.array([[3, 4]]), np.array([[0, 1]])
    np.testing.assert_array_equal(backend.run(ids, types), [[13, 114]])
    backend.bind(ids, types)()
    assert (backend.name, backend.precision, backend.provider) == (name, "fp32", "cpu")
    assert told == [off]


def test_dynamic_peer_and_bundles_that_have_no_peer(tmp_path, here):
    known = make_bundle(tmp_path / "known", shape=SHAPE.to_json(), sub_model=None)
    other = make_bundle(tmp_path / "other", model_type="ernie")
    more = ["--backends", "onnx_runtime", "--batch", "1", "--peers", "paddle_dynamic"]
    benchmark.bench(job_of([str(known), str(other)], tmp_path / "out", *more))
    rows = {(row["bundle"], row["backend"]): row for row in rows_of(tmp_path / "out")["rows"]}
    assert set(rows) == {("known", "onnx_runtime"), ("other", "onnx_runtime"), ("known", "paddle_dynamic")}
    peer = rows["known", "paddle_dynamic"]
    assert peer["peer"]
    assert not rows["known", "onnx_runtime"]["peer"]
    assert peer["score"] is None
    assert peer["model_mib"] is None
    assert peer["speedup"] > 0
    table = (tmp_path / "out" / "table.md").read_text()
    assert "paddle_dynamic" in table
    benchmark.bench(job_of([str(other)], tmp_path / "out", *more))
    (skipped,) = rows_of(tmp_path / "out")["skipped"]
    assert skipped["backend"] == "paddle_dynamic"
    assert "family ernie" in skipped["reason"]


@pytest.fixture(scope="module")
def dev_data(tmp_path_factory, bundles):
    """(flags, accuracy of the hand-made model on the dev file) on labels that it gets right two times of three."""
    from ofa_bert.runtime.predictor import Predictor

    root = tmp_path_factory.mktemp("data")
    texts = [" ".join(WORDS[i : i + 3]) for i in range(12)]
    with Predictor(bundles[0], "onnx_runtime") as predictor:
        answers = [prediction.label for prediction in predictor.predict(texts)]
    wrong = {label: next(other for other in LABELS if other != label) for label in LABELS}
    given = [label if number % 3 else wrong[label] for number, label in enumerate(answers)]
    lines = [f"{text}\t{label}" for text, label in zip(texts, given)]
    extra = [f"the\t{label}" for label in LABELS]  # training data must know every class
    (root / "train.tsv").write_text("\n".join(["text\tlabel", *lines, *extra]) + "\n")
    (root / "dev.tsv").write_text("\n".join(["text\tlabel", *lines]) + "\n")
    return ["--train_file", str(root / "train.tsv"), "--dev_file", str(root / "dev.tsv")], 8 / 12


def test_scores_are_measured_when_data_are_given(bundles, dev_data, tmp_path, here):
    flags, accuracy = dev_data
    benchmark.bench(job_of(bundles, tmp_path, "--backends", "onnx_runtime", "--batch", "1", *flags))
    rows = rows_of(tmp_path)["rows"]
    assert [row["score"] for row in rows] == pytest.approx([accuracy] * 3)
    assert {row["score_source"] for row in rows} == {"measured"}


def test_beside_a_data_directory_the_bundle_says_which_task(tmp_path, here):
    task = {"name": "sst-2", "labels": ["0", "1"], "metrics": ["accuracy"], "text_columns": ["sentence"]}
    bundle = make_bundle(tmp_path / "a", labels=["0", "1"], task=task)
    for name in ("train.tsv", "dev.tsv"):
        (tmp_path / name).write_text("sentence\tlabel\na good film\t1\na dull film\t0\n")
    more = ["--backends", "onnx_runtime", "--batch", "1", "--data_dir", str(tmp_path)]
    benchmark.bench(job_of([str(bundle)], tmp_path / "out", *more))
    assert [row["score_source"] for row in rows_of(tmp_path / "out")["rows"]] == ["measured"]


def test_bf16_is_offered_where_it_is_computed():
    entries = [("onnx", "fp32"), ("onnx", "bf16"), ("onnx", "int8"), ("paddle", "fp32")]
    models = tuple(ModelEntry("", kind, precision, ("a", "b")) for kind, precision in entries)
    files = {name: FileEntry(1) for name in "ab"}
    manifest = Manifest(labels=(), num_labels=1, pad_token_id=0, max_seq_length=8, models=models, files=files)
    wanted = {
        "onnx_runtime": {"fp32", "int8"},
        "openvino": {"fp32", "bf16", "int8"},
        "paddle_inference": {"fp32", "bf16"},
    }
    assert {backend: plan.offered(manifest, backend) for backend in wanted} == wanted


def test_without_scores_there_is_no_trade_off_plot(tmp_path, here):
    bundle = make_bundle(tmp_path / "a")
    benchmark.bench(job_of([str(bundle)], tmp_path / "out", "--backends", "onnx_runtime", "--batch", "1"))
    assert not (tmp_path / "out" / "score_latency.png").exists()
    assert rows_of(tmp_path / "out")["rows"][0]["score"] is None


def test_tokens_hold_no_padding():
    ids, types = probe.tokens(3, 5, pad_token_id=1, seed=4)
    assert ids.shape == types.shape == (3, 5)
    assert ids.dtype == np.int64
    assert not (ids == 1).any()
    assert not types.any()
    assert np.isfinite(expected(ids, types)).all()
