"""What the tests of trainings start from."""

import pytest

import run_glue
from helpers.directories import DISTIL_OPTIONS, encoder_dir


@pytest.fixture(scope="session")
def models(tmp_path_factory, tiny_bert_dir, glue_dir):
    """teacher/, which has learned the task, and the encoders small/ and narrow/."""
    root = tmp_path_factory.mktemp("distil")
    options = [*DISTIL_OPTIONS, "--data_dir", str(glue_dir), "--model_name_or_path", str(tiny_bert_dir)]
    options += "--batch_size 16 --num_train_epochs 4 --learning_rate 3e-3 --save_steps 99".split()
    assert run_glue.main([*options, "--output_dir", str(root / "teacher"), "--adam_epsilon", "1e-6"]) == 0
    encoder_dir(root / "small")
    encoder_dir(root / "narrow", hidden=16)
    return root
