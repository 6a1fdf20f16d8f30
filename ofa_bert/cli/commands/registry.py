"""The commands of python -m ofa_bert. A new one is a file beside this one, with `run(argv)`, and its entry below."""

from __future__ import annotations

from typing import NamedTuple

from ofa_bert.cli.process import RESUME

_SAME_COMMAND = "the same command goes on where it stopped"


class Command(NamedTuple):
    """about: what --help says of it. goes_on: what is said when it was interrupted; short commands start anew."""

    about: str
    goes_on: str = ""


COMMANDS = {
    "doctor": Command(
        "try this machine: what is installed, a training step, an export, every engine; exit code 1 if one is broken"
    ),
    "finetune": Command("finetune a BERT on a GLUE task or on your own data; as run_glue.py", RESUME),
    "supernet": Command(
        "train a once-for-all supernet from the finetuned model, or early exits; as run_glue_ofa.py", RESUME
    ),
    "export": Command("a sub-model of a supernet as files to deploy, checked and compared; as export_model.py"),
    "vocabulary": Command("the tokens that texts of yours need, as the file for export's --trim_vocab"),
    "add_digests": Command(
        "SHA-256 of every file for a bundle from before there were any, so that a changed byte is found out"
    ),
    "demo": Command(
        "finetune, train a supernet and export its sub-models on an embedded encoder and a generated task",
        _SAME_COMMAND,
    ),
    "predict": Command(
        "labels and probabilities for the texts of a TSV, CSV or JSONL file, from a bundle; needs no Paddle"
    ),
    "bench": Command(
        "latency, size, memory and score of bundles in every back end and precision, with tables and plots"
    ),
    "simulate": Command(
        "plan capacity: what share of a load is answered in time, from measured latencies, by each policy"
    ),
    "evaluate": Command(
        "score a model, a sub-model of a supernet, or a bundle on labelled data, in all and label by label"
    ),
    "exits": Command("choose the threshold of early exits on held-out training data, measure it, report it on dev"),
    "latency": Command(
        "measure what layers cost on this device, so that the latency of any sub-model can be predicted"
    ),
    "search": Command(
        "find uneven sub-models of a supernet under a latency, size or FLOP budget (NSGA-II, or Bort's FPTAS)",
        _SAME_COMMAND,
    ),
    "pretrain": Command(
        "train a small shape from a large masked-LM on a text file, or an encoder's shallow sub-models from itself",
        RESUME,
    ),
    "distil": Command("train a small student from a finetuned teacher", RESUME),
    "prune": Command("keep the most important heads and FFN neurons of every layer"),
    "recipe": Command(
        "distil, prune, distil again, quantize, several instances: what each stage costs and brings", _SAME_COMMAND
    ),
    "tune": Command(
        "finetune with many hyper-parameters, stopping the bad runs early; for shapes that are hard to finetune",
        _SAME_COMMAND,
    ),
    "report": Command("write report.html again, the page that every training, search and evaluation leaves"),
    "export_serving": Command("bundles as a Triton model repository and as Paddle Serving's and FastDeploy's input"),
    "engine": Command("engines of a bundle for NVIDIA's TensorRT, those of TensorRT for RTX without a GPU"),
    "trtexec": Command("the command line that compiles a bundle's ONNX model with NVIDIA's TensorRT"),
}


def described() -> str:
    """A line for each command."""
    width = max(map(len, COMMANDS)) + 2
    return "\n".join(f"  {name:<{width}}{command.about}" for name, command in COMMANDS.items())
