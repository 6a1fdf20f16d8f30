"""Answering early: against the whole model, against the policy on all exits' answers, in batches of any size."""

import itertools

import numpy as np
import paddle
import pytest

from helpers.models import build, randomise
from ofa_bert.data.encoding.batches import eval_batches
from ofa_bert.data.encoding.encoded import Encoded
from ofa_bert.exits.criteria.registry import criterion as named
from ofa_bert.exits.layout import ExitLayout
from ofa_bert.exits.policy import Policy, first_exits
from ofa_bert.models.encoder import encoder_layers
from ofa_bert.models.exits import graphs as exit_graphs
from ofa_bert.models.exits.graphs import Entry, Segment, UpTo, depths
from ofa_bert.models.exits.heads import Exits
from ofa_bert.models.supernet import whole
from ofa_bert.training.evaluation import to_tensors
from ofa_bert.training.exits.answering import answer, answer_at
from ofa_bert.training.exits.states import Frozen, collect

COUNT = 45
CRITERIA = ["entropy", "normalised", "certainty", "margin"]


@pytest.fixture(scope="module", params=["ramp", "attention"])
def subject(request):
    """(model, exits, data, what every exit says of every sample)."""
    model = build(layers=5, seed=1)
    exits = randomise(Exits(model, ExitLayout(request.param, (0, 2, 3))), 7)
    exits.eval()
    rng = np.random.default_rng(3)
    ids = [rng.integers(5, 40, rng.integers(3, 20)) for _ in range(COUNT)]
    data = Encoded(ids, [np.zeros_like(row) for row in ids], rng.integers(0, 3, COUNT))
    outputs = collect(Frozen(model, data, {}, 0), exits, whole(model))
    return model, exits, data, outputs


def between(outputs, criterion, share):
    """A threshold at which that share of the samples leaves, midway between two uncertainties against rounding."""
    each = named(criterion).uncertainty(outputs.logits[:-1], outputs.certainty)  # [E, N]
    values = np.sort(each.ravel())
    place = int(np.searchsorted(values, np.quantile(each.min(axis=0), share)))
    widest = max(range(place, min(place + 9, len(values) - 1)), key=lambda i: values[i + 1] - values[i])
    return float(values[widest : widest + 2].mean())


def run(subject, policy, batch_size=8, pool=4):
    model, exits, data, _ = subject
    return answer(model, exits, policy, data, batch_size, 0, pool)


def stock_logits(model, data, batch_size):
    logits = np.zeros([COUNT, 3], dtype="float32")
    with paddle.no_grad():
        for batch in map(to_tensors, eval_batches(data, batch_size, 0)):
            logits[batch.index] = model(batch.input_ids, token_type_ids=batch.token_type_ids).numpy()
    return logits


@pytest.mark.parametrize("batch_size", [1, 8, 64])
@pytest.mark.parametrize(("criterion", "never"), [*((name, 0.0) for name in CRITERIA), ("patience", 3)])
def test_threshold_0_is_bit_for_bit_the_full_model(subject, criterion, never, batch_size):
    found = run(subject, Policy(criterion, never), batch_size)
    np.testing.assert_array_equal(found.logits, stock_logits(subject[0], subject[2], batch_size))
    assert (found.layers == 5).all()


def test_heads_that_run_in_vain_change_nothing(subject):
    model = subject[0]
    found = run(subject, Policy("entropy", 1e-12))
    assert (found.layers == 5).all()
    np.testing.assert_array_equal(found.logits, stock_logits(model, subject[2], 8))


def test_a_threshold_above_the_maximum_answers_all_at_the_first_exit(subject):
    outputs = subject[3]
    everybody = (("entropy", 1.1), ("normalised", 1.0), ("certainty", 1.0), ("margin", 1.0), ("patience", 0))
    for policy in (Policy(*each) for each in everybody):
        found = run(subject, policy)
        assert (found.layers == 1).all()
        np.testing.assert_allclose(found.logits, outputs.logits[0], atol=1e-4)


