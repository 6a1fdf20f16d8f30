"""What configurations, records and data rule out is said in one line before Paddle is loaded, by every command."""

import json
import shutil

import pytest

import run_glue
import run_glue_ofa
from helpers.models import VOCABULARY
from ofa_bert import __main__ as commands
from ofa_bert.models import device
from ofa_bert.models.config_checks import _NEAR
from ofa_bert.tasks.glue import glue_task

CONFIG = {
    "model_type": "bert", "vocab_size": len(VOCABULARY), "hidden_size": 32, "num_hidden_layers": 3,
    "num_attention_heads": 4, "intermediate_size": 64, "max_position_embeddings": 64, "type_vocab_size": 2,
    "hidden_act": "gelu",
}  # fmt: skip


@pytest.fixture
def without_paddle(monkeypatch):
    """To set a device is the first thing for which Paddle is imported."""

    def fails(where):
        raise AssertionError("Paddle would be loaded")

    monkeypatch.setattr(device, "select_device", fails)


@pytest.fixture
def model(tmp_path):
    """Makes a directory that holds a configuration, a record and a vocabulary, and no weights."""

    def make(name="model", record=None, **config):
        directory = tmp_path / name
        directory.mkdir()
        (directory / "config.json").write_text(json.dumps({**CONFIG, **config}))
        (directory / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
        if record is not None:
            (directory / "ofa_config.json").write_text(json.dumps({"format": 1, **record}))
        return str(directory)

    return make


@pytest.fixture
def texts(tmp_path):
    """The options of a task of single texts, and of one of pairs."""
    single, pair = tmp_path / "single.tsv", tmp_path / "pair.tsv"
    single.write_text("text\tlabel\n" + "good\ta\nbad\tb\n" * 3)
    pair.write_text("sentence1\tsentence2\tlabel\n" + "good\tbad\ta\nbad\tbad\tb\n" * 3)
    return {path.stem: ["--train_file", str(path), "--dev_file", str(path)] for path in (single, pair)}


def refused(capsys, main, *words):
    assert main([str(word) for word in words]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    return line


def every_command(directory, output):
    """(main, words) of every command that starts from a model and trains it on a task."""
    out = ["--output_dir", output, "--device", "cpu"]
    plain = ["--model_name_or_path", directory, *out]
    pair = ["--teacher", directory, "--student", directory, *out]
    return {
        "run_glue": (run_glue.main, plain),
        "run_glue_ofa": (run_glue_ofa.main, plain),
        "exits": (run_glue_ofa.main, ["--exits", "joint", *plain]),
        "distil": (commands.main, ["distil", *pair]),
        "prune": (commands.main, ["prune", "--target_num_heads", 1, "--target_ffn_dim", 1, *plain]),
        "recipe": (commands.main, ["recipe", *pair]),
        "tune": (commands.main, ["tune", *plain]),
    }


COMMANDS = ["run_glue", "run_glue_ofa", "exits", "distil", "prune", "recipe", "tune"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_says_it_before_paddle_loads(command, model, texts, tmp_path, capsys, without_paddle):
    def said(name, data, *more, record=None, **config):
        main, words = every_command(model(name, record=record, **config), tmp_path / "out")[command]
        return refused(capsys, main, *words, "--max_seq_length", 32, *texts[data], *more)

    assert "has one token type" in said("types", "pair", type_vocab_size=1)
    assert "write gelu there" in said("act", "single", hidden_act="gelu_new")
    wrong = said("type", "single", "--model_type", "bert", model_type="roberta")
    assert "is a roberta model, not bert; use --model_type roberta" in wrong
    assert "is a xlnet model; supported are bert, ernie, roberta" in said("none", "single", model_type="xlnet")
    assert "has positions for 16 tokens" in said("long", "single", max_position_embeddings=16)
    task = glue_task("mnli").to_json()
    assert "was finetuned for task mnli" in (line := said("other", "single", record={"task": task}))
    assert "--fresh_head" in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_what_can_be_is_let_through(command, model, texts, tmp_path, without_paddle):
    """One token type does for single texts; as many tokens as positions; no config.json says nothing."""
    main, words = every_command(model(type_vocab_size=1, max_position_embeddings=32), tmp_path / "out")[command]
    with pytest.raises(AssertionError, match="Paddle would be loaded"):
        main([str(word) for word in [*words, "--max_seq_length", 32, *texts["single"]]])
    main, words = every_command("bert-base-uncased", tmp_path / "out")[command]
    with pytest.raises(AssertionError, match="Paddle would be loaded"):
        main([str(word) for word in [*words, *texts["pair"]]])


@pytest.mark.parametrize("command", ["distil", "recipe"])
def test_teacher_and_student_are_of_one_family(command, model, texts, tmp_path, capsys, without_paddle):
    teacher, student = model("teacher"), model("student", model_type="roberta")
    words = [command, "--teacher", teacher, "--student", student, "--output_dir", tmp_path / "out", "--device", "cpu"]
    line = refused(capsys, commands.main, *words, "--max_seq_length", 32, *texts["single"])
    assert f"{student}: is a roberta model, not bert" in line


def test_a_model_without_token_types_names_the_cure(model, texts, tmp_path, capsys, without_paddle):
    line = refused(
        capsys, run_glue.main, "--model_name_or_path", model(type_vocab_size=1), "--output_dir", tmp_path / "out",
        "--device", "cpu", "--max_seq_length", 32, *texts["pair"],
    )  # fmt: skip
    assert "the two texts of custom (sentence1 and sentence2)" in line
    assert "a model with two token types" in line
    assert "--text_columns" in line


def test_roberta_s_byte_pairs_have_one_token_type_and_take_pairs(model, texts, tmp_path, without_paddle):
    directory = tmp_path / "model"
    model(type_vocab_size=1, model_type="roberta", max_position_embeddings=64, pad_token_id=1)
    (directory / "vocab.txt").unlink()
    (directory / "vocab.json").write_text("{}")
    words = ["--model_type", "roberta", "--model_name_or_path", str(directory), "--output_dir", str(tmp_path / "out")]
    with pytest.raises(AssertionError, match="Paddle would be loaded"):
        run_glue.main([*words, "--max_seq_length", "62", *texts["pair"]])


def test_roberta_s_positions_count_from_after_the_padding(model, texts, tmp_path, capsys, without_paddle):
    words = ["--model_type", "roberta", "--output_dir", tmp_path / "out", "--device", "cpu", *texts["single"]]
    directory = model(model_type="roberta", max_position_embeddings=64, pad_token_id=1)
    line = refused(capsys, run_glue.main, "--model_name_or_path", directory, "--max_seq_length", 63, *words)
    assert "--max_seq_length 63: the model has positions for 62 tokens" in line


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ("--exits geep --geep_exit_num 8", "--geep_exit_num 8: must be from 1 to 2, one less than the layers"),
        ("--exits deebert --exit_layers 1 2", "--exit_layers 2: an exit hangs after one of the layers 0 1;"),
    ],
)
def test_exits_after_layers_that_the_model_has_not(words, part, model, texts, tmp_path, capsys, without_paddle):
    line = [
        "--model_name_or_path",
        model(),
        "--output_dir",
        tmp_path / "out",
        "--max_seq_length",
        32,
        "--device",
        "cpu",
    ]
    assert part in refused(capsys, run_glue_ofa.main, *words.split(), *line, *texts["single"])


def test_exits_of_a_model_with_one_layer(model, texts, tmp_path, capsys, without_paddle):
    line = ["--model_name_or_path", model(num_hidden_layers=1), "--output_dir", tmp_path / "out"]
    line += ["--exits", "deebert", "--max_seq_length", 32, "--device", "cpu", *texts["single"]]
    assert "has one layer" in refused(capsys, run_glue_ofa.main, *line)


@pytest.mark.parametrize("command", ["distil", "recipe"])
@pytest.mark.parametrize(
    ("shape", "part"),
    [
        ("4,4,32,64", "--student 4,4,32,64: 4 layers, and the teacher has 3; ask for 1 to 3"),
        ("3,8,32,64", "8 heads, and the teacher has 4 in its narrowest layer; ask for 1 to 4"),
        ("3,4,32,65", "65 FFN neurons, and the teacher has 64"),
        ("3,4,64,64", "hidden size 64 cannot be cut from a teacher of 32"),
    ],
)
def test_a_shape_that_cannot_be_cut(command, shape, part, model, texts, tmp_path, capsys, without_paddle):
    words = ["--teacher", model(), "--student", shape, "--output_dir", tmp_path / "out", "--device", "cpu"]
    assert part in refused(capsys, commands.main, command, *words, "--max_seq_length", 32, *texts["single"])


def test_a_sub_model_has_what_its_record_says(model, texts, tmp_path, capsys, without_paddle):
    shape = {
        "num_layers": 3, "hidden_size": 32, "num_heads": 4, "head_dim": 8, "ffn_size": 64, "vocab_size": 24,
        "max_positions": 64, "type_vocab_size": 2, "num_labels": 2,
    }  # fmt: skip
    record = {"shape": shape, "sub_model": {"layers": [0, 2], "heads": [4, 2], "ffn": [10, 64]}}
    words = ["--model_name_or_path", model(record=record), "--output_dir", tmp_path / "out", "--device", "cpu"]
    words += ["--target_num_heads", 3, "--target_ffn_dim", 11, "--max_seq_length", 32, *texts["single"]]
    line = refused(capsys, commands.main, "prune", *words)
    assert "--target_num_heads 3: 3 heads, and" in line
    assert "has 2 in its narrowest layer" in line
    assert "--target_ffn_dim 11: 11 FFN neurons, and" in line


def test_what_is_pruned_from_a_student_that_has_less(model, texts, tmp_path, capsys, without_paddle):
    words = ["--teacher", model(), "--student", "2,3,32,40", "--output_dir", tmp_path / "out", "--device", "cpu"]
    words += ["--max_seq_length", 32, *texts["single"]]
    line = refused(capsys, commands.main, "recipe", *words, "--target_num_heads", 4)
    assert "--target_num_heads 4: the student has 3; ask for 1 to 3" in line
    line = refused(capsys, commands.main, "recipe", *words, "--target_ffn_dim", 41)
    assert "--target_ffn_dim 41: the student has 40" in line


def test_a_shape_that_pre_training_cannot_start(model, tmp_path, capsys, without_paddle):
    (tmp_path / "corpus.txt").write_text("a film\n" * 20)
    words = ["pretrain", "--teacher", model(), "--corpus", tmp_path / "corpus.txt", "--output_dir", tmp_path / "out"]
    words += ["--device", "cpu", "--max_seq_length", 32]
    line = refused(capsys, commands.main, *words, "--initialise", "teacher", "--shape", "4,4,64,64")
    assert "layers 4, and it has 3; hidden size 64, and it has 32" in line
    line = refused(capsys, commands.main, *words, "--shape", "4,3,64,64")
    assert "3 heads do not divide hidden size 64" in line
    line = refused(capsys, commands.main, *words[:-1], 65, "--shape", "2,4,32,64")
    assert "--max_seq_length 65: the teacher has positions for 64 tokens" in line


def test_a_pointer_instead_of_a_configuration(model, texts, tmp_path, capsys, without_paddle):
    directory = model()
    (tmp_path / "model" / "config.json").write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:a\nsize 1\n"
    )
    line = ["--model_name_or_path", directory, "--output_dir", tmp_path / "out", "--device", "cpu", *texts["single"]]
    assert "run `git lfs pull`" in refused(capsys, run_glue.main, *line)


