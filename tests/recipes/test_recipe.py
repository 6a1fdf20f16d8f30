"""The FastFormers chain in small: every stage, what is kept, what is measured and what is said about it."""

import json
import shlex
import shutil

import numpy as np
import paddle
import pytest

import run_glue
from helpers.directories import encoder_dir
from helpers.models import VOCABULARY, build
from ofa_bert import __main__ as commands
from ofa_bert import options
from ofa_bert.cli.parser import parse
from ofa_bert.data.encoding.encoded import encode
from ofa_bert.data.sources import load_datasets
from ofa_bert.export.onnx.form import Form
from ofa_bert.export.onnx.writer import write
from ofa_bert.files.weights import read_weights
from ofa_bert.models.directories import load_model
from ofa_bert.recipes import fastformers, timing
from ofa_bert.recipes.jobs import RecipeJob
from ofa_bert.recipes.report import cost_line, printable, waterfall_figure, write_report
from ofa_bert.recipes.timing import EAGER, Contender, TimingPlan, batches_of
from ofa_bert.runtime.opening import open_files
from ofa_bert.submodels.values import SubModelConfig
from ofa_bert.tasks.glue import glue_task
from ofa_bert.training import run_directory
from ofa_bert.training.students.jobs import DistilJob, PruneJob

DATA = "--task_name SST-2 --device cpu --max_seq_length 32 --batch_size 16".split()
STEPS = "--max_steps 40 --learning_rate 3e-3 --save_steps 20 --logging_steps 20 --max_drop 30".split()
QUICK = "--repeats 1 --samples 24 --workers 2".split()
STAGES = [
    "teacher, padded",
    "teacher, dynamic length",
    "teacher, exported",
    "student",
    "pruned, not trained again",
    "distilled again",
    "INT8",
    "2 instances",
]


pytestmark = pytest.mark.slow  # one recipe of three trainings serves nearly all of them


@pytest.fixture(scope="module")
def models(tmp_path_factory, tiny_bert_dir, glue_dir):
    root = tmp_path_factory.mktemp("recipe")
    words = [*DATA, "--data_dir", str(glue_dir), "--model_name_or_path", str(tiny_bert_dir)]
    words += "--num_train_epochs 4 --learning_rate 3e-3 --save_steps 99".split()
    assert run_glue.main([*words, "--output_dir", str(root / "teacher")]) == 0
    encoder_dir(root / "small")
    return root


@pytest.fixture(autouse=True)
def hurry(monkeypatch):
    monkeypatch.setattr(timing, "SPIN_SECONDS", 0)
    monkeypatch.setattr(timing, "LATENCY_TEXTS", 8)


def command(models, glue_dir, output, *more, student=None):
    pair = ["--teacher", str(models / "teacher"), "--student", str(student or models / "small")]
    return ["recipe", *DATA, "--data_dir", str(glue_dir), *pair, "--output_dir", str(output), *STEPS, *QUICK, *more]


