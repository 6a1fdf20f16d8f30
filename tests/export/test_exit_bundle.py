"""Bundles with exits: every exit is the dynamic model's, in every back end, and a run has the parts that it needs."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from helpers.exit_case import ENDS, between, make_case, write_policy
from helpers.handmade_bundle import change_manifest, digests_of
from helpers.paths import ROOT
from ofa_bert import __main__ as commands
from ofa_bert.bundle.exits import ExitPlan, plan_of
from ofa_bert.bundle.manifest import Bundle
from ofa_bert.data.table_files import read_table
from ofa_bert.errors import RunError, UserError
from ofa_bert.exits import policy_file
from ofa_bert.exits.policy import Policy, first_exits
from ofa_bert.export import exit_parts
from ofa_bert.models.exits.graphs import depths
from ofa_bert.models.record import ModelRecord
from ofa_bert.models.supernet import whole
from ofa_bert.runtime.exit_parts import merge
from ofa_bert.runtime.exit_tensors import OnDevice
from ofa_bert.runtime.exits import ExitModel, Limits, open_exits
from ofa_bert.runtime.opening import open_exit_parts
from ofa_bert.runtime.predictor import Predictor

# Every back end with every kind of exits; models/test_families.py is a quick way through them.
pytestmark = pytest.mark.slow

COUNT = 45
BACKENDS = ("onnx_runtime", "paddle_inference", "openvino")


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    """Ramps on a model with uneven layers, in fp32 and int8, with a policy and a token table."""
    path = tmp_path_factory.mktemp("ramp") / "case"
    return make_case(path, policy={"share": 0.6, "ask": (0, 2)}, precisions=("fp32", "int8", "fp16"), fused=True)


@pytest.fixture(scope="module")
def attention(tmp_path_factory):
    return make_case(tmp_path_factory.mktemp("attention") / "case", head="attention", count=20)


@pytest.fixture(scope="module")
def numbers(tmp_path_factory):
    """A regression on RoBERTa, whose positions and classifier are its own."""
    return make_case(tmp_path_factory.mktemp("numbers") / "case", model_type="roberta", num_labels=1, count=20)


@pytest.fixture(scope="module")
def electra(tmp_path_factory):
    """Ramps with ELECTRA's GELU behind embeddings of their own width."""
    return make_case(tmp_path_factory.mktemp("electra") / "case", model_type="electra", count=20)


def answers(case, threshold, **how):
    with Predictor(case.bundle, threads=1, exit_threshold=threshold, **how) as predictor:
        return predictor.answers(case.texts)


def expected(case, layers):
    """What the dynamic model's exits after those layers say."""
    return case.outputs.logits[np.searchsorted(ENDS, layers), np.arange(len(layers))]


def padded(case):
    """All samples as one batch of ids and token types [N, T]."""
    ids = np.zeros([len(case.data), max(map(len, case.data.input_ids))], "int64")
    for row, tokens in zip(ids, case.data.input_ids):
        row[: len(tokens)] = tokens
    return ids, np.zeros_like(ids)


def with_policy(case, policy, limits=(8, 10**9), ask=(0, 1, 2), **how):
    """An ExitModel that also takes policies which a user is refused."""
    plan = ExitPlan(ENDS, policy, ask)
    parts = open_exit_parts(case.bundle, plan, threads=1, **how)
    return ExitModel(parts, plan, case.manifest.num_labels, 0, Limits(*limits))


