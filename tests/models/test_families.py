"""Every family through the three scripts; BERT has test_end_to_end.py."""

import json
from pathlib import Path

import pytest

import export_model
import run_glue
import run_glue_ofa
from helpers.foreign_files import tokenizer_for
from helpers.models import build
from ofa_bert.models.directories import load_model
from ofa_bert.models.families.registry import MODEL_TYPES


@pytest.mark.slow(but="ernie")
@pytest.mark.parametrize("model_type", [name for name in MODEL_TYPES if name != "bert"])
def test_every_family_goes_from_encoder_to_bundle(model_type, tmp_path, glue_dir):
    encoder = tmp_path / "encoder"
    encoder.mkdir()
    tokenizer_for(encoder, model_type).save_pretrained(str(encoder))
    build(model_type, num_labels=2).save_pretrained(str(encoder))
    data = ["--task_name", "SST-2", "--data_dir", str(glue_dir), "--device", "cpu"]
    data += "--max_seq_length 24 --batch_size 8 --max_steps 2 --save_steps 2 --learning_rate 1e-3".split()
    teacher, supernet = str(tmp_path / "teacher"), str(tmp_path / "supernet")
    assert run_glue.main([*data, "--model_name_or_path", str(encoder), "--output_dir", teacher]) == 0
    elastic = [*data, "--model_name_or_path", teacher, "--output_dir", supernet, "--depth_mult_list", "1.0", "0.5"]
    assert run_glue_ofa.main([*elastic, "--width_mult_list", "1.0", "0.5"]) == 0
    exits = [*data, "--model_name_or_path", supernet, "--output_dir", str(tmp_path / "exits"), "--exits", "deebert"]
    assert run_glue_ofa.main(exits) == 0
    export = ["--model_name_or_path", str(tmp_path / "exits")]
    export += ["--width_mult", "0.5", "--depth_mult", "0.5"]
    export += ["--sub_model_output_dir", str(tmp_path / "dynamic"), "--static_sub_model", str(tmp_path / "static")]
    assert export_model.main([*export, "--onnx", "--device", "cpu", "--max_seq_length", "24"]) == 0
    manifest = json.loads((tmp_path / "static" / "manifest.json").read_text())
    assert manifest["model_type"] == model_type
    for directory in (teacher, supernet, tmp_path / "exits"):  # nobody named it
        record = json.loads(Path(directory, "best", "ofa_config.json").read_text())
        assert record["model_type"] == record["config"]["model_type"] == model_type
    assert len(manifest["sub_model"]["layers"]) == 2
    assert manifest["exits"]["layers"] == [1, 2]
    assert all(report["max_abs_difference"] < 1e-4 for report in manifest["models"])
    model, _, _ = load_model(tmp_path / "dynamic", model_type)
    assert sum(p.size for p in model.parameters()) == manifest["parameters"]