def test_how_near_gelu_is_to_what_others_call_so():
    """The differences that the message names, measured."""
    import math

    def gelu(x):
        return x * (1 + math.erf(x / math.sqrt(2))) / 2

    def tanh(x):
        return x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2

    def quick(x):
        return x / (1 + math.exp(-1.702 * x))

    others = {"gelu_new": tanh, "gelu_fast": tanh, "gelu_pytorch_tanh": tanh, "gelu_python": gelu, "quick_gelu": quick}
    assert set(_NEAR) == set(others)
    for name, other in others.items():
        found = max(abs(gelu(i / 100) - other(i / 100)) for i in range(-800, 801))
        assert 0.9 * float(_NEAR[name][1]) <= found <= float(_NEAR[name][1])


@pytest.mark.slow
def test_the_loader_says_the_same_of_what_a_configuration_leaves_open(tiny_bert_dir, glue_dir, tmp_path, capsys):
    """One token type in the weights, and a tokenizer.json alone, of which nothing is said early."""
    from paddlenlp.transformers import BertConfig, BertModel, BertTokenizer

    from ofa_bert.data.tokenization.tokenizer_files import read_tokenizer
    from ofa_bert.errors import UserError
    from ofa_bert.models.directories import load_model
    from ofa_bert.tasks.task import Task

    directory = tmp_path / "one"
    shutil.copytree(tiny_bert_dir, directory)
    read_tokenizer(directory, "bert").save_pretrained(directory)
    for name in ("vocab.txt", "config.json"):
        (directory / name).unlink()
    for path in directory.glob("*.pdparams"):
        path.unlink()
    config = BertConfig(
        vocab_size=len(VOCABULARY), hidden_size=32, num_hidden_layers=1, num_attention_heads=4, intermediate_size=64,
        max_position_embeddings=64, type_vocab_size=1,
    )  # fmt: skip
    BertModel(config).save_pretrained(str(directory))
    assert BertTokenizer.resource_files_names["vocab_file"] == "vocab.txt"
    pairs = Task("t", ("0", "1"), ("accuracy",), ("a", "b"))
    with pytest.raises(UserError, match=r"has one token type .* texts of t \(a and b\) apart"):
        load_model(directory, num_labels=2, task=pairs)
    single = Task("t", ("0", "1"), ("accuracy",), ("a",))
    assert load_model(directory, num_labels=2, task=single)[0].config.type_vocab_size == 1


