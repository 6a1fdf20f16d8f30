"""Several labels at once, from training to a bundle: losses, thresholds, exits, exports and what predict writes."""

import json

import numpy as np
import paddle
import pytest

import export_model
import run_glue
import run_glue_ofa
from helpers.handmade_bundle import change_manifest
from helpers.latency import by_size
from helpers.models import WORDS
from ofa_bert.__main__ import main
from ofa_bert.data.encoding.encoded import encode
from ofa_bert.data.sources import load_datasets
from ofa_bert.data.table_files import read_table
from ofa_bert.exits.criteria.registry import criterion
from ofa_bert.exits.policy import Policy
from ofa_bert.models.directories import load_model
from ofa_bert.models.exits.heads import load_exits
from ofa_bert.models.supernet import whole
from ofa_bert.runtime.predictor import Predictor
from ofa_bert.tasks.kinds.registry import kind_named
from ofa_bert.training.evaluation import predict, stock_forward, tuned
from ofa_bert.training.exits.answering import answer
from ofa_bert.training.exits.states import Frozen, collect
from ofa_bert.training.losses.exits import certainty_loss, exit_loss
from ofa_bert.training.losses.multilabel import LOSSES, soft_binary_cross_entropy

SETS = kind_named("multilabel")
ABOUT = {"blame": ("bad", "dull", "hated"), "film": ("film", "plot"), "praise": ("good", "bright", "liked")}
COMMON = "--device cpu --batch_size 16 --max_seq_length 32 --logging_steps 50".split()


def sigmoid(x):
    return 1 / (1 + np.exp(-x.astype(float)))


def logits_of(*shape, seed=0):
    return np.random.default_rng(seed).normal(0, 2, shape).astype("float32")


def cross_entropy(p, logits):
    q = sigmoid(logits)
    return -(p * np.log(q) + (1 - p) * np.log(1 - q))


def test_losses_are_the_formulas():
    logits, teacher = logits_of(6, 4), logits_of(6, 4, seed=1)
    there = (logits_of(6, 4, seed=2) > 0).astype("float32")
    tensors = [paddle.to_tensor(each) for each in (logits, teacher, there)]
    student, wanted, labels = tensors
    assert LOSSES.task(student, labels).item() == pytest.approx(cross_entropy(there, logits).mean(), rel=1e-5)
    soft = cross_entropy(sigmoid(teacher), logits).mean()
    assert LOSSES.logit(student, wanted).item() == pytest.approx(soft, rel=1e-5)
    warm = 4 * cross_entropy(sigmoid(teacher / 2), logits / 2).mean()
    assert soft_binary_cross_entropy(student, wanted, 2.0).item() == pytest.approx(warm, rel=1e-5)
    away = SETS.distance(teacher, logits)
    assert LOSSES.distance(student, wanted).item() == pytest.approx(away, rel=1e-4)
    assert LOSSES.distance(wanted, wanted).item() == pytest.approx(0, abs=1e-7)
    shared = 0.75 * LOSSES.task(student, labels).item() + 0.25 * away
    assert exit_loss(student, labels, wanted, 0.25, LOSSES).item() == pytest.approx(shared, rel=1e-5)


def test_an_answer_is_right_when_every_label_is():
    logits = paddle.to_tensor([[2.0, -1.0], [2.0, 1.0], [-1.0, -1.0]])
    labels = paddle.to_tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 0.0]])
    assert LOSSES.right(logits, labels).tolist() == [1.0, 0.0, 1.0]
    certain = paddle.to_tensor([0.5, 0.5, 1.0])
    assert certainty_loss(certain, logits, labels, LOSSES).item() == pytest.approx(0.5 / 3)


def test_the_teacher_of_a_distance_gets_no_gradient():
    student, teacher = paddle.to_tensor(logits_of(3, 2)), paddle.to_tensor(logits_of(3, 2, seed=1))
    student.stop_gradient = teacher.stop_gradient = False
    LOSSES.distance(student, teacher).backward()
    assert np.any(student.grad.numpy())
    assert teacher.grad is None


