"""The registry of task kinds: only a kind's own files know it, and every kind keeps what the base class promises."""

import ast
import itertools

import numpy as np
import pytest

from helpers.paths import ROOT
from helpers.source import asked
from ofa_bert.errors import UserError
from ofa_bert.tasks.kinds import registry
from ofa_bert.tasks.kinds.base import Gold, Golds, Span, Spans
from ofa_bert.tasks.kinds.tokens import IGNORED, tags_of
from ofa_bert.tasks.metrics import compute
from ofa_bert.tasks.passages import placed
from ofa_bert.tasks.task import Task, task_for

PACKAGE = ROOT / "ofa_bert"
KINDS = [registry.kind_named(name) for name in registry.KINDS]


def labels_of(kind, count=3):
    if kind.per_token and not kind.windowed:
        return tags_of("ab"[: count - 1])
    return tuple("abcdefgh"[:count]) if kind.fits(("a",)) else ()


def questions(source):
    tree = ast.parse(source)
    found = list(asked(tree, {*registry.KINDS, *registry.WORDS}, ("kind_named", "kind_for", "get")))
    attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr == "is_regression"]
    return found + [(node.lineno, node.attr) for node in attributes]


# "tokens" as a key of what another program reads or says.
_OTHER_MEANING = {"ofa_bert/data/tokenization/text_tokenizer.py", "ofa_bert/doctor/probes/engine.py"}


def test_no_file_asks_for_a_kind_by_its_name():
    own = {PACKAGE / "training" / "losses" / f"{name}.py" for name in registry.KINDS}
    own.add(PACKAGE / "options.py")  # "choices" are there what an option may be
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.parent != PACKAGE / "tasks" / "kinds" and path not in own:
            lines, name = questions(path.read_text("utf-8")), str(path.relative_to(ROOT))
            if name in _OTHER_MEANING:
                lines = [line for line in lines if line[1] != "tokens"]
            if lines:
                found[name] = lines
    assert found == {}


@pytest.mark.parametrize(
    "line",
    [
        'if task.kind_name == "multilabel": pass',
        'if kind.word in ("classes", "x"): pass',
        'heads = {"regression": 1}',
        'match kind:\n    case "numbers": pass',
        'kind_named("classification")',
        "if task.is_regression: pass",
    ],
)
def test_such_a_question_would_be_found(line):
    assert questions(line)


@pytest.mark.parametrize("name", registry.KINDS)
def test_every_kind_has_its_files_and_only_the_registry_knows_them(name):
    for folder in ("tasks/kinds", "training/losses"):
        assert (PACKAGE / folder / f"{name}.py").is_file()
    module = f"ofa_bert.training.losses.{name}"
    assert not [path for path in PACKAGE.rglob("*.py") if module in path.read_text("utf-8")]


@pytest.mark.parametrize("kind", KINDS, ids=registry.KINDS)
def test_what_a_kind_declares_holds(kind):
    labels, rng = labels_of(kind), np.random.default_rng(0)
    width = kind.width(labels)
    assert set(kind.usual_metrics) <= set(kind.metrics)
    assert registry.WORDS.count(kind.word) == 1
    rows, together = (1, 20) if kind.together else (20, width)  # choices of a question, or outputs
    logits, other = rng.normal(size=(2, rows, together)).astype("float32")
    if kind.windowed:
        rows, (logits, other) = 10, (placed_of(each) for each in (logits, other))
    task = Task("t", labels, kind.usual_metrics, ("text",), kind.name)
    assert task.num_labels == width
    answers = kind.answers(logits, kind.names(labels, width), ())
    assert len(answers) == rows
    assert len(kind.answers(logits[:0], kind.names(labels, width), ())) == 0
    if kind.windowed:  # what else it does with its arrays has tests of its own
        return
    assert kind.decisions(logits).shape[0] == rows
    assert kind.decisions(logits[None, :, :width]).shape[-1] == kind.choices(width) == task.choices
    assert kind.same(logits, logits, ()).all()
    assert kind.distance(logits, logits) == pytest.approx(0, abs=1e-12)
    assert kind.distance(logits, other) > 0
    assert kind.cross_entropy(logits, other) > kind.cross_entropy(logits, logits)
    shown = logits[None] if kind.per_token else logits  # [B, T, C]
    described = eval(kind.code(labels, ()), {"np": np, "logits": shown})  # what a README gives away
    described = described[0] if kind.per_token else described
    said = [each.label if each.labels is None else list(each.labels) for each in answers]
    numbers = [each.value if each.choice is None else each.choice for each in answers]
    assert list(described) == (said if labels else pytest.approx(numbers))
    assert Task.from_json(task.to_json()) == task
    found = task.tuned(np.zeros([20, width]), lambda: [logits])
    assert bool(found.thresholds) == bool(kind.held_out_share)


def placed_of(logits):
    """[10, 2, 5]: contexts of one token."""
    return placed(logits, [np.asarray([[0, 0], [0, 1]])] * 10, np.arange(10))