def test_depths_that_an_encoder_cannot_be_pre_trained_in(model, tmp_path, capsys, without_paddle):
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("a film\n" * 20)
    (tmp_path / "latin.txt").write_bytes("a film\nna\xefve\n".encode("latin-1"))
    sub_model = {"layers": [0, 1], "heads": [4, 4], "ffn": [64, 64]}
    shape = {
        "num_layers": 3, "hidden_size": 32, "num_heads": 4, "head_dim": 8, "ffn_size": 64, "vocab_size": 40,
        "max_positions": 64, "type_vocab_size": 2, "num_labels": 2,
    }  # fmt: skip
    small = model("small", {"kind": "sub_model", "shape": shape, "sub_model": sub_model})
    gpt = model("gpt", model_type="gpt2")
    encoder = model()
    for words, wanted in (
        (["--held_out", 11], "has 20 texts; 11 of them cannot be held out"),
        (["--corpus", tmp_path / "none.txt"], "none.txt: no such file"),
        (["--corpus", tmp_path / "latin.txt"], "line 2: not UTF-8"),
        (["--max_seq_length", 65], "--max_seq_length 65: the encoder has positions for 64 tokens"),
        (["--relation_heads", 5], "--relation_heads 5: must divide the 32 features of queries and keys; the next"),
        (["--relation_heads", 64], "the next below is 32"),
        (["--depth_mult_list", 1.0, 0.9999999], "keeps all 3 layers"),
        (["--depth_mult_list", 1.0, 0], "--depth_mult_list 0.0: must be above 0"),
        (["--model_name_or_path", small], "is an exported sub-model; name the encoder"),
        (["--model_name_or_path", gpt], "is a gpt2 model; supported are"),
        (["--model_name_or_path", tmp_path / "nothing"], "there is no such directory"),
        (["--teacher", encoder], "--teacher: is about the pre-training of a shape; leave it out with --elastic"),
    ):
        base = [
            "pretrain",
            "--elastic",
            "--model_name_or_path",
            encoder,
            "--corpus",
            corpus,
            "--held_out",
            5,
            "--max_seq_length",
            32,
        ]
        line = refused(capsys, commands.main, *base, "--output_dir", tmp_path / "out", "--device", "cpu", *words)
        assert wanted in line, (words, line)
    words = ["--teacher", encoder, "--shape", "1,4,32,64", "--corpus", corpus, "--output_dir", tmp_path / "out"]
    line = refused(capsys, commands.main, "pretrain", *words, "--relation_weight", 2)
    assert "--relation_weight: is about --elastic; give that too" in line