def write_sets(path, rows, seed):
    """Films, praised, blamed, both or neither: a label for each of three sorts of words; blame is rare."""
    rng = np.random.default_rng(seed)
    filler = sorted(set(WORDS) - {word for words in ABOUT.values() for word in words})
    with open(path, "w") as file:
        for _ in range(rows):
            names = [name for name, share in zip(ABOUT, (0.12, 0.4, 0.5)) if rng.random() < share]
            words = [*rng.choice(filler, rng.integers(3, 8)), *(rng.choice(ABOUT[name]) for name in names)]
            rng.shuffle(words)
            file.write(json.dumps({"text": " ".join(words), "label": names}) + "\n")


@pytest.fixture(scope="module")
def runs(tmp_path_factory, tiny_bert_dir):
    """teacher/, supernet/, exits/, policy/, dynamic/ and static/ of one small run of the commands."""
    root = tmp_path_factory.mktemp("sets")
    write_sets(root / "train.jsonl", 400, 1)
    write_sets(root / "dev.jsonl", 90, 2)
    data = ["--train_file", str(root / "train.jsonl"), "--dev_file", str(root / "dev.jsonl")]

    def trained(script, source, name, *words):
        line = [*data, *COMMON, "--model_name_or_path", str(source), "--output_dir", str(root / name)]
        assert script.main([*line, *" ".join(words).split()]) == 0

    trained(run_glue, tiny_bert_dir, "teacher", "--num_train_epochs 14 --learning_rate 3e-3 --save_steps 150")
    trained(
        run_glue_ofa, root / "teacher", "supernet", "--num_train_epochs 5 --learning_rate 1e-3 --save_steps 100",
        "--width_mult_list 1.0 0.5 --depth_mult_list 1.0 --layer_choice importance",
    )  # fmt: skip
    trained(
        run_glue_ofa, root / "supernet", "exits", "--exits geep --num_train_epochs 2 --learning_rate 5e-4",
        "--save_steps 50",
    )  # fmt: skip
    choice = ["exits", "--model_name_or_path", str(root / "exits"), "--output_dir", str(root / "policy"), *data]
    choice += "--device cpu --criterion entropy --exit_threshold 0.4 --repeats 1".split()
    assert main([*choice, *"--table_samples 100 --batch_sizes 8 --width_mult 0.5".split()]) == 0
    export = ["--model_name_or_path", str(root / "exits"), "--sub_model_output_dir", str(root / "dynamic")]
    export += ["--static_sub_model", str(root / "static"), "--exit_policy", str(root / "policy"), *data]
    export += "--onnx --precision fp32 int8 --device cpu --max_seq_length 32 --width_mult 0.5 --max_drop 20".split()
    assert export_model.main(export) == 0
    return root


def meta_of(runs, name):
    return json.loads((runs / name / "ofa_config.json").read_text())


@pytest.mark.slow
def test_it_learned_and_the_thresholds_come_from_the_held_out_part(runs):
    results = json.loads((runs / "teacher" / "results.json").read_text())
    assert results["best"]["scores"]["micro_f1"] > 0.85
    assert set(results["best"]["scores"]) == {"score", "micro_f1", "macro_f1", "exact_match"}
    model, tokenizer, record = load_model(runs / "teacher" / "best")
    model.eval()
    data = load_datasets(train_file=runs / "train.jsonl", dev_file=runs / "dev.jsonl")
    from ofa_bert.data.held_out import held_out_count, split_holdout

    count = held_out_count(400, SETS.held_out_share)
    _, held = split_holdout(400, count, record.seed)
    assert len(held) == 40
    encoded = encode([data.train[i] for i in held], tokenizer, 32, progress=False)
    again = tuned(data.task, model, [stock_forward(model)], encoded, tokenizer.pad_token_id)
    assert record.task.thresholds == pytest.approx(again.thresholds, abs=1e-4)
    dev = encode(data.dev["dev"], tokenizer, 32, progress=False)
    logits = predict(stock_forward(model), dev, 3, tokenizer.pad_token_id)
    assert record.scores["micro_f1"] == pytest.approx(
        SETS.metrics["micro_f1"](SETS.predictions(logits, again.thresholds), dev.labels)
    )


