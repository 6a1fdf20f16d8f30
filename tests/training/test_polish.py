"""A sub-model trained alone before it is exported: what it learns, from which data, and what is said of it."""

import json
import shutil

import numpy as np
import paddle
import pytest

import export_model
import run_glue_ofa
from helpers.stated_models import state_supernet
from ofa_bert.cli.parser import parse
from ofa_bert.data.encoding.batches import eval_batches
from ofa_bert.data.encoding.encoded import encode
from ofa_bert.data.sources import load_datasets
from ofa_bert.errors import UserError
from ofa_bert.export.early import check_export
from ofa_bert.export.job import ExportJob
from ofa_bert.files.weights import read_weights
from ofa_bert.models.directories import load_model
from ofa_bert.models.record import ModelRecord
from ofa_bert.training.evaluation import to_tensors
from ofa_bert.training.supernet import step as training_supernet_step
from ofa_bert.training.supernet.polishing import Polishing

LEAST = "--model_name_or_path M --sub_model_output_dir D --device cpu"


def test_flags_and_what_they_stand_for_beside_a_record():
    job = parse(ExportJob, f"{LEAST} --polish 2".split(), "")
    assert (job.polishing.polish, job.polishing.polish_learning_rate) == (2.0, 3e-5)
    record = ModelRecord(
        max_seq_length=24, seed=7, config={"batch_size": 16, "augment": 0.3, "augment_share": 0.25, "learning_rate": 1}
    )
    run, found = job.polishing.loop("M", record), job.polishing.augmentation("M", record)
    assert (run.batch_size, run.num_train_epochs, run.length, run.seed) == (16, 2.0, 24, 7)
    assert (found.augment, found.augment_share) == (0.3, 0.25)
    own = Polishing(polish=1, augment=0.0).augmentation("M", record)
    assert (own.augment, own.augment_share) == (0.0, 0.25)
    assert Polishing(polish=1).augmentation("M", ModelRecord()).augment == 0.0


@pytest.mark.parametrize("flag", ["--polish_learning_rate 1e-4", "--teacher T", "--augment 0.1", "--augment_share 0.9"])
def test_a_flag_of_polishing_needs_it(flag):
    with pytest.raises(UserError, match=f"{flag.split()[0]}: is about --polish"):
        parse(ExportJob, f"{LEAST} {flag}".split(), "")


def test_what_cannot_be_polished_is_said_before_paddle_loads(tmp_path):
    directory = state_supernet(tmp_path / "supernet")
    line = f"--model_name_or_path {directory} --sub_model_output_dir {tmp_path / 'D'} --device cpu --polish 1"
    with pytest.raises(UserError, match="`polish` 1: needs the data"):
        check_export(parse(ExportJob, line.split(), ""))
    check_export(parse(ExportJob, [*line.split(), "--train_file", "a.tsv", "--dev_file", "b.tsv"], ""))
    path = directory / "ofa_config.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "config": {"task_name": "demo"}}))
    check_export(parse(ExportJob, line.split(), ""))
    with pytest.raises(UserError, match="must differ from .*`teacher`"):
        check_export(parse(ExportJob, [*line.split(), "--teacher", str(tmp_path / "D")], ""))
    exits = {"head": "ramp", "layers": [1], "training": "deebert"}
    path.write_text(json.dumps({**record, "exits": exits}))
    with pytest.raises(UserError, match="the exits of"):
        check_export(parse(ExportJob, line.split(), ""))
    path.write_text(json.dumps({name: value for name, value in record.items() if name != "space"}))
    with pytest.raises(UserError, match="is no supernet"):
        check_export(parse(ExportJob, line.split(), ""))


@pytest.fixture(scope="module")
def supernet(models, glue_dir, tmp_path_factory):
    output = tmp_path_factory.mktemp("polish") / "supernet"
    run = "--task_name SST-2 --device cpu --max_seq_length 32 --batch_size 16 --max_steps 8 --save_steps 8".split()
    run += ["--data_dir", str(glue_dir), "--model_name_or_path", str(models / "teacher"), "--output_dir", str(output)]
    run += "--learning_rate 1e-4 --width_mult_list 1.0 0.5 --depth_mult_list 1.0 0.5 --augment 0.3".split()
    assert run_glue_ofa.main(run) == 0
    return output


def export(supernet, output, *more):
    line = ["--model_name_or_path", str(supernet), "--sub_model_output_dir", str(output), "--device", "cpu"]
    return export_model.main([*line, "--width_mult", "0.5", "--depth_mult", "0.5", *more])


