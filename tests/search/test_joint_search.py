"""The search over sub-models, precisions and early exits together, on a tiny supernet, up to the bundle it leads to."""

import dataclasses
import json

import numpy as np
import pytest

from helpers.models import randomise
from ofa_bert.__main__ import main
from ofa_bert.bundle.latency_table import ExitCost, LatencyTable
from ofa_bert.data.held_out import HeldOut
from ofa_bert.data.sources import load_datasets
from ofa_bert.exits.layout import ExitLayout
from ofa_bert.latency.device import Measurer
from ofa_bert.latency.fit import calibrate
from ofa_bert.models.directories import load_model, save_model
from ofa_bert.models.encoder import shape_of
from ofa_bert.models.exits.heads import Exits
from ofa_bert.models.record import ExitRecord, ModelRecord
from ofa_bert.search import winner
from ofa_bert.search.run_modes import RunMode
from ofa_bert.submodels.grid import SearchSpace
from ofa_bert.submodels.values import SubModelConfig

pytestmark = pytest.mark.slow  # supernets with exits, tables of two precisions


@pytest.fixture(scope="module")
def supernet_dir(tmp_path_factory, tiny_bert_dir, glue_dir):
    """A supernet with exits as run_glue_ofa.py --exits writes it, random weights in the place of trained ones."""
    directory = tmp_path_factory.mktemp("exits") / "best"
    task = load_datasets(task_name="SST-2", data_dir=glue_dir).task
    model, tokenizer, _ = load_model(tiny_bert_dir, num_labels=2)
    randomise(model, 4)
    exits = randomise(Exits(model, ExitLayout("ramp", (0, 1, 2))), 6)
    for head in exits.heads.values():  # sure of themselves, or nobody would leave
        head.classifier.weight.set_value(8 * head.classifier.weight.numpy())
    space = SearchSpace(shape_of(model), (1.0, 0.5), (1.0, 0.5))
    trained = {"task_name": "SST-2", "data_dir": str(glue_dir), "held_out_share": 0.2, "seed": 42, "label_kind": "auto"}
    record = ModelRecord(
        kind="supernet", task=task, model_type="bert", max_seq_length=32, seed=42, shape=space.shape, space=space,
        config=trained, exits=ExitRecord(layout=exits.layout, training="joint", held_out=HeldOut(8, 42)),
    )  # fmt: skip
    save_model(directory, model, tokenizer, record, {"exits": exits})
    return directory.parent


def shape_in(supernet_dir):
    about = json.loads((supernet_dir / "best" / "ofa_config.json").read_text())
    return SearchSpace.from_json(about["space"]).shape


@pytest.fixture(scope="module")
def tables(tmp_path_factory, supernet_dir):
    """A layer costs 1 ms, its heads and neurons as much again; INT8 is twice as fast. Made up: the same each run."""
    folder, paths = tmp_path_factory.mktemp("tables"), []
    shape = shape_in(supernet_dir)
    for precision, factor in (("fp32", 1.0), ("int8", 0.5)):
        setting = Measurer("cpu", "onnx_runtime", precision, 1, 4, 12, 3).setting()

        def measure(models, factor=factor):
            return [factor * sum(1 + h / 8 + n / 128 for h, n in zip(m.heads, m.ffn)) for m in models]

        made = calibrate(shape, measure, 0.25, setting)
        paths.append(folder / f"{precision}.json")
        dataclasses.replace(made, exits=ExitCost("ramp", 0.01 * factor, 0.02 * factor)).save(paths[-1])
    return paths


@pytest.fixture
def idle(monkeypatch):
    """The tables' milliseconds are made up, and a busy machine's are long: what is measured is within any budget."""
    real = winner.checked_latency

    def measured(*arguments):
        found = real(*arguments)
        return {**found, "measured_ms": found["measured_ms"] / 100}

    monkeypatch.setattr(winner, "checked_latency", measured)


def command(supernet_dir, output, *more):
    base = ["search", "--model", supernet_dir, "--output_dir", output, "--device", "cpu", "--trials", 20]
    return main(list(map(str, [*base, "--population", 8, "--examples", 40, *more])))