@pytest.mark.slow
def test_the_thresholds_go_along_to_the_bundle(runs):
    own = [meta_of(runs, name)["task"] for name in ("teacher/best", "supernet/best", "exits/best", "dynamic")]
    manifest = json.loads((runs / "static" / "manifest.json").read_text())
    for task in (*own, manifest["task"]):
        assert task["kind"] == "multilabel"
        assert len(task["thresholds"]) == 3
        assert task["labels"] == list(ABOUT)
    assert own[2] == own[3] == manifest["task"]
    assert manifest["exits"]["chosen"]["policy"]["kind"] == "multilabel"
    assert manifest["exits"]["criterion"] == "normalised"
    assert all(model["argmax_agreement"] > 0.8 for model in manifest["models"])


def texts_of(runs):
    return [json.loads(line)["text"] for line in (runs / "dev.jsonl").read_text().splitlines()]


def dynamic_logits(runs):
    model, tokenizer, record = load_model(runs / "dynamic")
    model.eval()
    data = load_datasets(train_file=runs / "train.jsonl", dev_file=runs / "dev.jsonl")
    encoded = encode(data.dev["dev"], tokenizer, 32, progress=False)
    return predict(stock_forward(model), encoded, 3, tokenizer.pad_token_id), encoded, model, tokenizer, record


@pytest.mark.slow
def test_the_predictor_gives_the_sets_of_the_dynamic_model(runs):
    logits, encoded, *_, record = dynamic_logits(runs)
    task = record.task
    wanted = SETS.answers(logits.astype(float), task.labels, task.thresholds)
    with Predictor(runs / "static", "onnx_runtime", threads=1) as predictor:
        found = predictor.predict(texts_of(runs))
    assert [each.labels for each in found] == [each.labels for each in wanted]
    assert {len(each.labels) for each in found} >= {0, 1, 2}
    for own, other in zip(found, wanted):
        assert own.label is own.value is own.probability is None
        assert own.probabilities == pytest.approx(other.probabilities, abs=1e-4)
    with Predictor(runs / "static", "onnx_runtime", precision="int8", threads=1) as predictor:
        near = predictor.predict(texts_of(runs))
    same = [own.labels == other.labels for own, other in zip(near, wanted)]
    assert np.mean(same) > 0.85
    predictions = np.asarray([[label in each.labels for label in ABOUT] for each in near])
    assert SETS.metrics["micro_f1"](predictions, encoded.labels) > 0.75


@pytest.mark.slow
def test_early_exits_of_the_bundle_are_those_of_the_dynamic_model(runs):
    logits, encoded, model, tokenizer, record = dynamic_logits(runs)
    exits = load_exits(runs / "dynamic", record, model)
    exits.eval()
    with Predictor(runs / "static", "onnx_runtime", threads=1, exit_threshold=0.0) as predictor:
        np.testing.assert_allclose(predictor.logits(texts_of(runs)), logits, atol=1e-4)
    outputs = collect(Frozen(model, encoded, {}, tokenizer.pad_token_id), exits, whole(model))
    each = criterion("normalised").uncertainty(SETS.decisions(outputs.logits[:-1]), None).max(-1)  # [E, N]
    policy = Policy("normalised", float(np.quantile(each.min(0), 0.5)), kind="multilabel")
    wanted = answer(model, exits, policy, encoded, 16, tokenizer.pad_token_id)
    assert len(set(wanted.layers.tolist())) > 1
    by = {"exit_threshold": policy.threshold, "exit_criterion": "normalised"}
    with Predictor(runs / "static", "onnx_runtime", threads=1, **by) as predictor:
        found = predictor.predict(texts_of(runs))
    same = np.asarray([each.exit_layer for each in found]) == wanted.layers
    assert same.mean() > 0.97  # a rounding may decide for a sample at the very threshold
    sets = SETS.answers(wanted.logits.astype(float), tuple(ABOUT), record.task.thresholds)
    assert all(own.labels == other.labels for own, other, at in zip(found, sets, same) if at)
    for mode in ("threshold", "predicted"):
        by = {"exit_threshold": "policy", "exit_mode": mode}
        with Predictor(runs / "static", "onnx_runtime", threads=1, **by) as predictor:
            assert len(predictor.predict(texts_of(runs))) == 90


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".tsv", ".jsonl"])
def test_what_predict_writes_trains_again(runs, tmp_path, suffix, capsys):
    texts = texts_of(runs)
    lines = ["text", *texts] if suffix == ".tsv" else [json.dumps({"text": text}) for text in texts]
    (tmp_path / f"in{suffix}").write_text("\n".join(lines) + "\n")
    line = f"predict --bundle {runs / 'static'} --input {tmp_path / 'in'}{suffix} --output {tmp_path / 'out'}{suffix}"
    assert main([*line.split(), "--threads", "1", "--all_probabilities"]) == 0
    assert "90 rows written" in capsys.readouterr().out
    out = tmp_path / f"out{suffix}"
    table = read_table(out)
    assert table.header[1:] == ("predicted_labels", *(f"probability_{name}" for name in ABOUT))
    how = {"label_separator": "|"} if suffix == ".tsv" else {}
    data = load_datasets(train_file=out, dev_file=out, label_columns=["predicted_labels"], labels=list(ABOUT), **how)
    with Predictor(runs / "static", threads=1) as predictor:
        wanted = predictor.predict(texts)
    assert [{name for name, there in zip(ABOUT, each.label) if there} for each in data.train] == [
        set(each.labels) for each in wanted
    ]