def logits_of(directory, rows):
    model, tokenizer, _ = load_model(directory)
    model.eval()
    found = np.zeros([len(rows), 2])
    for batch in map(to_tensors, eval_batches(encode(rows, tokenizer, 32, progress=False), 32, 0)):
        with paddle.no_grad():
            found[batch.index] = model(batch.input_ids, batch.token_type_ids).numpy()
    return found


def test_a_polished_sub_model_is_nearer_to_its_teacher(supernet, models, glue_dir, tmp_path, capsys, monkeypatch):
    seen = []
    forward = training_supernet_step.teacher_forward
    monkeypatch.setattr(
        training_supernet_step, "teacher_forward", lambda *a: seen.append(a[1].input_ids.numpy()) or forward(*a)
    )
    assert export(supernet, tmp_path / "plain") == 0
    assert not seen
    bundle = ["--static_sub_model", str(tmp_path / "bundle")]
    polish = ["--polish", "3", "--polish_learning_rate", "1e-3"]
    assert export(supernet, tmp_path / "polished", *polish, *bundle) == 0
    said = capsys.readouterr()
    assert "data, as of" in said.err
    assert "polished for 57 steps; dev before:" in said.out
    assert len(seen) == 57  # 3 epochs of the 304 examples that the supernet did not hold out
    data = load_datasets("SST-2", glue_dir)
    teacher = logits_of(models / "teacher" / "best", data.dev["dev"])
    plain, polished = (logits_of(tmp_path / name, data.dev["dev"]) for name in ("plain", "polished"))
    assert ((polished - teacher) ** 2).mean() < 0.7 * ((plain - teacher) ** 2).mean()
    _, _, record = load_model(tmp_path / "polished")
    about = record.more["polish"]
    assert (about["epochs"], about["steps"], about["learning_rate"], about["batch_size"]) == (3.0, 57, 1e-3, 16)
    assert (about["augment"], about["augment_share"]) == (0.3, 0.5)
    assert about["teacher"] == str(models / "teacher" / "best")
    labels = np.asarray([example.label for example in data.dev["dev"]])
    assert record.scores["accuracy"] == pytest.approx((polished.argmax(-1) == labels).mean())
    assert about["before"]["accuracy"] == pytest.approx((plain.argmax(-1) == labels).mean())
    assert record.scores == about["after"]
    manifest = json.loads((tmp_path / "bundle" / "manifest.json").read_text())
    assert manifest["scores"] == about["after"]
    _check_repeated(supernet, tmp_path, *polish)


def _check_repeated(supernet, tmp_path, *polish):
    """The same command gives the same weights, but for rounding."""
    assert export(supernet, tmp_path / "again", *polish) == 0
    ours, theirs = (read_weights(tmp_path / name / "model.safetensors") for name in ("again", "polished"))
    # A key's bias changes no attention, so its gradient is rounding noise, which Adam makes whole steps of.
    for name in (name for name in theirs if not name.endswith("k_proj.bias")):
        np.testing.assert_allclose(ours[name], theirs[name], atol=1e-5, err_msg=name)


def test_nothing_that_was_held_out_is_trained_on(supernet, glue_dir, tmp_path, monkeypatch):
    seen = set()
    forward = training_supernet_step.teacher_forward
    monkeypatch.setattr(
        training_supernet_step,
        "teacher_forward",
        lambda *a: seen.update(tuple(row[row != 0]) for row in a[1].input_ids.numpy()) or forward(*a),
    )
    assert export(supernet, tmp_path / "out", "--polish", "1", "--augment", "0") == 0
    train = encode(load_datasets("SST-2", glue_dir).train, load_model(supernet / "best")[1], 32, progress=False)
    rest, held = load_model(supernet / "best")[2].held_out.split("", len(train))
    texts = {tuple(train.input_ids[i]) for i in rest}
    assert seen == texts
    assert {tuple(train.input_ids[i]) for i in held} - texts
    shuffled = tmp_path / "data"
    shutil.copytree(glue_dir, shuffled)
    header, *rows = (shuffled / "train.tsv").read_text().splitlines()
    (shuffled / "train.tsv").write_text("\n".join([header, *reversed(rows)]) + "\n")
    other = ["--polish", "1", "--task_name", "SST-2", "--data_dir", str(shuffled)]
    assert export(supernet, tmp_path / "other", *other) == 2


def test_a_recorded_config_is_read_with_care():
    record = ModelRecord(config={"augment": "much"})
    with pytest.raises(UserError, match="augment"):
        Polishing(polish=1).augmentation("M", record)
