import numpy as np
import pytest

from helpers.tokenizer_files import write_vocabulary
from ofa_bert.data.encoding.batches import TrainBatches, eval_batches
from ofa_bert.data.encoding.encoded import Encoded, encode
from ofa_bert.data.held_out import split_holdout
from ofa_bert.data.tokenization.tokenizer_files import read_tokenizer
from ofa_bert.errors import UserError
from ofa_bert.tasks.task import Example

PAD, PAD_TYPE = 7, 3


def encoded(n, seed=0, longest=60):
    """n examples of random length; token ids spell out which example they belong to."""
    lengths = np.random.default_rng(seed).integers(3, longest, n)
    ids = [np.full(length, 1000 + i, dtype=np.int64) for i, length in enumerate(lengths)]
    types = [np.arange(length) % 2 for length in lengths]
    return Encoded(ids, types, np.arange(n, dtype=np.int64))


def assert_padded(batch, data):
    longest = max(len(data.input_ids[i]) for i in batch.index)
    assert batch.input_ids.shape == batch.token_type_ids.shape == (len(batch.index), longest)
    assert batch.input_ids.dtype == batch.token_type_ids.dtype == batch.index.dtype == np.int64
    for row, i in enumerate(batch.index):
        length = len(data.input_ids[i])
        assert (batch.input_ids[row, :length] == data.input_ids[i]).all()
        assert (batch.input_ids[row, length:] == PAD).all()
        assert (batch.token_type_ids[row, :length] == data.token_type_ids[i]).all()
        assert (batch.token_type_ids[row, length:] == PAD_TYPE).all()
        assert batch.labels[row] == data.labels[i]


def make(data, size, seed=5, **more):
    return TrainBatches(data, size, seed, PAD, pad_type_id=PAD_TYPE, **more)


@pytest.mark.parametrize("bucket", [True, False])
def test_an_epoch_holds_every_example_and_full_batches(bucket):
    data = encoded(103)
    batches = make(data, 8, bucket=bucket)
    found = list(batches.epoch(0))
    assert len(found) == batches.steps_per_epoch == 13
    for batch in found:
        assert len(batch.index) == 8
        assert_padded(batch, data)
    counts = np.bincount(np.concatenate([batch.index for batch in found]), minlength=103)
    assert counts.min() == 1
    assert counts.max() == 2
    assert (counts == 2).sum() == 13 * 8 - 103


def test_fewer_examples_than_a_batch():
    (batch,) = make(encoded(3), 8).epoch(0)
    assert sorted(np.bincount(batch.index)) == [2, 3, 3]


def test_same_seed_and_epoch_same_batches_else_others():
    def order(seed, epoch):
        return np.concatenate([batch.index for batch in make(encoded(103), 8, seed).epoch(epoch)]).tolist()

    assert order(5, 1) == order(5, 1)
    assert len({tuple(order(*key)) for key in ((5, 0), (5, 1), (6, 0), (6, 1))}) == 4


def test_asking_twice_or_out_of_order_changes_nothing():
    batches = make(encoded(60), 8)
    first = [batch.index.tolist() for batch in batches.epoch(2)]
    list(batches.epoch(0))
    assert [batch.index.tolist() for batch in batches.epoch(2)] == first


@pytest.mark.parametrize("start", [0, 1, 5, 13])
def test_resuming_skips_exactly_the_first_batches(start):
    batches = make(encoded(103), 8)
    whole = [batch.index.tolist() for batch in batches.epoch(3)]
    assert [batch.index.tolist() for batch in batches.epoch(3, start)] == whole[start:]


@pytest.mark.parametrize("world", [2, 3])
@pytest.mark.parametrize("bucket", [True, False])
def test_ranks_see_together_what_one_process_sees(world, bucket):
    data = encoded(103)
    alone = make(data, 4 * world, bucket=bucket)
    ranks = [make(data, 4, rank=rank, world=world, bucket=bucket) for rank in range(world)]
    assert all(rank.steps_per_epoch == alone.steps_per_epoch for rank in ranks)
    steps = zip(alone.epoch(1), *(rank.epoch(1) for rank in ranks))
    for together, *parts in steps:
        assert all(len(part.index) == 4 for part in parts)
        assert sorted(together.index) == sorted(np.concatenate([part.index for part in parts]))
        for part in parts:
            assert_padded(part, data)


def test_buckets_save_padding_and_stay_shuffled():
    data = encoded(4000)
    lengths = np.array([len(ids) for ids in data.input_ids])

    def padding(bucket):
        cells = sum(batch.input_ids.size for batch in make(data, 16, bucket=bucket).epoch(0))
        return cells / lengths.sum() - 1

    assert padding(False) > 0.5
    assert padding(True) < 0.05
    # Neither the batches of an epoch nor those of a pool come sorted by length.
    means = [lengths[batch.index].mean() for batch in make(data, 16).epoch(0)]
    assert abs(np.corrcoef(means[:-1], means[1:])[0, 1]) < 0.3