LABELS = {
    "multilabel": (0.0, 1.0, 1.0), "regression": -2.5e-7, "classification": 2, "choices": 1.0, "ranking": 0.25,
    "tokens": Spans([Span(0, 3, 1), Span(4, 9, 0)]), "answers": Golds([Gold("ab", 3)]),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS, ids=registry.KINDS)
def test_what_a_label_says_is_read_as_the_same_label(kind):
    labels, label = labels_of(kind), LABELS[kind.name]
    said = kind.said(label, labels)
    assert kind.reader(labels, "t")(said) == label
    turned = tags_of("ba") if kind.per_token else labels[::-1]
    moved = {"multilabel": (1.0, 1.0, 0.0), "classification": 0, "tokens": Spans([Span(0, 3, 0), Span(4, 9, 1)])}
    assert kind.reader(turned, "t")(said) == moved.get(kind.name, label)
    for other in set(LABELS.values()) - {label}:
        if not labels and not isinstance(other, tuple):
            continue  # any number may be one
        with pytest.raises(TypeError, match=f"is no label of a task with {kind.word}"):
            kind.said(other, labels)


@pytest.mark.parametrize("kind", KINDS, ids=registry.KINDS)
def test_every_kind_sums_its_labels_up_in_one_line(kind):
    labels = [[IGNORED, 3, 4, 0, 1, IGNORED]] if kind.per_token else [LABELS[kind.name]]
    said = kind.summary(np.asarray(labels * 3), labels_of(kind))
    wanted = {
        "multilabel": "a 0, b 3, c 3",
        "regression": "numbers from -2.5e-07 to -2.5e-07, mean -2.5e-07",
        "classification": "a 0, b 0, c 3",
        "choices": "3 questions with 1 choices each",
        "ranking": "pairs, numbers from 0.25 to 0.25, mean 0.25",
        "tokens": "a 3, b 3",
        "answers": "windows, 3 of them with their answer",
    }
    assert said == wanted[kind.name]


def test_a_task_without_a_kind_is_what_its_labels_say():
    old = {"name": "t", "labels": ["a", "b"], "metrics": ["f1"], "text_columns": ["text"]}
    assert Task.from_json(old).kind.word == "classes"
    assert Task.from_json({**old, "labels": [], "metrics": ["pearson"]}).kind.word == "numbers"
    assert task_for((), 1).labels == ()
    assert task_for((), 3).labels == ("0", "1", "2")
    assert Task.from_json(old) == Task("t", ("a", "b"), ("f1",), ("text",))


@pytest.mark.parametrize(
    ("change", "pattern"),
    [
        (
            {"kind": "tagging"},
            "kind 'tagging'; it must be one of tokens, multilabel, regression, classification, choices",
        ),
        ({"kind": ["multilabel"]}, "kind .*must be one of"),
        ({"metrics": ["accuracy"]}, "metrics come from micro_f1, macro_f1, exact_match"),
        ({"thresholds": [0.5]}, "thresholds .*one for each of 2"),
        ({"thresholds": [0.5, 1.5]}, "probabilities"),
        ({"thresholds": [0.5, "x"]}, "probabilities"),
        ({"thresholds": 0.5}, "probabilities"),
    ],
)
def test_json_that_is_no_task_of_its_kind(change, pattern):
    whole = Task("t", ("a", "b"), ("micro_f1",), ("text",), "multilabel", (0.25, 0.75)).to_json()
    assert Task.from_json(whole).thresholds == (0.25, 0.75)
    with pytest.raises(UserError, match=f"not a task: .*{pattern}"):
        Task.from_json({**whole, **change})


def test_an_unknown_kind_lists_the_known():
    with pytest.raises(ValueError, match="tokens, multilabel, regression, classification"):
        _ = Task("t", (), ("pearson",), ("text",), "tagging").kind


# Several labels at once.

SETS = registry.kind_named("multilabel")


def sample(count=400, seed=0, bias=(-2.5, 0.0, 1.0, -3.5)):
    """Logits that are right on the whole but far off a half: rare labels are never said to be there."""
    rng = np.random.default_rng(seed)
    there = rng.random([count, len(bias)]) < [0.12, 0.4, 0.6, 0.06]
    return (3 * there + rng.normal(size=there.shape) - 1.5 + bias).astype("float32"), there.astype("float32")


def micro(thresholds, logits, there):
    found = 1 / (1 + np.exp(-logits.astype(float))) >= np.asarray(thresholds)
    return 2 * (found & (there == 1)).sum() / (found.sum() + there.sum())


@pytest.mark.parametrize("seed", range(4))
def test_tuned_thresholds_beat_a_half_on_texts_that_nobody_saw(seed):
    logits, there = sample(seed=seed)
    thresholds = SETS.tune(logits[:200], there[:200])
    assert len(thresholds) == 4
    assert micro(thresholds, logits[200:], there[200:]) > micro([0.5] * 4, logits[200:], there[200:]) + 0.03