@pytest.mark.usefixtures("idle")
def test_the_winner_is_the_bundle_that_its_command_exports(supernet_dir, tables, tmp_path, capsys, glue_dir):
    import export_model
    from ofa_bert.runtime.predictor import Predictor

    more = ["--exits", "--latency_table", *tables, "--max_latency_ms", 1.2]
    assert command(supernet_dir, tmp_path, *more) == 0
    printed = capsys.readouterr().out
    results = json.loads((tmp_path / "results.json").read_text())
    best, way = results["winner"], RunMode.from_json(results["winner"]["way"])
    assert best["latency_ms"] <= 1.2
    assert results["latency"]["predicted_ms"] == best["latency_ms"]
    assert 0 < results["latency"]["measured_ms"] < 20
    kinds = {(row["way"]["precision"], bool(row["way"]["policy"])) for row in results["front"]}
    assert len(kinds) >= 2
    assert all(row["latency_ms"] >= 0.2 for row in results["front"])
    names = [row["name"] for row in results["grid"]]
    uniform = ["w1_d1", "w0.5_d1", "w1_d0.5", "w0.5_d0.5"]
    assert names == [*uniform, *(f"{name} int8" for name in uniform)]
    assert way.precision == "int8"
    assert way.described() in printed
    assert export_model.main(printed[printed.index("export_model.py") :].split()[1:]) == 0
    dev = load_datasets(task_name="SST-2", data_dir=glue_dir).dev
    (examples,) = dev.values()
    how = {"exit_threshold": "policy"} if way.policy else {}
    with Predictor(tmp_path / "static", backend="onnx_runtime", precision="int8", batch_size=4, **how) as predictor:
        found = predictor.predict([example.text for example in examples])
    right = np.mean([int(answer.label) == example.label for answer, example in zip(found, examples)])
    # int8 takes the range of activations from each batch, and the two do not make the same batches.
    assert right == pytest.approx(results["dev"]["accuracy"], abs=0.1)


@pytest.mark.usefixtures("idle")
@pytest.mark.parametrize("backend", ["onnx_runtime", "openvino"])
def test_the_printed_export_has_the_precision_of_the_back_end(supernet_dir, tables, tmp_path, backend):
    import export_model
    from ofa_bert.bundle.manifest import read_manifest

    pytest.importorskip(backend.replace("onnx_runtime", "onnxruntime"))
    table = LatencyTable.load(tables[1])
    dataclasses.replace(table, setting={**table.setting, "backend": backend}).save(tmp_path / "t.json")
    more = ["--latency_table", tmp_path / "t.json", "--max_latency_ms", 2, "--trials", 4]
    assert command(supernet_dir, tmp_path / "out", *more) == 0
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    wanted = {"onnx_runtime": "int8", "openvino": "int8-static"}[backend]
    export = results["export"]
    assert export[export.index("--precision") + 1] == wanted
    assert "--exit_policy" not in export
    assert export_model.main([*export, "--max_drop", "1"]) == 0
    manifest = read_manifest(tmp_path / "out" / "static")
    assert wanted in {model.precision for model in manifest.models}


def test_a_score_is_kept_with_exits_and_the_same_command_goes_on(supernet_dir, tables, tmp_path):
    more = ["--exits", "--latency_table", tables[0], "--min_score", 0.4]
    assert command(supernet_dir, tmp_path, *more) == 0
    first = json.loads((tmp_path / "results.json").read_text())
    keeping = [row["latency_ms"] for row in first["front"] if row["score"] >= 0.4]
    assert first["winner"]["latency_ms"] == min(keeping)
    assert first["winner"]["score"] >= 0.4
    assert first["winner"]["way"]["policy"]
    about = json.loads((tmp_path / "exit_policy" / "exit_policy.json").read_text())
    assert about["sub_model"] == first["winner"]["sub_model"]
    assert about["ask"] == first["winner"]["way"]["ask"]
    assert command(supernet_dir, tmp_path, *more) == 0
    again = json.loads((tmp_path / "results.json").read_text())
    assert again["front"] == first["front"]
    assert again["winner"] == first["winner"]


def test_latency_of_a_supernet_with_exits_says_what_they_cost(supernet_dir, tmp_path):
    words = ["latency", "--model", supernet_dir, "--output", tmp_path / "t.json", "--backend", "onnx_runtime"]
    assert main(list(map(str, [*words, "--length", 12, "--models", 4, "--repeats", 5, "--check", 3]))) == 0
    table = LatencyTable.load(tmp_path / "t.json")
    assert table.exits.head == "ramp"
    assert 0 <= table.exits.call_ms < 5
    assert 0 <= table.exits.head_ms < 5
    assert table.exits.median_error > 0  # measured: a model this small may cost less than the noise, so both may be 0
    sub_model = SubModelConfig((0, 1), (1, 1), (8, 8))
    assert table.after_exits(sub_model, (1, 2), (0,))[-1] >= table.predict(sub_model)


def test_mistakes_are_told(supernet_dir, tables, tmp_path, capsys):
    plain = dataclasses.replace(LatencyTable.load(tables[0]), exits=None)
    plain.save(tmp_path / "plain.json")
    table = LatencyTable.load(tables[1])
    dataclasses.replace(table, setting={**table.setting, "batch": 9}).save(tmp_path / "other.json")
    cases = [
        (["--exits", "--max_flops", 1e9], "--exits needs --latency_table"),
        (["--exits", "--max_flops", 1e9, "--latency_table", tables[0]], "is searched by latency"),
        (["--exits", "--max_latency_ms", 3, "--latency_table", tables[0], "--finetune_steps", 5], "leave the exits"),
        (["--exits", "--max_latency_ms", 3, "--latency_table", tmp_path / "plain.json"], "what a ramp exit costs"),
        (["--max_latency_ms", 3, "--latency_table", tables[0], tables[0]], "a second one in fp32"),
        (["--max_latency_ms", 3, "--latency_table", tables[0], tmp_path / "other.json"], "is of batch 9"),
        (["--algorithm", "fptas", "--latency_table", *tables], "knows shapes alone"),
    ]
    for number, (more, words) in enumerate(cases):
        code = command(supernet_dir, tmp_path / str(number), *more)
        error = capsys.readouterr().err
        assert (code, words in error, "Traceback" in error) == (2, True, False), error