@pytest.mark.slow
def test_labels_that_a_table_cannot_hold_are_refused(runs, tmp_path, capsys):
    import shutil

    bundle = shutil.copytree(runs / "static", tmp_path / "bundle")
    manifest = json.loads((bundle / "manifest.json").read_text())
    labels = ["a|b", *manifest["labels"][1:]]
    change_manifest(bundle, task={**manifest["task"], "labels": labels}, labels=labels)
    for suffix, code in ((".csv", 2), (".jsonl", 0)):
        text = "text\nfilm\n" if suffix == ".csv" else '{"text": "film"}\n'
        (tmp_path / f"in{suffix}").write_text(text)
        line = f"predict --bundle {bundle} --input {tmp_path}/in{suffix} --output {tmp_path}/out{suffix} --threads 1"
        assert main(line.split()) == code
    assert "label 'a|b' holds '|', which stands between labels in .csv; use .jsonl" in capsys.readouterr().err


@pytest.mark.slow
def test_bench_scores_it(runs, capsys):
    line = f"bench --bundles {runs / 'static'} --backends onnx_runtime --precisions fp32 int8 --repeats 1 --threads 1"
    assert (
        main([*line.split(), *f"--output_dir {runs / 'bench'} --batch 1 --length 8 --seconds 0.1 --warmup 1".split()])
        == 0
    )
    assert "micro_f1" in capsys.readouterr().out


@pytest.mark.slow
def test_a_model_of_classes_is_not_taken_for_one_of_sets(runs, tmp_path, capsys):
    rows = [json.dumps({"text": "film", "label": name}) for name in (*ABOUT, *ABOUT)]
    (tmp_path / "x.jsonl").write_text("\n".join(rows) + "\n")
    data = ["--train_file", str(tmp_path / "x.jsonl"), "--dev_file", str(tmp_path / "x.jsonl")]
    line = [*data, *COMMON, "--model_name_or_path", str(runs / "teacher"), "--output_dir", str(tmp_path / "out")]
    assert run_glue_ofa.main(line) == 2
    error = capsys.readouterr().err
    assert "(multilabel), but this run is for custom with ['blame', 'film', 'praise'] (classes)" in error


def data_of(runs):
    return ["--train_file", str(runs / "train.jsonl"), "--dev_file", str(runs / "dev.jsonl")]