def test_eval_batches_hold_every_example_once_longest_first():
    data = encoded(103)
    batches = list(eval_batches(data, 8, PAD, PAD_TYPE))
    assert sorted(np.concatenate([batch.index for batch in batches])) == list(range(103))
    lengths = [batch.input_ids.shape[1] for batch in batches]
    assert lengths == sorted(lengths, reverse=True)
    assert len(batches) == 13
    for batch in batches:
        assert_padded(batch, data)


def test_select():
    part = encoded(20).select(np.array([4, 2, 2]))
    assert len(part) == 3
    assert part.labels.tolist() == [4, 2, 2]
    assert [ids[0] for ids in part.input_ids] == [1004, 1002, 1002]
    assert len(encoded(20).select([])) == 0


def test_split_holdout():
    rest, held = split_holdout(100, 30, seed=1)
    assert len(held) == 30
    assert sorted([*rest, *held]) == list(range(100))
    assert (np.diff(rest) > 0).all()
    assert (np.diff(held) > 0).all()
    assert split_holdout(100, 30, seed=1)[1].tolist() == held.tolist() != split_holdout(100, 30, seed=2)[1].tolist()
    assert split_holdout(100, 30, seed=1)[1].tolist() != list(range(30))


@pytest.mark.parametrize("count", [-1, 10, 11])
def test_split_holdout_leaves_something_to_train_on(count):
    with pytest.raises(UserError, match=f"hold out {count} of 10"):
        split_holdout(10, count, seed=0)


@pytest.fixture(scope="module", params=["tokenizer.json", "paddlenlp"])
def tokenizer(request, tmp_path_factory):
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "c", "d"]
    directory = write_vocabulary(tmp_path_factory.mktemp("vocab"), words)
    if request.param == "tokenizer.json":
        return read_tokenizer(directory, "bert")
    transformers = pytest.importorskip("paddlenlp.transformers")
    return transformers.BertTokenizer(str(directory / "vocab.txt"))


def test_encode_single_texts(tokenizer):
    texts = ["a b", "c", "d " * 30] * 300  # more than one call of the tokenizer
    data = encode([Example(text, None, i % 2) for i, text in enumerate(texts)], tokenizer, 10, progress=False)
    assert len(data) == 900
    assert data.input_ids[0].tolist() == [2, 5, 6, 3]
    assert data.input_ids[898].tolist() == [2, 7, 3]
    assert data.input_ids[2].tolist() == [2] + [8] * 8 + [3]
    assert data.token_type_ids[2].tolist() == [0] * 10
    assert data.labels.dtype == np.int64
    assert data.labels[:4].tolist() == [0, 1, 0, 1]


def test_encode_pairs_cuts_the_longer_text(tokenizer):
    examples = [Example("a " * 20, "b b", 0.5), Example("a a", "b " * 20, 2.0), Example("a", "b", 1.0)]
    data = encode(examples, tokenizer, 9, progress=False)
    assert data.input_ids[0].tolist() == [2, 5, 5, 5, 5, 3, 6, 6, 3]
    assert data.input_ids[1].tolist() == [2, 5, 5, 3, 6, 6, 6, 6, 3]
    assert data.token_type_ids[1].tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 1]
    assert data.token_type_ids[2].tolist() == [0, 0, 0, 1, 1]
    assert data.labels.dtype == np.float32
    assert data.labels.tolist() == [0.5, 2.0, 1.0]


class OfPaddleNLP:
    """Called as PaddleNLP's tokenizers are; a text has an id for each of its letters."""

    def __call__(self, text, text_pair=None, **asked):
        rows = [
            [ord(letter) for letter in first + second] for first, second in zip(text, text_pair or [""] * len(text))
        ]
        return {"input_ids": rows, "token_type_ids": [[0] * len(row) for row in rows]}


def test_paddlenlp_is_given_texts_or_pairs_never_both():
    single, pair = Example("ab", None, 0), Example("c", "d", 0)
    assert encode([single], OfPaddleNLP(), 8, progress=False).input_ids[0].tolist() == [97, 98]
    assert encode([pair], OfPaddleNLP(), 8, progress=False).input_ids[0].tolist() == [99, 100]
    for mixed in ([single, pair], [pair, single]):
        with pytest.raises(ValueError, match="texts and pairs"):
            encode(mixed, OfPaddleNLP(), 8, progress=False)