@pytest.mark.parametrize("criterion", CRITERIA)
def test_every_sample_gets_the_answer_of_its_exit_in_its_own_place(subject, criterion):
    outputs = subject[3]
    used = set()
    for share in (0.1, 0.3, 0.5, 0.8):
        policy = Policy(criterion, between(outputs, criterion, share))
        places = first_exits(policy, outputs.logits, outputs.certainty)
        used |= set(places)
        found = run(subject, policy)
        np.testing.assert_array_equal(found.layers, np.asarray(outputs.layers)[places])
        np.testing.assert_allclose(found.logits, outputs.logits[places, np.arange(COUNT)], atol=1e-4)
    assert used >= {0, 3}
    assert len(used) == 4 or criterion in ("certainty", "margin")  # of random heads some are never the surest


@pytest.mark.parametrize("criterion", CRITERIA)
def test_no_sample_leaves_later_when_the_threshold_rises(subject, criterion):
    shares = (0.05, 0.4, 0.6, 0.9)  # so far apart that they cannot have one threshold
    found = [run(subject, Policy(criterion, between(subject[3], criterion, share))).layers for share in shares]
    assert all((later <= earlier).all() for earlier, later in itertools.pairwise(found))
    assert found[0].mean() > found[1].mean() > found[-1].mean()


@pytest.mark.parametrize("policy", [("entropy", 0.3), ("certainty", 0.5), ("patience", 1)])
def test_nothing_depends_on_batch_size_or_pool(subject, policy):
    criterion, at = policy
    policy = Policy(criterion, at if criterion == "patience" else between(subject[3], criterion, at))
    first = run(subject, policy, 1, 1)
    assert len(set(first.layers)) > 1
    for batch_size, pool in ((32, 1), (32, 8), (7, 1), (7, 3), (5, 100), (COUNT, 2)):
        found = run(subject, policy, batch_size, pool)
        np.testing.assert_array_equal(found.layers, first.layers)
        np.testing.assert_allclose(found.logits, first.logits, atol=1e-4)


def test_only_the_exits_that_are_asked_answer(subject):
    outputs = subject[3]
    model, exits, data, _ = subject
    policy = Policy("entropy", between(outputs, "entropy", 0.6))
    with Calls(model, exits) as calls:
        found = answer(model, exits, policy, data, 8, 0, ask=(1,))
    places = np.asarray([1, 3])[first_exits(policy, outputs.logits[[1, 3]], None)]
    np.testing.assert_array_equal(found.layers, np.asarray(outputs.layers)[places])
    assert len(set(places)) == 2
    assert not calls.heads[0]
    assert not calls.heads[3]
    assert sum(calls.heads[2]) == COUNT


class Calls:
    """Batch sizes that each layer and each head saw."""

    def __init__(self, model, exits):
        self.layers = {i: [] for i in range(len(encoder_layers(model)))}
        self.heads = {layer: [] for layer in exits.layout.layers}
        self.own = []
        targets = [(layer, self.layers[i]) for i, layer in enumerate(encoder_layers(model))]
        targets += [(exits.heads[str(layer)], seen) for layer, seen in self.heads.items()]
        targets += [(model.classifier, self.own)]
        self.hooks = [
            target.register_forward_pre_hook(lambda _, inputs, seen=seen: seen.append(inputs[0].shape[0]))
            for target, seen in targets
        ]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for hook in self.hooks:
            hook.remove()


