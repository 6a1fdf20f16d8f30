"""The README's quick start as a program: one CSV in, a small model that runs without Paddle out.

Run from the repository: python examples/quick_start.py [--output_dir out/quick_start] [--rows 3000] [--epochs 2]

It writes a CSV of made-up reviews; put your own in its place, with a header and the columns text and label. The encoder
is the one of `make demo`; a PaddleNLP model name or another directory does as well.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from ofa_bert.data import demo_task
from ofa_bert.recipes.demo import embedded_encoder
from ofa_bert.runtime import Predictor

ROOT = Path(__file__).resolve().parents[1]
TWO_THIRDS = 2 / 3


def write_reviews(path: Path, rows: int) -> None:
    """A CSV with the columns text and label."""
    reviews = demo_task.generate(train=rows, dev=1).train
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows([review.text, demo_task.TASK.labels[int(review.label)]] for review in reviews)


def run(*words: object) -> None:
    """One command of the project, from its root; ends the program when the command fails, which then says why."""
    line = [sys.executable, *map(str, words)]
    print("$ python", *map(str, words), flush=True)
    done = subprocess.run(line, cwd=ROOT)
    if done.returncode:
        sys.exit(done.returncode)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="The README's quick start on a CSV that it writes itself.")
    parser.add_argument("--output_dir", type=Path, default=Path("out/quick_start"))
    parser.add_argument("--rows", type=int, default=3000)
    parser.add_argument("--epochs", type=float, default=2)
    asked = parser.parse_args(argv)
    output = asked.output_dir.resolve()
    output.mkdir(parents=True, exist_ok=True)
    reviews, bundle = output / "reviews.csv", output / "small-bundle"
    write_reviews(reviews, asked.rows)

    # A tenth of the rows is kept to score on; every command on the file keeps the same ones.
    data = ["--train_file", reviews, "--dev_share", 0.1]
    common = ["--device", "cpu", "--max_seq_length", 64, "--batch_size", 32, "--num_train_epochs", asked.epochs]
    run(
        "run_glue.py", "--model_name_or_path", embedded_encoder(), "--output_dir", output / "finetuned",
        "--learning_rate", 5e-5, *data, *common,
    )  # fmt: skip
    run(
        "run_glue_ofa.py", "--model_name_or_path", output / "finetuned", "--output_dir", output / "supernet", *common
    )  # fmt: skip
    run(
        "export_model.py", "--device", "cpu", "--model_name_or_path", output / "supernet", "--width_mult", TWO_THIRDS,
        "--onnx", "--precision", "fp32", "int8", "--sub_model_output_dir", output / "small",
        "--static_sub_model", bundle, *data,
    )  # fmt: skip
    run("-m", "ofa_bert", "evaluate", "--bundle", bundle, "--file", reviews, "--dev_share", 0.1)
    run(
        "-m", "ofa_bert", "predict", "--bundle", bundle, "--input", reviews, "--output", output / "predicted.csv",
        "--precision", "int8",
    )  # fmt: skip

    with Predictor(bundle, precision="int8") as predictor:
        for text in ("The plot of this film is wonderful.", "The soup was never warm and the waiter was rude."):
            answer = predictor.predict([text])[0]
            print(f"{answer.label} ({answer.probability:.2f}): {text}")


if __name__ == "__main__":
    main()
