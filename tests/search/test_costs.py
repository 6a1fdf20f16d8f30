"""The registry of search costs: what each declares, its options, and predicted file sizes against written ones."""

import ast
from pathlib import Path

import pytest

import ofa_bert
from helpers.models import build
from helpers.source import asked
from ofa_bert.bundle.latency_table import LatencyTable
from ofa_bert.cli.parser import parse
from ofa_bert.errors import RunError, UserError
from ofa_bert.models.families.registry import MODEL_TYPES
from ofa_bert.search.costs import registry
from ofa_bert.search.costs.base import Given
from ofa_bert.search.costs.file_size import LAYOUTS, file_bytes
from ofa_bert.search.front import Budget, Point, choose
from ofa_bert.search.job import SearchJob
from ofa_bert.search.run_modes import Run, RunMode
from ofa_bert.submodels.counting import count_flops, count_parameters
from ofa_bert.submodels.values import ModelShape, SubModelConfig, uniform

PACKAGE = Path(ofa_bert.__file__).parent
SHAPE = ModelShape(4, 32, 4, 8, 64, 50, 40, 2, 3)
SUB_MODEL = SubModelConfig([0, 1, 3], [2, 4, 1], [64, 16, 32])


def table(scale):
    heads, ffn = {0: 0.0, 4: 4.0 * scale}, {0: 0.0, 64: 2.0 * scale}
    return LatencyTable(SHAPE, scale, 3.0 * scale, heads, ffn, {})


def run_in(precision, ms):
    return Run(RunMode(precision), None, ms, (1.0,), (3,))


def job(more):
    return parse(SearchJob, f"--model M --output_dir O --device cpu {more}".split(), "")


def test_costs_without_tables_are_those_of_the_counts():
    found = registry.Costs(Given(SHAPE))(SUB_MODEL)
    assert found == {"parameters": count_parameters(SHAPE, SUB_MODEL), "flops": count_flops(SHAPE, SUB_MODEL)}
    assert registry.Costs(Given(SHAPE, precision="int8"))(SUB_MODEL) == {
        **found,
        "file_mib": file_bytes(SHAPE, SUB_MODEL, "int8") / 2**20,
    }


def test_a_run_costs_what_its_own_precision_does():
    tables = {"fp32": table(1.0), "int8": table(0.25)}
    costs = registry.Costs(Given(SHAPE, tables, {"fp32": "fp32", "int8": "int8-static"}))
    mib = {name: file_bytes(SHAPE, SUB_MODEL, name) / 2**20 for name in LAYOUTS}
    for precision, file in (("fp32", "fp32"), ("int8", "int8-static")):
        found = costs(SUB_MODEL, run_in(precision, 7.5))
        assert (found["latency_ms"], found["file_mib"]) == (7.5, mib[file])
    assert costs(SUB_MODEL)["latency_ms"] == tables["int8"].predict(SUB_MODEL)
    assert costs(SUB_MODEL)["file_mib"] == mib["int8-static"]


@pytest.mark.parametrize("name", registry.COSTS)
def test_what_is_declared_is_what_a_search_asks_for(name):
    cost = registry.cost(name)
    needs = " --latency_table t.json" if cost.needs_table else ""
    limited = job(f"--{cost.limit} 3.5{needs}")
    assert limited.wanted.limits() == {name: 3.5}
    assert limited.cost == name
    assert job(f"--min_score 0.5 --cost {name}{needs}").cost == name
    if needs:
        with pytest.raises(UserError, match=f"a search by {cost.words} needs --latency_table"):
            job(f"--{cost.limit} 3.5")
    with pytest.raises(UserError, match=f"--{cost.limit} -1.0: must be above 0"):
        job(f"--{cost.limit} -1{needs}")
    assert cost.shown(123456.0)
    assert cost.scale > 0
    point = Point(SUB_MODEL, 1.0, 9.0, 0.5, {name: 9.0})
    with pytest.raises(RunError, match=f"`{cost.limit}` 2: the smallest found has 9"):
        choose([point], Budget({name: 2.0}))