@pytest.fixture(scope="module")
def made(models, glue_dir):
    """The output of one whole recipe."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timing, "SPIN_SECONDS", 0)
        patch.setattr(timing, "LATENCY_TEXTS", 8)
        assert commands.main(command(models, glue_dir, models / "out", "--price_per_hour", "0.5")) == 0
    return models / "out"


def rows_of(output):
    return json.loads((output / "rows.json").read_text())["rows"]


def test_every_stage_has_a_row_with_the_score_of_that_model(made, models):
    rows = rows_of(made)
    assert [row["stage"] for row in rows] == STAGES
    results = {name: json.loads((made / name / "results.json").read_text()) for name in ("1-student", "3-again")}
    teacher = json.loads((models / "teacher" / "results.json").read_text())["best"]["score"]
    scores = [row["score"] for row in rows]
    assert scores[:3] == pytest.approx([teacher] * 3)
    assert scores[3] == pytest.approx(results["1-student"]["best"]["score"])
    assert scores[4] == pytest.approx(json.loads((made / "2-pruned" / "results.json").read_text())["after"]["score"])
    assert scores[5] == pytest.approx(results["3-again"]["best"]["score"])
    assert scores[5] > 0.8
    assert scores[6] == scores[7]
    assert rows[4]["parameters"] == rows[5]["parameters"] == rows[7]["parameters"] < rows[3]["parameters"]
    assert rows[3]["parameters"] < rows[2]["parameters"] == rows[0]["parameters"]
    assert rows[6]["file_mib"] < rows[5]["file_mib"] < rows[3]["file_mib"] < rows[2]["file_mib"]


def test_speed_ups_are_ratios_of_the_rows(made):
    rows = rows_of(made)
    for before, row in zip([None, *rows], rows):
        rate, latency = row["texts_per_second"], row["latency_p50_ms"]
        assert row["speedup_to_padded"] == pytest.approx(rate / rows[0]["texts_per_second"])
        assert row["speedup_to_dynamic"] == pytest.approx(rate / rows[1]["texts_per_second"])
        assert row["latency_speedup_to_dynamic"] == pytest.approx(rows[1]["latency_p50_ms"] / latency)
        wanted = None if before is None else pytest.approx(rate / before["texts_per_second"])
        assert row["speedup_to_previous"] == wanted
        assert row["latency_p50_ms"] <= row["latency_p95_ms"]
        assert row["hours_per_100m_texts"] > 0
    assert rows[0]["texts_timed"] == 16
    assert {row["texts_timed"] for row in rows[1:]} == {24}
    stored = json.loads((made / "rows.json").read_text())
    assert stored["config"]["price_per_hour"] == 0.5
    assert stored["command"].startswith("python -m ofa_bert recipe --task_name SST-2")
    text = (made / "table.md").read_text()
    assert all(f"| {stage}" in text for stage in STAGES)
    assert " USD)" in text
    assert (made / "waterfall.png").read_bytes().startswith(b"\x89PNG")


def test_a_second_call_trains_and_exports_nothing(made, models, glue_dir, monkeypatch, capsys):
    def never(*arguments):
        raise AssertionError("done again")

    for name in ("distil", "prune", "deploy"):
        monkeypatch.setattr(fastformers, name, never)
    monkeypatch.setattr(fastformers, "measure", lambda plan, datasets, contenders: rows_of(made))
    assert commands.main(command(models, glue_dir, made)) == 0
    shown = capsys.readouterr()
    assert shown.err.count("kept, it is finished") == 7
    assert "| INT8" in shown.out
    assert commands.main(command(models, glue_dir, made, "--state_weight", "0.2")) == 2
    assert "--state_weight was 0.1, now 0.2" in capsys.readouterr().err


def test_an_exported_model_is_exported_again_when_its_weights_changed(made, tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr(fastformers, "deploy", lambda job: (done.append(job), (tmp_path / "out/bundles/again").mkdir()))
    monkeypatch.setattr(fastformers, "read_manifest", lambda bundle: None)
    source = tmp_path / "source"
    shutil.copytree(made / "3-again" / "best", source)
    (tmp_path / "out" / "bundles").mkdir(parents=True)
    job = fastformers.ExportJob(model_name_or_path=str(source), sub_model_output_dir="D", device="cpu")
    bundle = tmp_path / "out" / "bundles" / "again"
    fastformers._export(job, bundle)
    fastformers._export(job, bundle)
    assert len(done) == 1
    shutil.copy(made / "2-pruned" / "best" / "model.safetensors", source)
    bundle.rmdir()
    fastformers._export(job, bundle)
    assert len(done) == 2


def test_a_recipe_that_was_interrupted_ends_with_the_same_weights(made, models, glue_dir, monkeypatch):
    output = models / "stopped"
    stopped = command(models, glue_dir, output)
    real = run_directory.save_checkpoint
    monkeypatch.setattr(fastformers, "measure", lambda plan, datasets, contenders: rows_of(made))
    monkeypatch.setattr(fastformers, "_bundles", lambda job, stages, output: {"teacher": output})

    def stop(output, step, *rest):
        real(output, step, *rest)
        if output.name == "3-again" and step == 20:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(run_directory, "save_checkpoint", stop)
        assert commands.main(stopped) == 130
    assert not (output / "3-again" / "last").exists()
    assert commands.main(stopped) == 0
    for stage in ("1-student/last", "2-pruned/best", "3-again/last"):
        ours, theirs = (read_weights(where / stage / "model.safetensors") for where in (output, made))
        for name, array in theirs.items():
            # Two whole runs in one process differ by rounding now and then, by 1e-8 after the first stage. Of the
            # keys' bias, whose gradient is 0, Adam makes as much of that as of a real one.
            if not name.endswith("k_proj.bias"):
                np.testing.assert_allclose(ours[name], array, rtol=0, atol=1e-4, err_msg=name)


def test_each_stage_prints_a_command_that_does_it_alone(made):
    kinds = {
        "1-student": ("distil", DistilJob),
        "2-pruned": ("prune", PruneJob),
        "3-again": ("distil", DistilJob),
    }
    for stage, (name, cls) in kinds.items():
        stored = json.loads((made / stage / "ofa_run.json").read_text())["settings"]
        told = {key: value for key, value in stored.items() if not key.endswith("weights")}
        given = {key: tuple(value) if isinstance(value, list) else value for key, value in told.items()}
        assert set(given) == {item.name for item in options.options_of(cls)}
        job = options.build(cls, given)
        words = shlex.split(fastformers.command_of(name, job))
        assert words[:4] == ["python", "-m", "ofa_bert", name]
        assert parse(cls, words[4:], "") == job
        assert len(words) < 34  # no flag that is at its default


def plan():
    return TimingPlan(
        model_type="bert", max_seq_length=32, batch_size=16, samples=24, repeats=1, seed=42, device="cpu"
    )  # fmt: skip


def test_dynamic_length_and_several_instances_change_no_answer(made, models, glue_dir):
    teacher = str(models / "teacher" / "best")
    _, tokenizer, _ = load_model(teacher)
    encoded = encode(load_datasets("SST-2", glue_dir).dev["dev"], tokenizer, 32, progress=False)
    bundle = str(made / "bundles" / "again")
    answers = {}
    for contender in (
        Contender("padded", teacher, EAGER, "fp32", 1, padded=True),
        Contender("dynamic", teacher, EAGER, "fp32", 1),
        Contender("one", bundle, "onnx_runtime", "fp32", 1),
        Contender("several", bundle, "onnx_runtime", "fp32", 1, workers=2),
    ):
        inputs, places = batches_of(encoded, 7, tokenizer.pad_token_id, 32 if contender.padded else 0)
        lengths = {ids.shape[1] for ids, _ in inputs}
        assert lengths == {32} if contender.padded else max(lengths) < 32
        with timing.opened(contender, plan()) as model:
            found = model.answer(inputs)
        assert sorted(np.concatenate(places)) == list(range(len(encoded)))
        answers[contender.name] = np.concatenate(found)[np.argsort(np.concatenate(places))]
    np.testing.assert_allclose(answers["padded"], answers["dynamic"], atol=1e-4)
    np.testing.assert_array_equal(answers["padded"].argmax(1), answers["dynamic"].argmax(1))
    np.testing.assert_array_equal(answers["several"], answers["one"])


def test_int8_takes_a_quarter_of_the_matrices(made):
    import onnx

    sizes = {}
    for name in ("model.onnx", "model.int8.onnx"):
        graph = onnx.load(str(made / "bundles" / "again" / name)).graph
        arrays = {item.name: onnx.numpy_helper.to_array(item) for item in graph.initializer}
        kind = np.int8 if "int8" in name else np.float32
        sizes[name] = {a.shape: 0 for a in arrays.values() if a.ndim == 2 and a.dtype == kind and min(a.shape) > 4}
        for array in arrays.values():
            if array.shape in sizes[name] and array.dtype == kind:
                sizes[name][array.shape] += array.nbytes
    shared = set(sizes["model.onnx"]) & set(sizes["model.int8.onnx"])
    # Query, key and value are one matrix; then the way out of attention and both of the FFN.
    assert {(32, 48), (16, 32), (32, 32)} & shared
    assert len(shared) >= 3
    for shape in shared - {(32, 32)}:  # a pooler of that shape stays in float
        assert sizes["model.onnx"][shape] == 4 * sizes["model.int8.onnx"][shape]


def test_one_scale_for_a_whole_matrix_is_visibly_worse(tmp_path):
    """The negative control, on weights with some columns far larger than the others, as trained models have."""
    model = build(layers=2)
    for name, parameter in model.named_parameters():
        if "linear1.weight" in name or "q_proj.weight" in name:
            values = parameter.numpy()
            values[:, ::9] *= 60
            parameter.set_value(values)
    rng = np.random.default_rng(0)
    batch = rng.integers(5, 40, (64, 9)), np.zeros((64, 9), np.int64)
    wanted = model(*map(paddle.to_tensor, batch)).numpy()
    errors = {}
    for per_channel in (True, False):
        write(model, tmp_path / "model.onnx", Form(weights="dynamic", per_channel=per_channel))
        found = open_files([tmp_path / "model.onnx"], "onnx_runtime", "int8", threads=1).run(*batch)
        errors[per_channel] = float(np.abs(found - wanted).mean() / wanted.std())
    assert errors[True] < 0.1, errors
    assert errors[False] > 3 * errors[True], errors


def test_a_shape_without_pruning_for_another_engine(models, glue_dir, tmp_path, monkeypatch):
    output, exports = tmp_path / "out", []
    more = "--skip prune --backend openvino --state_weight 0 --workers 0 --max_steps 4".split()
    job = parse(RecipeJob, command(models, glue_dir, output, *more, student="2,3,32,40")[1:], "")
    stages = fastformers.train_stages(job, load_datasets("SST-2", glue_dir), output)
    _, _, record = load_model(stages.student / "best")
    assert record.sub_model == SubModelConfig(layers=(0, 3), heads=(3, 3), ffn=(40, 40))
    assert stages.pruned is stages.again is None
    assert not (output / "2-pruned").exists()
    monkeypatch.setattr(fastformers, "_export", lambda export, bundle: exports.append(export))
    bundles = fastformers._bundles(job, stages, output)
    contenders = fastformers._contenders(job.pair.teacher, job.deployment, job.last_precision, "cpu", bundles)
    assert [contender.name for contender in contenders] == [*STAGES[:4], "INT8"]
    assert {contender.engine for contender in contenders[2:]} == {"openvino"}
    # OpenVINO is fast with the static form, which is calibrated on training sentences.
    assert [export.precision for export in exports] == [("fp32",), ("fp32", "int8-static")]
    assert [export.data.task_name for export in exports] == [None, "SST-2"]


def test_task_agnostic_distillation_starts_from_a_corpus(models, glue_dir, tmp_path):
    corpus = tmp_path / "corpus.txt"
    lines = [line.split("\t")[0] for line in (glue_dir / "train.tsv").read_text().splitlines()[1:]]
    corpus.write_text("\n".join(4 * lines) + "\n", encoding="utf-8")
    job = parse(
        RecipeJob,
        [
            *command(models, glue_dir, tmp_path / "out", "--corpus", str(corpus), student="2,2,24,48")[1:],
            "--pretrain_teacher_steps", "4", "--max_steps", "6", "--skip", "prune",
        ],
        "",
    )  # fmt: skip
    stages = fastformers.train_stages(job, load_datasets("SST-2", glue_dir), tmp_path / "out")
    model, _, record = load_model(stages.student / "best")
    assert model.config.hidden_size == 24
    assert record.task.name == "sst-2"
    assert stages.again is None
    pretrained = json.loads((tmp_path / "out" / "0-pretrained" / "results.json").read_text())
    assert pretrained["shape"] == {"depth": 2, "heads": 2, "hidden": 24, "ffn": 48}


def fabricated():
    rows = []
    for place, rate in enumerate((10.0, 40.0, 20.0)):
        rows.append(
            {
                "stage": f"row {place}", "score": 0.9 - place / 100, "parameters": 2_000_000, "file_mib": 8.0,
                "latency_p50_ms": 100 / rate, "latency_p95_ms": 200 / rate, "texts_per_second": rate,
                "texts_timed": 32, "rounds": 2, "batch_size": 8,
            }
        )  # fmt: skip
    timing._add_speedups(rows)
    return rows


def test_the_report_says_ratios_and_costs(tmp_path):
    rows, about = fabricated(), {"command": "the command"}
    text = write_report(rows, glue_task("SST-2"), tmp_path, plan(), "onnx_runtime", 2.0, about)
    line = printable(rows, glue_task("SST-2"))[2]
    assert (line["to previous"], line["to padded"], line["to dynamic length"]) == ("0.50x", "2.00x", "0.50x")
    assert printable(rows, glue_task("SST-2"))[0]["to previous"] == ""
    # 1e8 texts at 10 a second are 2777.8 hours, at 20 half of that; 2 USD each.
    assert "row 0 2,777.8 hours (5,555.56 USD)" in text
    assert "row 2 1,388.9 hours (2,777.78 USD)" in text
    stored = json.loads((tmp_path / "rows.json").read_text())
    assert stored["command"] == "the command"
    assert stored["rows"][0]["usd_per_100m_texts"] == pytest.approx(5555.56, 1e-5)
    assert "USD" not in cost_line([{**row, "hours_per_100m_texts": 1.0} for row in fabricated()])
    figure = waterfall_figure(rows, glue_task("SST-2"))
    labels = [text.get_text() for text in figure.axes[0].texts]
    assert labels == ["1x", "4x  (x 4.00)", "2x  (x 0.50)"]
    assert "3 stages" in figure.get_supxlabel()


def test_mistakes_are_said_before_anything_is_trained(models, glue_dir, tmp_path, tiny_bert_dir, capsys):
    def refused(*more, **other):
        assert commands.main(command(models, glue_dir, tmp_path / "out", *more, **other)) == 2
        line = capsys.readouterr().err.strip().splitlines()[-1]
        assert line.startswith("error: ")
        return line

    assert "--target_num_heads 5: the student has 4" in refused("--target_num_heads", "5")
    assert "--target_ffn_dim 41: the student has 40" in refused("--target_ffn_dim", "41", student="2,4,32,40")
    assert "fp16 on provider cpu" in refused("--precision", "fp16", "--backend", "paddle_inference")
    assert "must be one" in refused("--corpus", "texts.txt")
    assert "need --corpus" in refused("--pretrain_teacher", "bert-base-uncased")
    assert "without a use" in refused("--skip", "prune", "--target_num_heads", "2")
    assert "--workers -1" in refused("--workers", "-1")
    other = encoder_dir(tmp_path / "other", vocabulary=[*VOCABULARY[:-1], "unheard"])
    corpus = ["--corpus", "texts.txt", "--pretrain_teacher", str(other)]
    assert "another vocabulary" in refused(*corpus, student="2,4,32,64")
    plain = ["--teacher", str(tiny_bert_dir)]
    assert "was not made by run_glue.py" in refused(*plain)
    assert "nowhere" in refused("--teacher", str(tmp_path / "nowhere"))
    assert not (tmp_path / "out").exists()


def test_one_process_runs_the_recipe(models, glue_dir, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(fastformers.distributed, "world_size", lambda: 2)
    job = parse(RecipeJob, command(models, glue_dir, tmp_path / "out")[1:], "")
    with pytest.raises(fastformers.UserError, match="paddle.distributed.launch"):
        fastformers.recipe(job, load_datasets("SST-2", glue_dir))