@pytest.mark.usefixtures("idle")
def test_a_supernet_without_exits_has_none_to_search(supernet_dir, tables, tmp_path, capsys):
    model, tokenizer, record = load_model(supernet_dir / "best")
    save_model(tmp_path / "m", model, tokenizer, dataclasses.replace(record, exits=None))
    assert command(tmp_path / "m", tmp_path / "x", "--exits", "--max_latency_ms", 3, "--latency_table", tables[0]) == 2
    assert "has no exits; train them" in capsys.readouterr().err
    # Precisions alone.
    more = ["--max_latency_ms", 2.5, "--latency_table", *tables, "--trials", 8]
    assert command(tmp_path / "m", tmp_path / "y", *more) == 0
    results = json.loads((tmp_path / "y" / "results.json").read_text())
    assert {row["way"]["policy"] for row in results["front"]} == {None}
    assert "exit_policy" not in results


def test_a_measured_mean_weighs_each_exit_by_who_left_there(supernet_dir, monkeypatch):
    from ofa_bert.latency.exits import mean_ms
    from ofa_bert.models.exits.heads import load_exits

    model, _, record = load_model(supernet_dir / "best")
    model.eval()
    exits = load_exits(supernet_dir / "best", record, model)
    ran = {}

    def timed(self, runs):
        ran.update({end: sorted(run()) for end, run in runs.items()})
        return {end: 10.0 * (end + 1) for end in runs}

    monkeypatch.setattr(Measurer, "timed", timed)
    device = Measurer("cpu", "onnx_runtime", "fp32", 1, 2, 8, 3)
    found = mean_ms(device, model, exits, (0, 2), (0.5, 0.0, 0.3, 0.2))
    assert found == pytest.approx(0.5 * 10 + 0.3 * 30 + 0.2 * 40)
    assert ran == {0: [0], 2: [0, 2], 3: [0, 2, 3]}  # the heads that were asked on the way


def test_the_points_that_are_exported_are_those_next_to_what_was_asked():
    from ofa_bert.search.evaluator import near_budget
    from ofa_bert.search.front import Budget, Point

    points = [
        Point(SubModelConfig([0], [1 + n], [8]), float(n), float(n), n / 100, {"latency_ms": float(n)})
        for n in range(40)
    ]
    heads = {sub_model.heads[0] - 1 for sub_model in near_budget(Budget({"latency_ms": 30.0}))(points, 8)}
    assert {27, 28, 29, 30} <= heads
    assert len(heads) <= 9
    heads = {sub_model.heads[0] - 1 for sub_model in near_budget(Budget(min_score=0.2))(points, 8)}
    assert {20, 21, 22, 23} <= heads
    assert len(heads) <= 9


def test_exits_are_searched_by_margin_and_their_policy_exported(supernet_dir, tables, tmp_path, capsys):
    more = ["--exits", "--exit_criterion", "margin", "--latency_table", tables[0], "--min_score", 0.4]
    assert command(supernet_dir, tmp_path, *more) == 0
    results = json.loads((tmp_path / "results.json").read_text())
    policies = [row["way"]["policy"] for row in results["front"] if row["way"]["policy"]]
    assert policies
    assert {policy["criterion"] for policy in policies} == {"margin"}
    assert "exits margin" in capsys.readouterr().out
    about = json.loads((tmp_path / "exit_policy" / "exit_policy.json").read_text())
    assert about["policy"] == results["winner"]["way"]["policy"]
    assert command(supernet_dir, tmp_path, *(word for word in more if word not in ("--exit_criterion", "margin"))) == 2
    assert "exit_criterion was margin" in capsys.readouterr().err


def test_a_file_size_is_that_of_each_precision(supernet_dir, tables, tmp_path):
    from ofa_bert.search.costs.file_size import file_bytes

    shape = shape_in(supernet_dir)
    more = ["--max_file_mib", 1, "--latency_table", *tables, "--trials", 8]
    assert command(supernet_dir, tmp_path, *more) == 0
    results = json.loads((tmp_path / "results.json").read_text())
    assert {row["way"]["precision"] for row in results["grid"]} == {"fp32", "int8"}
    for row in (*results["front"], *results["grid"]):
        sub_model = SubModelConfig.from_json(row["sub_model"])
        assert row["file_mib"] == file_bytes(shape, sub_model, row["way"]["precision"]) / 2**20
