"""A family: each target's winner, the small steps that reach a speed, what is told. Tables and scores are made up."""

import dataclasses
import itertools
import random

import pytest

from helpers.pictures import boxes, note, overlapping, upright_lines
from helpers.stated_models import SHAPE as STATED
from helpers.stated_models import state_supernet
from ofa_bert import make_job
from ofa_bert.bundle.latency_table import LatencyTable
from ofa_bert.cli.parser import parse
from ofa_bert.drawing import save
from ofa_bert.errors import RunError, UserError
from ofa_bert.search.early import check_search
from ofa_bert.search.front import Point
from ofa_bert.search.job import SearchJob
from ofa_bert.search.speedups.choosing import Chooser
from ofa_bert.search.speedups.report import family_figure, family_remarks, family_table
from ofa_bert.search.speedups.targets import TOLERANCE, Choice, Pair, Target, approach, near, neighbours
from ofa_bert.submodels.uneven import UnevenSpace
from ofa_bert.submodels.values import ModelShape, SubModelConfig, uniform

SHAPE = ModelShape(
    num_layers=4, hidden_size=64, num_heads=8, head_dim=8, ffn_size=512, vocab_size=40, max_positions=48,
    type_vocab_size=2, num_labels=2,
)  # fmt: skip
SPACE = UnevenSpace(SHAPE, (1, 2, 4, 6, 8), (32, 64, 128, 256, 384, 512))
FULL = uniform(SHAPE, 1.0)
FASTER = {"fp32": 1.0, "int8": 0.4}
# Of what a table predicts: how it is measured.
TRUTH = {"fp32": 1.07, "int8": 0.92}


def predict(choice):
    layers = sum(0.2 + heads / 8 + ffn / 512 for heads, ffn in zip(choice.sub_model.heads, choice.sub_model.ffn))
    return FASTER[choice.precision] * (0.1 + layers)


FULL_MS = predict(Choice(FULL, "fp32"))


def speed(choice):
    """As it is measured."""
    return FULL_MS / (predict(choice) * TRUTH[choice.precision])


def score(choice):
    sub_model = choice.sub_model
    worth = sum(
        (1 + layer % 3) * (heads**0.5 + (ffn / 64) ** 0.5)
        for layer, heads, ffn in zip(sub_model.layers, sub_model.heads, sub_model.ffn)
    )
    value = worth / 60 - (0.03 if choice.precision == "int8" else 0)
    way = {"precision": choice.precision, "policy": None, "ask": []}
    return Point(sub_model, value, predict(choice), value, {"latency_ms": predict(choice)}, {"way": way})


def chooser(targets, known, measured=None, scored=None, **more):
    def measure(choices):
        if measured is not None:
            measured.extend(choices)
        return {choice: Pair(2 * FULL_MS / speed(choice), 2 * FULL_MS) for choice in choices}  # a slower hour

    def counted(choice):
        if scored is not None:
            scored.append(choice)
        return score(choice)

    values = {
        "targets": [Target(target) for target in targets], "full_ms": FULL_MS, "space": SPACE, "predict": predict,
        "score": counted, "measure": measure, "admits": lambda point: True,
        "known": {choice: score(choice) for choice in known}, "scored": {choice: score(choice) for choice in known},
    }  # fmt: skip
    return Chooser(**{**values, **more})


def some(count=600, precisions=("fp32", "int8"), seed=3):
    rng = random.Random(seed)
    drawn = [SPACE.decode(SPACE.draw(rng)) for _ in range(count)]
    return [Choice(each, precision) for each in [FULL, *drawn] for precision in precisions]


def test_each_winner_is_the_best_that_was_evaluated_of_its_speed():
    known, measured = some(), []
    targets = (2, 3, 5, 8)
    family = chooser(targets, known, measured).family()
    assert [member.target.speedup for member in family] == list(targets)
    for member in family:
        keeping = [choice for choice in known if member.target.meets(speed(choice))]
        assert len(keeping) > 5
        assert member.within
        assert member.pair.speedup == pytest.approx(speed(Choice.of(member.point)))
        assert member.point.score >= max(score(choice).score for choice in keeping)
    # Few are measured, and none of them twice.
    assert len(measured) == len(set(measured)) <= len(targets) * 2 * (3 + 5 * 2)
    assert {Choice.of(member.point).precision for member in family} == {"fp32", "int8"}


def test_a_table_that_is_right_needs_no_more_than_two_rounds(monkeypatch):
    monkeypatch.setitem(TRUTH, "fp32", 1.0)
    monkeypatch.setitem(TRUTH, "int8", 1.0)
    measured = []
    family = chooser((2, 5), some(), measured).family()
    assert all(member.within for member in family)
    assert len(measured) <= 2 * 2 * (3 + 2)