@pytest.mark.slow
def test_the_recipe_distils_prunes_and_scores_with_each_models_thresholds(runs, tmp_path):
    line = ["recipe", *data_of(runs), *COMMON, "--teacher", str(runs / "teacher"), "--student", "2,4,32,64"]
    line += "--max_steps 40 --learning_rate 2e-3 --save_steps 20 --max_drop 40 --repeats 1 --samples 24".split()
    assert main([*line, "--workers", "0", "--output_dir", str(tmp_path / "recipe")]) == 0
    rows = json.loads((tmp_path / "recipe" / "rows.json").read_text())["rows"]
    manifests = [json.loads(path.read_text()) for path in tmp_path.glob("recipe/bundles/*/manifest.json")]
    assert len({tuple(manifest["task"]["thresholds"]) for manifest in manifests}) > 1
    teacher = json.loads((runs / "teacher" / "results.json").read_text())["best"]["score"]
    assert rows[0]["score"] == pytest.approx(teacher, abs=0.02)


@pytest.mark.slow
def test_the_search_reads_the_data_that_the_supernet_was_trained_on(runs, tmp_path):
    line = ["search", "--model", str(runs / "supernet"), "--output_dir", str(tmp_path / "search"), "--device", "cpu"]
    assert main([*line, *"--min_score 0.1 --trials 8 --population 4 --examples 16".split()]) == 0
    results = json.loads((tmp_path / "search" / "results.json").read_text())
    assert set(results["dev"]) == {"score", "micro_f1", "macro_f1", "exact_match"}


@pytest.mark.slow
def test_every_precision_of_a_trimmed_and_polished_model(runs, tmp_path):
    (tmp_path / "words.txt").write_text("\n".join(WORDS) + "\n")
    options = ["--model_name_or_path", str(runs / "supernet"), "--sub_model_output_dir", str(tmp_path / "d")]
    options += ["--static_sub_model", str(tmp_path / "s"), "--trim_vocab", str(tmp_path / "words.txt"), *data_of(runs)]
    options += "--precision fp32 fp16 int8 int8-static --onnx --fused --width_mult 0.5 --polish 1 --augment 0.2".split()
    assert export_model.main([*options, "--max_drop", "60", "--device", "cpu"]) == 0
    manifest = json.loads((tmp_path / "s" / "manifest.json").read_text())
    names = {model["name"]: model["argmax_agreement"] for model in manifest["models"]}
    assert set(names) >= {"onnx-fp32-fused", "onnx-fp16", "onnx-fp16-fused", "onnx-int8", "onnx-int8-static"}
    assert names["onnx-fp32-fused"] == 1
    assert len(manifest["task"]["thresholds"]) == len(ABOUT)
    with Predictor(tmp_path / "s", threads=1) as one, Predictor(tmp_path / "s", workers=2, batch_size=3) as several:
        texts = ["the film was good", "the plot was bad and dull", "they said"]
        assert [each.labels for each in one.predict(texts)] == [each.labels for each in several.predict(texts)]


@pytest.mark.slow
def test_tuning_and_a_family_of_speedups(runs, tiny_bert_dir, tmp_path):
    pytest.importorskip("optuna")
    line = ["tune", *data_of(runs), *COMMON[:2], "--max_seq_length", "32", "--model_name_or_path", str(tiny_bert_dir)]
    line += "--trials 2 --batch_sizes 16 --tune_share 0.2 --max_steps 3".split()
    assert main([*line, "--output_dir", str(tmp_path / "tuned")]) == 0
    supernet, table = str(runs / "supernet"), str(tmp_path / "table.json")
    few = "--models 2 --check 3 --repeats 3 --min_width 0.5 --length 16".split()
    assert main(["latency", "--model", supernet, "--output", table, *few]) == 0
    by_size(table)
    line = ["search", "--model", supernet, "--device", "cpu", "--latency_table", table, "--speedups", "1.05"]
    assert main([*line, *"--trials 10 --population 5".split(), "--output_dir", str(tmp_path / "found")]) == 0
    (member,) = json.loads((tmp_path / "found" / "results.json").read_text())["family"]
    assert member["difference"]["low"] <= member["difference"]["score"] <= member["difference"]["high"]
    line = ["search", "--model", supernet, "--device", "cpu", "--algorithm", "fptas", "--max_params", "30000"]
    assert main([*line, "--output_dir", str(tmp_path / "w")]) == 0
    served = ["export_serving", "--bundles", str(tmp_path / "found" / "x1.05" / "static"), "--threads", "1"]
    assert main([*served, "--output_dir", str(tmp_path / "served")]) == 0