@pytest.mark.parametrize("seed", range(6))
def test_no_thresholds_have_a_higher_micro_f1(seed):
    rng = np.random.default_rng(seed)
    logits = np.round(rng.normal(size=(7, 2)), 1)  # rounded: some are equal
    there = (rng.random((7, 2)) < 0.4).astype("float32")
    there[0] = 1.0
    cuts = [sorted({*(1 / (1 + np.exp(-column))), 0.0, 1.0}) for column in logits.T]
    every = [[(a + b) / 2 for a, b in itertools.pairwise(each)] for each in cuts]
    best = max(micro(pair, logits, there) for pair in itertools.product(*every))
    assert micro(SETS.tune(logits, there), logits, there) == pytest.approx(best, abs=1e-12)


def test_a_label_that_no_text_has_keeps_a_half_and_extremes_are_thresholds():
    logits = np.asarray([[60.0, 3.0], [-60.0, 2.0], [60.0, 1.0]])
    found = SETS.tune(logits, np.asarray([[1.0, 0.0], [0.0, 0.0], [1.0, 0.0]]))
    assert found[1] == 0.5
    assert SETS.predictions(logits, found)[:, 0].tolist() == [True, False, True]
    assert SETS.tune(logits, np.zeros([3, 2])) == (0.5, 0.5)
    assert all(0 <= cut <= 1 for cut in SETS.tune(np.full([3, 1], 800.0), np.asarray([[1.0], [0.0], [0.0]])))


@pytest.mark.parametrize("labels", [1, 2, 5])
def test_metrics_equal_scikit_learn(labels):
    reference = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(labels)
    there = (rng.random((101, labels)) < 0.3).astype("float32")
    logits = (4 * there - 2 + 2 * rng.normal(size=there.shape)).astype("float32")
    thresholds = tuple(np.linspace(0.2, 0.7, labels))
    names = tuple("abcde"[:labels])
    scores = compute(Task("t", names, SETS.usual_metrics, ("text",), SETS.name, thresholds), logits, there)
    found = (1 / (1 + np.exp(-logits.astype(float))) >= thresholds).astype(int)
    tp, wrong, missed = (found * there).sum(0), (found * (1 - there)).sum(0), ((1 - found) * there).sum(0)
    assert scores["micro_f1"] == pytest.approx(2 * tp.sum() / (2 * tp + wrong + missed).sum())
    assert scores["macro_f1"] == pytest.approx((2 * tp / (2 * tp + wrong + missed)).mean())
    assert scores["exact_match"] == pytest.approx(reference.accuracy_score(there.astype(int), found))
    if labels > 1:
        assert scores["micro_f1"] == pytest.approx(reference.f1_score(there, found, average="micro"))
        assert scores["macro_f1"] == pytest.approx(reference.f1_score(there, found, average="macro"))


def test_nothing_to_find_and_nothing_found_is_no_warning():
    task = Task("t", ("a", "b"), SETS.usual_metrics, ("text",), SETS.name)
    scores = compute(task, np.full([3, 2], -5.0), np.zeros([3, 2]))
    assert scores == {"micro_f1": 0.0, "macro_f1": 0.0, "exact_match": 1.0}


def test_an_answer_is_the_labels_above_their_thresholds():
    logits = np.log(np.asarray([[0.2, 0.6], [0.1, 0.4]]) / (1 - np.asarray([[0.2, 0.6], [0.1, 0.4]])))
    first, second = SETS.answers(logits, ("a", "b"), (0.15, 0.7))
    assert (first.labels, second.labels) == (("a",), ())
    assert first.probabilities == pytest.approx((0.2, 0.6))
    assert first.label is first.value is first.probability is None
    assert [each.labels for each in SETS.answers(logits, ("a", "b"), ())] == [("b",), ()]


def test_distances_of_sets_are_those_of_their_labels_as_two_classes():
    rng = np.random.default_rng(0)
    full, other = rng.normal(size=(2, 9, 4))
    classes = registry.kind_named("classification")
    pairs = [SETS.decisions(each).reshape(-1, 2) for each in (full, other)]
    assert SETS.distance(full, other) == pytest.approx(classes.distance(*pairs))
    assert SETS.cross_entropy(full, other) == pytest.approx(classes.cross_entropy(*pairs))


def test_distances_of_classes_are_kl_and_of_numbers_squared():
    classes, numbers = registry.kind_named("classification"), registry.kind_named("regression")
    full, other = np.asarray([[0.0, np.log(3.0)]]), np.asarray([[0.0, 0.0]])
    assert classes.distance(full, other) == pytest.approx(0.25 * np.log(0.5) + 0.75 * np.log(1.5), rel=1e-12)
    assert classes.distance(full, full + 5.0) == pytest.approx(0, abs=1e-12)  # logits are defined up to a constant
    assert classes.cross_entropy(full, other) == pytest.approx(np.log(2.0))
    assert numbers.distance(np.asarray([[1.0], [3.0]]), np.asarray([[0.0], [5.0]])) == 2.5