def test_small_steps_reach_a_speed_that_nothing_evaluated_has():
    known = [Choice(uniform(SHAPE, width), "fp32") for width in (1.0, 0.75, 0.5, 0.25)]
    for target in (1.5, 2.3, 3.0):
        scored = []
        assert not any(Target(target).meets(speed(choice)) for choice in known)
        (member,) = chooser((target,), known, scored=scored).family()
        assert member.within
        assert Choice.of(member.point) in scored  # on every held-out example, before it is chosen
        sub_model = member.point.sub_model
        assert max(sub_model.heads) <= 8
        assert min(sub_model.ffn) >= 32


def test_where_nothing_is_near_the_nearest_that_is_fast_enough_is_taken_and_said(caplog):
    coarse = UnevenSpace(SHAPE, (8,), (512,))
    known = [Choice(SubModelConfig(range(depth), [8] * depth, [512] * depth), "fp32") for depth in (4, 3, 2, 1)]
    (member,) = chooser((1.5,), known, space=coarse).family()
    assert not member.within
    assert member.point.sub_model.depth == 2
    assert member.pair.speedup > 1.5
    assert "x1.5: nothing is within 3 % of it" in caplog.text


def test_a_target_beyond_everything_is_one_line_that_names_the_fastest():
    known = some(40, ("fp32",))
    smallest = SubModelConfig((0,), (1,), (32,))
    with pytest.raises(RunError, match="`speedups` 40: the fastest that was measured is") as raised:
        chooser((2, 40), [*known, Choice(smallest, "fp32")]).family()
    assert "\n" not in str(raised.value)
    assert f"{speed(Choice(smallest, 'fp32')):.3g} times as fast" in str(raised.value)


def test_other_limits_are_kept_by_every_member():
    known = some()
    most = 20
    family = chooser((2, 3), known, admits=lambda point: sum(point.sub_model.heads) <= most).family()
    assert all(sum(member.point.sub_model.heads) <= most for member in family)
    with pytest.raises(RunError, match="no sub-model keeps within the other limits"):
        chooser((2,), known, admits=lambda point: False).family()


def test_the_promising_are_the_best_of_each_speed_then_the_nearest():
    points = [score(choice) for choice in some(300, ("fp32",))]
    targets = [Target(2.0), Target(4.0)]
    chosen = near(points, FULL_MS, targets, 10)
    assert len(chosen) == 10
    for target, part in zip(targets, (chosen[:5], chosen[5:])):
        inside = sorted((p for p in points if target.meets(FULL_MS / p.cost)), key=lambda p: -p.value)
        best = list(dict.fromkeys(p.sub_model for p in inside))[: len(part)]
        assert part[: len(best)] == best
        offs = [abs(target.off(FULL_MS / predict(Choice(each, "fp32")))) for each in part[len(best) :]]
        assert offs == sorted(offs)


def test_neighbours_differ_by_one_step_in_one_layer_and_stay_in_the_space():
    sub_model = SubModelConfig((0, 2), (8, 1), (32, 300))
    found = list(neighbours(SPACE, sub_model))
    assert len(found) == len(set(found)) == 2 + 3  # heads 7 and 2, neurons 64, 268 and 332
    for other in found:
        assert other.layers == sub_model.layers
        changes = [
            (a, b)
            for a, b in itertools.chain(zip(sub_model.heads, other.heads), zip(sub_model.ffn, other.ffn))
            if a != b
        ]
        assert len(changes) == 1
        assert abs(changes[0][0] - changes[0][1]) in (1, 32)


def test_steps_that_do_not_lead_there_give_nothing():
    def off(sub_model, target):
        return Target(target).off(FULL_MS / predict(Choice(sub_model, "fp32")))

    half = uniform(SHAPE, 0.5)
    found = approach(SPACE, half, lambda sub_model: off(sub_model, 2.1))
    assert abs(off(found, 2.1)) <= TOLERANCE
    assert approach(SPACE, half, lambda sub_model: off(sub_model, 40.0)) is None


def job(*words):
    base = ["--model", "m", "--output_dir", "o", "--device", "cpu", "--latency_table", "t.json"]
    return parse(SearchJob, [*base, *words], "")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--speedups 1", "--speedups 1.0: must be above 1, the full model's own speed"),
        ("--speedups 2 2", "--speedups 2: given twice"),
        ("--speedups 2 2.0000001", "--speedups 2: given twice"),
        ("--speedups 2 --max_latency_ms 3", "--speedups 2: leave --max_latency_ms out"),
        ("--speedups 2 --min_score 0.5", "leave --min_score out"),
        ("--speedups 2 --exits", "leave --exits out"),
        ("--speedups 2 --finetune_steps 9", "leave --finetune_steps out"),
        ("--speedups 2 --cost flops", "is searched by latency; leave --cost flops out"),
        ("--speedups 2 --algorithm fptas", "--speedups: is about --algorithm nsga2"),
    ],
)
def test_what_cannot_be_asked_for_together_is_told(words, said, capsys):
    with pytest.raises(UserError) as raised:
        job(*words.split())
    assert said in str(raised.value).replace("`", "--").replace("-- ", " ").replace("--:", ":"), raised.value