@pytest.mark.parametrize("which", ["case", "attention", "numbers", "electra"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_every_exit_answers_as_the_dynamic_model(which, backend, request):
    case = request.getfixturevalue(which)
    ids, types = padded(case)
    parts = open_exit_parts(case.bundle, ExitPlan(ENDS, Policy("entropy", 1), (0, 1, 2)), backend, threads=1)
    (hidden,) = parts.segments[0](ids, types)
    for place in range(4):
        if place:
            (hidden,) = parts.segments[place](hidden, ids)
        logits, *certainty = parts.heads[place](hidden, ids)
        np.testing.assert_allclose(logits, case.outputs.logits[place], atol=2e-5)
        assert len(certainty) == (place < 3)
        for found in certainty:
            np.testing.assert_allclose(found, case.outputs.certainty[place], atol=1e-5)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_drop_takes_the_fastest_threshold_that_promises_it(case, workers):
    for drop, place in ((0.05, 2), (0.03, 2), (0.029, 1), (0.5, 3)):
        point = case.manifest.exits.chosen.curve.points[place]
        with Predictor(case.bundle, threads=1, exit_drop=drop, workers=workers) as predictor:
            found = predictor.answers(case.texts)
            assert None not in [each.exit_layer for each in predictor.predict(case.texts[:3])]
        given = answers(case, point.threshold, exit_criterion="entropy")
        np.testing.assert_array_equal(found.layers, given.layers)
        np.testing.assert_allclose(found.logits, given.logits, atol=1e-5)
        assert len(np.unique(found.layers)) > 1
    with pytest.raises(UserError, match=r"exit_drop 0\.001: the 45 held-out texts .* promise 0\.01 of accuracy"):
        Predictor(case.bundle, exit_drop=0.001)


def test_a_policy_without_a_curve_says_so_when_a_drop_is_asked_for(case, attention):
    manifest = case.manifest
    chosen = replace(manifest.exits.chosen, curve=None)
    bundle = Bundle(case.bundle, replace(manifest, exits=replace(manifest.exits, chosen=chosen)))
    with pytest.raises(UserError, match="keeps no curve to choose `exit_drop` 0.01 from"):
        plan_of(bundle, None, drop=0.01)
    with pytest.raises(UserError, match="holds no exit policy"):
        Predictor(attention.bundle, exit_drop=0.01)


def test_predict_writes_exit_layers_by_a_drop_and_by_geep_s_threshold(case, tmp_path):
    (tmp_path / "in.tsv").write_text("text\n" + "\n".join(case.texts[:12]) + "\n")
    words = ["predict", "--bundle", str(case.bundle), "--input", str(tmp_path / "in.tsv"), "--threads", "1"]
    for more, how in (
        (["--exit_drop", "0.05"], {"exit_drop": 0.05}),
        (["--geep_threshold", "0.7"], {"exit_threshold": 0.7, "exit_criterion": "normalised"}),
    ):
        more = [*more, "--output_columns", "predictions", "exit_layer", "--output", str(tmp_path / "out.tsv")]
        assert commands.main([*words, *more]) == 0
        with Predictor(case.bundle, threads=1, **how) as predictor:
            wanted = predictor.predict(case.texts[:12])
        rows = [tuple(cells) for _, cells in read_table(tmp_path / "out.tsv").rows]
        assert rows == [(each.label, str(each.exit_layer)) for each in wanted]


def test_no_weight_is_stored_twice(case):
    folder = case.bundle / "exits"
    floats = [tensor for layer in (case.model, case.exits) for tensor in layer.parameters()]
    needed = 4 * sum(int(np.prod(tensor.shape)) for tensor in floats)
    parameters = sum(path.stat().st_size for path in folder.glob("paddle-fp32/*.pdiparams"))
    assert needed <= parameters < 1.05 * needed
    onnx = sum(path.stat().st_size for path in folder.glob("onnx-fp32/*.onnx"))
    assert needed <= onnx < 1.3 * needed  # with the nodes


def test_the_manifest_tells_of_the_exits(case):
    entry = json.loads((case.bundle / "manifest.json").read_text())["exits"]
    assert entry["layers"] == list(ENDS)
    assert entry["head"] == "ramp"
    assert entry["chosen"]["ask"] == [0, 2]
    names = ["paddle-fp32", "onnx-fp32", "onnx-fp32-fused", "onnx-fp16", "onnx-fp16-fused", "onnx-int8"]
    assert [model["name"] for model in entry["models"]] == names
    for model in entry["models"]:
        assert len(model["max_abs_difference"]) == len(model["segments"]) == len(model["heads"]) == 4
        assert max(model["max_abs_difference"]) < (1e-5 if model["precision"] == "fp32" else 0.5)
    assert "somewhere" not in (case.bundle / entry["policy"]).read_text()  # no path of the machine that made it
    assert (case.bundle / entry["table"]).is_file()


@pytest.mark.parametrize("backend", BACKENDS)
def test_threshold_0_is_the_full_model(case, backend):
    found = answers(case, 0, backend=backend)
    assert (found.layers == 5).all()
    with Predictor(case.bundle, backend, threads=1) as predictor:
        np.testing.assert_allclose(found.logits, predictor.logits(case.texts), atol=2e-5)
        assert {item.exit_layer for item in predictor.predict(case.texts)} == {None}
    # Bit for bit what all segments and all heads give.
    asked = with_policy(case, Policy("entropy", 1e-12), backend=backend)
    never = with_policy(case, Policy("entropy", 0.0), ask=(), backend=backend)
    np.testing.assert_array_equal(asked.run(*padded(case)).logits, never.run(*padded(case)).logits)


def test_a_threshold_above_the_maximum_answers_all_at_the_first_exit(case):
    everybody = (("entropy", 1.1), ("normalised", 1.0), ("certainty", 1.0), ("margin", 1.0), ("patience", 0))
    for policy in (Policy(*each) for each in everybody):
        found = with_policy(case, policy).run(*padded(case))
        assert (found.layers == 1).all()
        np.testing.assert_allclose(found.logits, case.outputs.logits[0], atol=2e-5)
    assert (answers(case, 1, exit_criterion="normalised").layers == 1).all()


@pytest.mark.parametrize(("precision", "off"), [("fp32", 2e-5), ("fp16", 0.02)])
def test_hidden_states_need_not_leave_the_device(case, precision, off, monkeypatch):
    """What a GPU runs, with tensors that stay in ONNX Runtime; here its device is the CPU."""
    from ofa_bert.runtime import opening
    from ofa_bert.runtime.backends import onnx_runtime
    from ofa_bert.runtime.backends.registry import REGISTRY

    def load(files, settings):
        _, session = onnx_runtime._ort_session(files, settings._replace(provider="cpu"))
        return onnx_runtime.bound_part(session, "cpu")

    opened = []
    monkeypatch.setitem(REGISTRY, "onnx_runtime", replace(onnx_runtime.CAPABILITIES, load_part=load))
    monkeypatch.setattr(opening, "merge", lambda parts, target: opened.append(len(parts)) or merge(parts, target))
    predicted = open_exits(case.bundle, "policy", "predicted", device="gpu", precision=precision, threads=1)
    places = predicted.plan.table.predict(case.data.input_ids)
    answered = predicted.run(*padded(case))
    assert opened == [2, 3, 4, 5]
    assert not predicted.parts.segments
    np.testing.assert_array_equal(answered.layers, np.asarray(ENDS)[places])
    np.testing.assert_allclose(answered.logits, expected(case, answered.layers), atol=off)

    plan = ExitPlan(ENDS, Policy("entropy", between(case.outputs, 0.6)), (0, 1, 2))
    parts = open_exit_parts(case.bundle, plan, "onnx_runtime", precision, "gpu", threads=1)
    model = ExitModel(parts, plan, 3, 0, Limits(8, 10**9))
    calls = counted(model)
    found = model.run(*padded(case))
    places = first_exits(plan.policy, case.outputs.logits, None)
    assert (found.layers == np.asarray(ENDS)[places]).mean() > (0.99 if precision == "fp32" else 0.9)
    np.testing.assert_allclose(found.logits, expected(case, found.layers), atol=off)
    assert len(calls["segment3"]) == -(-int((found.layers == 5).sum()) // 8)  # those who stayed were packed
    (hidden,) = parts.segments[0](*padded(case))
    assert isinstance(hidden, OnDevice)
    assert hidden.value.data_type() == f"tensor(float{'16' * (precision == 'fp16')})"


@pytest.mark.parametrize("criterion", ["entropy", "normalised", "certainty", "margin"])
def test_samples_leave_where_the_policy_says_and_earlier_when_the_threshold_rises(case, criterion):
    before, used = np.full(COUNT, 9), set()
    for share in (0.05, 0.3, 0.6, 0.9):
        policy = Policy(criterion, between(case.outputs, share, criterion))
        found = answers(case, policy.threshold, exit_criterion=criterion)
        places = first_exits(policy, case.outputs.logits, case.outputs.certainty)
        np.testing.assert_array_equal(found.layers, np.asarray(ENDS)[places])
        np.testing.assert_allclose(found.logits, expected(case, found.layers), atol=2e-5)
        assert (found.layers <= before).all()
        before = found.layers
        used |= set(before)
    assert len(used) > 1


def test_numbers_leave_by_patience_and_certainty(numbers):
    ordered = np.sort(np.abs(np.diff(numbers.outputs.logits[:, :, 0], axis=0)).ravel())
    policy = Policy("patience", 1, float(ordered[len(ordered) // 3 : len(ordered) // 3 + 2].mean()))
    found = with_policy(numbers, policy).run(*padded(numbers))
    places = first_exits(policy, numbers.outputs.logits, None)
    np.testing.assert_array_equal(found.layers, np.asarray(ENDS)[places])
    assert len(set(found.layers)) > 1
    with Predictor(numbers.bundle, threads=1, exit_threshold=0.5) as predictor:
        (first, *_) = predictor.predict(numbers.texts)
    assert first.label is None
    assert first.exit_layer in ENDS
    for criterion in ("entropy", "margin"):
        with pytest.raises(UserError, match="no probabilities"):
            answers(numbers, 0.5, exit_criterion=criterion)


@pytest.mark.parametrize("which", ["case", "attention"])
def test_nothing_depends_on_the_batches(which, request):
    case = request.getfixturevalue(which)
    threshold = between(case.outputs, 0.6)
    alone = answers(case, threshold, batch_size=1)
    assert len(set(alone.layers)) > 1
    for how in ({"batch_size": 32}, {"batch_size": 7, "max_tokens_per_batch": 40}, {"max_tokens_per_batch": 10}):
        found = answers(case, threshold, **how)
        np.testing.assert_array_equal(found.layers, alone.layers)
        np.testing.assert_allclose(found.logits, alone.logits, atol=2e-5)


def test_the_order_is_that_of_the_texts(case):
    threshold = between(case.outputs, 0.6)
    order = np.random.default_rng(5).permutation(COUNT)
    with Predictor(case.bundle, threads=1, exit_threshold=threshold, batch_size=4) as predictor:
        first, again = predictor.answers(case.texts), predictor.answers([case.texts[i] for i in order])
        assert predictor.answers([]).logits.shape == (0, 3)
    np.testing.assert_array_equal(again.layers, first.layers[order])
    np.testing.assert_allclose(again.logits, first.logits[order], atol=2e-5)


def counted(model):
    """Wrap the parts of an ExitModel; returns what they were called with: samples and batch sizes by part."""
    calls = {}

    def wrap(name, part):
        def run(*arrays):
            calls.setdefault(name, []).append(arrays[0].shape[0])
            return part(*arrays)

        return run

    segments = [wrap(f"segment{i}", part) for i, part in enumerate(model.parts.segments)]
    heads = {i: wrap(f"head{i}", part) for i, part in model.parts.heads.items()}
    model.parts = model.parts._replace(segments=segments, heads=heads)
    return calls


def test_batches_stay_full_and_only_what_is_needed_runs(case):
    policy = Policy("entropy", between(case.outputs, 0.6))
    places = first_exits(policy, case.outputs.logits, None)
    model = with_policy(case, policy)
    calls = counted(model)
    model.run(*padded(case))
    for place in range(4):
        staying = int((places >= place).sum())
        assert sum(calls[f"segment{place}"]) == sum(calls[f"head{place}"]) == staying
        assert len(calls[f"segment{place}"]) == -(-staying // 8)
    model = with_policy(case, policy, ask=(1,))  # the second exit alone
    calls = counted(model)
    layers = model.run(*padded(case)).layers
    assert "head0" not in calls
    assert "head2" not in calls
    assert set(layers) <= {3, 5}
    assert sum(calls["head1"]) == sum(calls["segment1"]) == COUNT
    assert sum(calls["head3"]) == sum(calls["segment3"]) == (layers == 5).sum()


def test_the_policy_of_the_bundle(case):
    found = answers(case, "policy")
    policy = case.manifest.exits.chosen.policy
    asked = np.asarray([0, 2, 3])
    places = asked[first_exits(policy, case.outputs.logits[asked], None)]
    np.testing.assert_array_equal(found.layers, np.asarray(ENDS)[places])
    assert len(set(found.layers)) > 1
    assert 3 not in found.layers


@pytest.mark.parametrize("batch_size", [1, 8])
def test_predicted_exits_run_one_head(case, batch_size):
    model = open_exits(case.bundle, "policy", "predicted", limits=(batch_size, 10**9), threads=1)
    calls = counted(model)
    found = model.run(*padded(case))
    places = model.plan.table.predict(case.data.input_ids)
    assert len(set(places)) > 1
    np.testing.assert_array_equal(found.layers, np.asarray(ENDS)[places])
    np.testing.assert_allclose(found.logits, expected(case, found.layers), atol=2e-5)
    counts = np.bincount(places, minlength=4)
    assert [sum(calls.get(f"head{place}", [])) for place in range(4)] == counts.tolist()
    assert [len(calls.get(f"head{place}", [])) for place in range(4)] == [-(-c // batch_size) for c in counts]
    assert [sum(calls.get(f"segment{p}", [])) for p in range(4)] == [(places >= p).sum() for p in range(4)]
    np.testing.assert_allclose(answers(case, "policy", exit_mode="predicted").logits, found.logits, atol=2e-5)


@pytest.mark.parametrize("mode", ["threshold", "predicted"])
def test_worker_processes_answer_alike(case, mode):
    here = answers(case, "policy", exit_mode=mode)
    there = answers(case, "policy", exit_mode=mode, workers=2)
    np.testing.assert_array_equal(there.layers, here.layers)
    np.testing.assert_allclose(there.logits, here.logits, atol=2e-5)


def test_int8_and_fp16_leave_at_about_the_same_exits(case):
    exact = answers(case, 0)
    for precision, allowed in (("int8", 0.5), ("fp16", 0.02)):
        found = answers(case, 0, precision=precision)
        assert 0 < np.abs(found.logits - exact.logits).max() < allowed
        places = answers(case, between(case.outputs, 0.6), precision=precision).layers
        assert (places == answers(case, between(case.outputs, 0.6)).layers).mean() > 0.8


def test_paddle_is_not_imported(case):
    program = (
        "import sys\n"
        "for name in ('paddle', 'paddlenlp', 'paddleslim', 'torch'): sys.modules[name] = None\n"
        "from ofa_bert.runtime.predictor import Predictor\n"
        "for mode in ('threshold', 'predicted'):\n"
        f"    with Predictor({str(case.bundle)!r}, threads=1, exit_threshold='policy', exit_mode=mode) as predictor:\n"
        f"        print(*(item.exit_layer for item in predictor.predict({case.texts!r})))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for line, mode in zip(done.stdout.splitlines(), ("threshold", "predicted")):
        assert [int(word) for word in line.split()] == answers(case, "policy", exit_mode=mode).layers.tolist()


def predict(case, tmp_path, *more):
    (tmp_path / "in.tsv").write_text("\n".join(["text", *case.texts]) + "\n")
    line = f"predict --bundle {case.bundle} --input {tmp_path / 'in.tsv'} --output {tmp_path / 'out.tsv'} --threads 1"
    return commands.main(line.split() + list(more))


def test_the_command_line_writes_the_exit_layer(case, tmp_path, capsys):
    assert predict(case, tmp_path, "--exit_threshold", "policy") == 0
    head, *rows = [line.split("\t") for line in (tmp_path / "out.tsv").read_text().splitlines()]
    assert head == ["text", "predicted_label", "probability", "exit_layer"]
    found = answers(case, "policy")
    assert [int(row[3]) for row in rows] == found.layers.tolist()
    assert [row[1] for row in rows] == [str(best) for best in found.logits.argmax(-1)]
    threshold = between(case.outputs, 0.5, "margin")
    assert predict(case, tmp_path, "--exit_threshold", str(threshold), "--exit_criterion", "margin") == 0
    _, *rows = [line.split("\t") for line in (tmp_path / "out.tsv").read_text().splitlines()]
    places = first_exits(Policy("margin", threshold), case.outputs.logits, None)
    assert [int(row[3]) for row in rows] == [ENDS[place] for place in places]
    assert len(set(places)) > 1
    assert predict(case, tmp_path) == 0
    assert "exit_layer" not in (tmp_path / "out.tsv").read_text()
    capsys.readouterr()
    assert predict(case, tmp_path, "--exit_mode", "predicted") == 2
    assert "--exit_threshold" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("threshold", "how", "message"),
    [
        (-0.1, {}, "must not be negative"),
        (1.2, {}, "never exceeds ln 3"),
        (1.5, {"exit_criterion": "normalised"}, "from 0 .* to 1"),
        (1.5, {"exit_criterion": "margin"}, "from 0 .* to 1"),
        (float("inf"), {"exit_criterion": "patience"}, "whole number"),
        (0.5, {"exit_criterion": "patience"}, "whole number"),
        ("often", {}, "must be a number or policy"),
        (float("nan"), {}, "must be a number or policy"),
        (0.5, {"exit_criterion": "luck"}, "must be one of entropy"),
        (0.5, {"exit_mode": "sometimes"}, "must be one of threshold, predicted"),
        (0.5, {"exit_mode": "predicted"}, "give policy as the threshold"),
        ("policy", {"exit_criterion": "normalised"}, "has entropy"),
        (0.5, {"precision": "int8-static"}, "`precision` int8-static `onnx`"),
        (0.5, {"backend": "onnx_runtime", "provider": "tensorrt"}, "take cuda"),
        (None, {"exit_mode": "predicted"}, "give an exit_threshold"),
    ],
)
def test_what_cannot_be_meant_is_refused(case, threshold, how, message):
    with pytest.raises(UserError, match=message):
        Predictor(case.bundle, exit_threshold=threshold, **how)


def test_bundles_that_lack_something(case, attention, tmp_path):
    from helpers.handmade_bundle import make_bundle

    with pytest.raises(UserError, match="has no early exits; train them"):
        Predictor(make_bundle(tmp_path / "plain"), exit_threshold=0.1)
    with pytest.raises(UserError, match="holds no exit policy"):
        Predictor(attention.bundle, exit_threshold="policy")
    manifest = replace(case.manifest, exits=replace(case.manifest.exits, table_file=None))
    with pytest.raises(UserError, match="no table to predict"):
        plan_of(Bundle(case.bundle, manifest), "policy", "predicted")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("layers", [3, 1]),
        ("layers", None),
        ("criterion", "luck"),
        ("models", [{"name": "x"}]),
        ("models", None),
        ("chosen", {"policy": {}, "mode": "threshold", "ask": []}),
        ("table", "elsewhere"),
    ],
)
def test_a_damaged_manifest_is_refused(case, tmp_path, key, value):
    bundle = tmp_path / "bundle"
    shutil.copytree(case.bundle, bundle)
    held = json.loads((bundle / "manifest.json").read_text())["exits"]
    change_manifest(bundle, exits={**held, key: value})
    with pytest.raises(UserError, match="export the bundle again"):
        Predictor(bundle, exit_threshold=0.1)


def test_damaged_files_are_refused(case, tmp_path):
    bundle = tmp_path / "bundle"
    shutil.copytree(case.bundle, bundle)
    part = bundle / "exits" / "onnx-fp32" / "segment2.onnx"
    whole_part = part.read_bytes()
    part.write_bytes(b"\0" * len(whole_part))
    with pytest.raises(UserError, match=r"segment2.onnx: is not the file that was exported"):
        Predictor(bundle, exit_threshold=0.1)
    change_manifest(bundle, files=digests_of(bundle))
    with pytest.raises(UserError, match=r"segment2.onnx: onnx_runtime cannot load it"):
        Predictor(bundle, exit_threshold=0.1)
    part.write_bytes(whole_part[:-1])
    with pytest.raises(UserError, match="segment2.onnx: has"):
        Predictor(bundle, exit_threshold=0.1)
    part.unlink()
    with pytest.raises(UserError, match="segment2.onnx: missing"):
        Predictor(bundle, exit_threshold=0.1)


def test_a_wrong_head_fails_the_export(tmp_path, monkeypatch):
    right = exit_parts.write_head

    def wrong(model, exits, form, depth, target):
        right(model, exits, form, ENDS[0] if depth == ENDS[1] else depth, target)

    monkeypatch.setattr(exit_parts, "write_head", wrong)
    with pytest.raises(RunError, match="onnx-fp32, exit after 3 layers"):
        make_case(tmp_path / "case", count=8)
    assert not (tmp_path / "case" / "bundle").exists()


def test_a_policy_for_another_model_is_refused(case, tmp_path):
    task, sub_model = case.manifest.task, whole(case.model)
    record = ModelRecord(task=task, sub_model=sub_model)
    write_policy(tmp_path / "policy", case.exits, record, case.data, case.outputs, 0.5)

    def read(path, sub_model=sub_model, task=task):
        layers, vocab_size = depths(case.model, case.exits), case.model.config.vocab_size
        return policy_file.read_policy(path, sub_model, task, case.exits.layout, layers, vocab_size)

    assert read(tmp_path / "policy" / "exit_policy.json").table is not None
    with pytest.raises(UserError, match="`exit_policy` .*chosen for the sub-model"):
        read(tmp_path / "policy", sub_model=replace(sub_model, ffn=(10, 64, 33, 20, 8)))
    with pytest.raises(UserError, match="chosen for the task 't', this model has 'u'"):
        read(tmp_path / "policy", task=replace(task, name="u"))
    for content, message in (("[]", "must hold a JSON object"), ("{}", "`exit_policy` .*is no exit_policy.json")):
        (tmp_path / "policy" / "exit_policy.json").write_text(content)
        with pytest.raises(UserError, match=message):
            read(tmp_path / "policy")
    with pytest.raises(UserError, match="cannot be read"):
        read(tmp_path / "nothing")


def write_data(case, folder):
    """Two files on which the full model is always right; returns the labels."""
    labels = case.outputs.logits[-1].argmax(-1)
    for name in ("train", "dev"):
        lines = [f"{text}\t{label}" for text, label in zip(case.texts, labels)]
        (folder / f"{name}.tsv").write_text("\n".join(["text\tlabel", *lines]) + "\n")
    return labels


def data_flags(folder):
    return f" --dev_file {folder / 'dev.tsv'} --train_file {folder / 'train.tsv'}"


def test_the_benchmark_measures_what_it_says(case, tmp_path, capsys):
    sys.path.insert(0, str(ROOT / "benchmarks"))
    import early_exit

    labels = write_data(case, tmp_path)
    threshold = between(case.outputs, 0.6)
    again = shutil.copytree(case.bundle, tmp_path / "again")
    line = f"--bundles {case.bundle} {again} --threads 1"
    line += data_flags(tmp_path)
    line += f" --thresholds policy {threshold} --predicted --batch_sizes 1 8 --repeats 2 --samples 20 --pool 3"
    assert early_exit.main([*line.split(), "--output_dir", str(tmp_path / "out")]) == 0
    assert "time saved" in capsys.readouterr().out
    rows = json.loads((tmp_path / "out" / "rows.json").read_text())["rows"]
    names = ["full", "0", "policy", str(threshold), "policy, predicted"]
    wanted = [(size, str(bundle), name) for size in (1, 8) for bundle in (case.bundle, again) for name in names]
    assert [(row["batch_size"], row["bundle"], row["name"]) for row in rows] == wanted
    for row in rows:
        assert row["ms_per_text"] > 0
        assert (row["p50_ms"] is not None) == (row["batch_size"] == 1)
        assert sum(row["histogram"].values()) == COUNT
        if row["name"] in ("full", "0"):
            assert row["score"] == 1.0
            assert row["mean_layers"] == 5
        if row["name"] == str(threshold):
            found = answers(case, threshold)
            assert row["mean_layers"] == pytest.approx(found.layers.mean())
            assert row["score"] == pytest.approx((found.logits.argmax(-1) == labels).mean())
    assert (tmp_path / "out" / "plot.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "out" / "table.md").is_file()


def test_ways_are_compared_by_what_their_predictors_answer(case, tmp_path, capsys):
    sys.path.insert(0, str(ROOT / "benchmarks"))
    import compare

    labels = write_data(case, tmp_path)
    ways = ["--ways", f"full={case.bundle},threads=1", f"exits={case.bundle},threads=1,exit_threshold=policy"]
    ways.append(f"two={case.bundle},precision=int8,workers=2")
    line = data_flags(tmp_path) + f" --texts 20 --singles 4 --repeats 2 --output_dir {tmp_path / 'out'}"
    assert compare.main([*ways, *line.split()]) == 0
    assert "sooner" in capsys.readouterr().out
    full, exits, two = json.loads((tmp_path / "out" / "rows.json").read_text())["rows"]
    assert (full["name"], full["score"], full["speedup"], full["mean_layers"]) == ("full", 1.0, 1.0, None)
    found = answers(case, "policy")
    assert exits["score"] == pytest.approx((found.logits.argmax(-1) == labels).mean())
    assert exits["mean_layers"] == pytest.approx(found.layers.mean())
    assert two["workers"] == 2
    assert min(row["p50_ms"] for row in (full, exits, two)) > 0
    assert (tmp_path / "out" / "plot.png").read_bytes().startswith(b"\x89PNG")
    for way, word in (("x", "must be NAME=BUNDLE"), (f"x={case.bundle},sped=1", "none of backend")):
        assert compare.main(["--ways", way, *line.split()]) == 2
        assert word in capsys.readouterr().err