def test_batches_stay_full_when_samples_leave(subject):
    model, exits, _, outputs = subject
    policy = Policy("entropy", between(outputs, "entropy", 0.3))
    places = first_exits(policy, outputs.logits, None)
    with Calls(model, exits) as calls:
        run(subject, policy, batch_size=8, pool=100)
    segment_of = [0, 1, 1, 2, 3]  # exits after layers 0, 2 and 3
    for layer, seen in calls.layers.items():
        active = int((places >= segment_of[layer]).sum())
        assert sum(seen) == active, layer
        assert len(seen) == -(-active // 8), layer
    assert sum(calls.heads[0]) == COUNT
    assert sum(calls.heads[3]) == (places >= 2).sum()
    assert sum(calls.own) == (places == 3).sum()  # the model's own classifier answers the last layer alone
    with Calls(model, exits) as calls:
        run(subject, policy, batch_size=8, pool=1)
    assert max(map(len, calls.layers.values())) == 6
    assert sum(calls.layers[4]) == (places == 3).sum()


def test_no_head_runs_when_nobody_can_leave(subject):
    with Calls(*subject[:2]) as calls:
        run(subject, Policy("entropy", 0.0))
    assert not any(calls.heads.values())
    assert sum(calls.own) == COUNT


def test_predicted_exits_run_so_many_layers_and_one_head(subject):
    model, exits, data, outputs = subject
    places = np.random.default_rng(0).integers(0, 4, COUNT)
    with Calls(model, exits) as calls:
        found = answer_at(model, exits, places, data, 8, 0)
    layers = np.asarray(outputs.layers)[places]
    np.testing.assert_array_equal(found.layers, layers)
    np.testing.assert_allclose(found.logits, outputs.logits[places, np.arange(COUNT)], atol=1e-4)
    heads = [*calls.heads.values(), calls.own]
    assert [sum(seen) for seen in heads] == np.bincount(places, minlength=4).tolist()
    assert sum(map(sum, heads)) == COUNT  # one head per sample
    assert [sum(seen) for seen in calls.layers.values()] == [(layers > i).sum() for i in range(5)]
    for count, seen in zip(np.bincount(places, minlength=4), heads):
        assert len(seen) == -(-count // 8)  # full batches
    for batch_size in (1, 32):
        again = answer_at(model, exits, places, data, batch_size, 0)
        np.testing.assert_allclose(again.logits, found.logits, atol=1e-4)


def test_predicting_the_last_exit_is_the_full_model(subject):
    model, exits, data, _ = subject
    found = answer_at(model, exits, np.full(COUNT, 3), data, 8, 0)
    np.testing.assert_array_equal(found.logits, stock_logits(model, data, 8))


@pytest.mark.slow
def test_graphs_are_static(subject, tmp_path):
    """A graph per depth, and one per segment, exported by Paddle and run without the Python code."""
    model, exits, data, outputs = subject
    ids = [paddle.static.InputSpec([None, None], "int64", name) for name in ("input_ids", "token_type_ids")]
    batch = next(eval_batches(data, COUNT, 0))
    tensors = to_tensors(batch)
    for place, depth in enumerate(depths(model, exits)):
        graph = UpTo(model, exits, depth)
        graph.eval()
        paddle.jit.save(paddle.jit.to_static(graph, input_spec=ids), str(tmp_path / f"depth{depth}"))
        static = paddle.jit.load(str(tmp_path / f"depth{depth}"))
        logits = static(tensors.input_ids, tensors.token_type_ids).numpy()
        np.testing.assert_allclose(logits, outputs.logits[place][batch.index], atol=1e-4)
    hidden = paddle.static.InputSpec([None, None, 32], "float32", "hidden")
    mask = paddle.static.InputSpec([None, 1, 1, None], "float32", "mask")
    parts = [Entry(model), Segment(model, exits, 0, 1), Segment(model, exits, 1, 3), Segment(model, exits, 3, 5)]
    loaded = []
    for i, part in enumerate(parts):
        part.eval()
        spec = ids if i == 0 else [hidden, mask]
        paddle.jit.save(paddle.jit.to_static(part, input_spec=spec), str(tmp_path / f"part{i}"))
        loaded.append(paddle.jit.load(str(tmp_path / f"part{i}")))
    x, additive = loaded[0](tensors.input_ids, tensors.token_type_ids)
    for part, place in zip(loaded[1:], (0, 1, 3)):
        x, logits, certainty = part(x, additive)
        np.testing.assert_allclose(logits.numpy(), outputs.logits[place][batch.index], atol=1e-4)
        wanted = outputs.certainty[place][batch.index] if place < 3 else np.ones(COUNT)
        np.testing.assert_allclose(certainty.numpy(), wanted, atol=1e-5)


def test_segments_cover_every_layer_once(subject):
    model, exits = subject[:2]
    assert depths(model, exits) == (1, 3, 4, 5)
    parts = exit_graphs.segments(model, exits, depths(model, exits))
    assert [(part.begin, part.end, part.last) for part in parts] == [
        (0, 1, False),
        (1, 3, False),
        (3, 4, False),
        (4, 5, True),
    ]