def test_a_family_needs_a_table_and_is_searched_by_latency():
    with pytest.raises(UserError, match="needs `latency_table`"):
        make_job(SearchJob, model="m", output_dir="o", device="cpu", speedups=[2, 3])
    made = make_job(SearchJob, model="m", output_dir="o", device="cpu", speedups=[2.0, 3.0], latency_table=["a", "b"])
    assert made.cost == "latency_ms"
    assert made.wanted.family.speedups == (2.0, 3.0)
    limited = job("--speedups", "2", "--max_params", "1e6")
    assert limited.cost == "latency_ms"
    assert limited.deciding() == job("--speedups", "5", "9", "--max_params", "1e6").deciding()  # it goes on from there


def test_what_the_table_rules_out_is_told_before_anything_is_loaded(tmp_path):
    directory = state_supernet(tmp_path / "m")
    table = LatencyTable(STATED, 1.0, 0.5, {0: 0.0, 4: 2.0}, {0: 0.0, 64: 2.0}, {})
    table.save(tmp_path / "t.json")
    dataclasses.replace(table, base=0.25, layer=0.125, heads={0: 0.0, 4: 0.5}, ffn={0: 0.0, 64: 0.5}).save(
        tmp_path / "fast.json"
    )

    def check(*tables, speedups):
        made = make_job(
            SearchJob, model=str(directory), output_dir="o", device="cpu", speedups=speedups,
            latency_table=[str(tmp_path / each) for each in tables],
        )  # fmt: skip
        check_search(made.source, made.modes, made.space, {}, None, made.wanted.family.speedups)

    # The full model takes 1 + 4 * 4.5 ms, half the width 1 + 4 * 2.5.
    with pytest.raises(UserError, match=r"`speedups` 3 9: .* takes 11 ms where the full model takes 19, 1\.73 times"):
        check("t.json", speedups=[1.5, 3.0, 9.0])
    check("t.json", speedups=[1.7])
    check("t.json", "fast.json", speedups=[6.9])
    with pytest.raises(UserError, match=r"`speedups` 7\.2: .*6\.91 times"):
        check("t.json", "fast.json", speedups=[1.5, 7.2])


def row(name, speedup, score, low, high, precision="fp32", within=True):
    return {
        "name": name,
        "target": float(name[1:]),
        "speedup": speedup,
        "within": within,
        "measured": True,
        "ms": 20 / speedup,
        "full_ms": 20.0,
        "predicted_ms": 20 / speedup,
        "precision": precision,
        "sub_model": FULL.to_json(),
        "costs": {"parameters": 3e6},
        "file_bytes": 2**20,
        "score": score,
        "difference": {"score": score - 0.9, "low": low, "high": high},
        "dev": {"score": 0.87},
        "directory": f"out/{name}",
    }


FAMILY = {
    "full": {"precision": "fp32", "predicted_ms": 20.0, "score": 0.9, "examples": 400},
    "teacher": 0.91,
    "family": [
        row("x2", 2.01, 0.89, -0.02, 0.003),
        row("x3", 3.0, 0.895, -0.01, 0.001, "int8"),
        row("x5", 5.6, 0.8, -0.13, -0.07, "int8", within=False),
    ],
}


def test_the_table_and_the_remarks_say_what_is_noise_and_what_was_missed():
    first = family_table(FAMILY)[0]
    assert first["measured"] == "2.01×"
    assert first["beside the full model"] == "-1.00"
    assert first["95 %"] == "-2.00 to +0.30"
    assert first["file MiB"] == "1.0"
    remarks = family_remarks(FAMILY)
    assert [line.split(":")[0] for line in remarks] == ["1×", "x5", "x2, x3", "x2"]
    assert "nearest that is fast enough, 5.60×" in remarks[1]
    assert remarks[3].endswith("x3 is faster and scores no less")
    predicted = {**FAMILY, "family": [{**FAMILY["family"][0], "measured": False}]}
    assert family_table(predicted)[0]["predicted"] == "2.01×"


def test_the_picture_of_a_family_has_targets_counts_and_names(tmp_path):
    figure = family_figure(FAMILY, "made up: accuracy", 77)
    (axis,) = figure.axes
    assert sorted(upright_lines(axis).values()) == [2.0, 3.0, 5.0]
    assert "3 chosen of 77 evaluated" in note(figure)
    crowded = {**FAMILY, "family": [*FAMILY["family"], row("x2.1", 2.1, 0.88, -0.02, 0.003)]}
    labels = [label.get_text() for label in family_figure(crowded, "made up").axes[0].get_xticklabels()]
    assert labels == ["1×", "2×", "", "3×", "5×"]
    found = boxes(figure, axis)
    assert sorted(found) == ["x2 fp32", "x3 int8", "x5 int8"]
    assert overlapping(found) == []
    bars = [bar for container in axis.containers for bar in container.lines[2][0].get_segments()]
    assert bars[0][:, 1] == pytest.approx([0.89 - (0.89 - 0.9 + 0.02), 0.89 + 0.003 + 0.01])
    save(figure, tmp_path / "family.png")
    assert (tmp_path / "family.png").read_bytes().startswith(b"\x89PNG")