def test_what_is_minimised_when_nothing_is_said():
    assert job("--min_score 0.5").cost == "flops"
    assert job("--min_score 0.5 --latency_table t.json").cost == "latency_ms"
    assert job("--max_file_mib 9 --max_params 1e6").cost == "parameters"


def test_the_precision_of_the_file_is_asked_for_or_fp32_or_the_tables():
    assert job("--max_flops 1e9").precision is None
    assert job("--max_file_mib 9").precision == "fp32"
    assert job("--max_flops 1e9 --max_file_mib 9 --file_precision int8").precision == "int8"
    assert job("--min_score 0.5 --cost file_mib --file_precision fp16").precision == "fp16"
    with pytest.raises(UserError, match="--file_precision int8: --latency_table says the precision"):
        job("--max_file_mib 9 --file_precision int8 --latency_table t.json")
    with pytest.raises(UserError, match="--file_precision int4: must be one of fp32, fp16, bf16, int8, int8-static"):
        job("--max_file_mib 9 --file_precision int4")


def test_what_can_be_searched_together_follows_from_the_cost():
    job("--max_file_mib 9 --latency_table a.json b.json")
    job("--max_latency_ms 9 --latency_table a.json b.json --exits --exit_criterion margin")
    for more, words in (
        ("--max_params 9 --latency_table a b", "by latency or file size; give --max_latency_ms or --max_file_mib, or"),
        ("--max_file_mib 9 --latency_table a --exits", "by latency; give --max_latency_ms, or --cost latency_ms"),
        ("--max_file_mib 9 --exit_criterion margin", "--exit_criterion margin: is for --exits"),
    ):
        with pytest.raises(UserError, match=words):
            job(more)


FORMS = [("fp32", False), ("fp32", True), ("fp16", False), ("fp16", True), ("int8", False), ("int8-static", False)]


@pytest.mark.slow(but="bert")
@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_predicted_file_sizes_are_within_one_percent_of_what_is_written(model_type, tmp_path):
    from ofa_bert.export.onnx import writer
    from ofa_bert.export.onnx.form import Form
    from ofa_bert.models.encoder import shape_of
    from ofa_bert.models.supernet import extract

    model = build(model_type, layers=4, hidden=96, ffn=384, vocab_size=900)
    shape = shape_of(model)
    sub_models = [
        uniform(shape, 1.0),
        uniform(shape, 0.5, (1, 3)),
        SubModelConfig([3], [1], [40]),
        SubModelConfig([0, 2, 3], [1, 4, 3], [10, 384, 133]),
    ]
    for sub_model in sub_models:
        small = extract(model, sub_model)
        small.eval()
        scales = dict.fromkeys(writer.linear_inputs(small), 0.05)
        for precision, fused in FORMS:
            weights = {"int8": "dynamic", "int8-static": "static"}.get(precision, "float")
            form = Form(weights, precision == "fp16", fused, scales if weights == "static" else {})
            writer.write(small, tmp_path / "model.onnx", form)
            written = (tmp_path / "model.onnx").stat().st_size
            predicted = file_bytes(shape, sub_model, precision)
            # Fused graphs have fewer nodes, which only so small a model shows.
            allowed = 0.01 * written + (1300 * sub_model.depth + 1000) * fused
            assert abs(predicted - written) <= allowed, (sub_model, precision, fused, predicted, written)
        assert file_bytes(shape, sub_model, "bf16") == file_bytes(shape, sub_model, "fp32")


def test_no_other_file_asks_for_a_cost_by_name():
    tree = ast.parse('a = {"flops": 1}["parameters"] if b == "latency_ms" else ("file_mib" in c)')
    assert len(list(asked(tree, registry.COSTS))) == 4
    found = [
        f"{path.relative_to(PACKAGE)}:{line} {name}"
        for path in sorted((PACKAGE / "search").rglob("*.py"))
        if path.parent != PACKAGE / "search" / "costs"
        for line, name in asked(ast.parse(path.read_text()), registry.COSTS)
    ]
    assert not found
