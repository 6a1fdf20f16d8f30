"""What PaddleSlim's OFA-BERT page publishes, figure by figure; what it does not publish is not here.

Source: examples/model_compression/ofa/README.md of PaddleNLP. GLUE scores are of dev; latencies are milliseconds of a
batch at 128 tokens. The page does not say its width: it says 110M -> 81M parameters, which is width 2/3.
"""

from __future__ import annotations

from typing import NamedTuple

WIDTHS = ("1.0", "0.8333333333333334", "0.6666666666666666", "0.5")
WIDTH = WIDTHS[2]
SUB_MODEL = "w0.6667_d1"  # what a supernet's results call that width
PARAMETERS = "110M to 81M (-26 %)"


class Metric(NamedTuple):
    """A number of a task's results, and what the page calls it."""

    key: str
    title: str


class Published(NamedTuple):
    """A score of the finetuned model and of its sub-model."""

    finetuned: float
    compressed: float


class Latency(NamedTuple):
    """Milliseconds of the full model and of the compressed one, and on what."""

    device: str
    full: float
    compressed: float


_ACCURACY = (Metric("accuracy", "accuracy"),)
# Task -> its directory in GLUE's official layout, in the page's order of tasks.
DIRECTORIES = {
    "sst-2": "SST-2",
    "qnli": "QNLI",
    "cola": "CoLA",
    "mrpc": "MRPC",
    "sts-b": "STS-B",
    "qqp": "QQP",
    "mnli": "MNLI",
    "rte": "RTE",
}
METRICS = {
    "sst-2": _ACCURACY,
    "qnli": _ACCURACY,
    "cola": (Metric("matthews", "Matthews"),),
    "mrpc": (Metric("f1", "F1"), Metric("accuracy", "accuracy")),
    "sts-b": (Metric("pearson", "Pearson"), Metric("spearman", "Spearman")),
    "qqp": (Metric("accuracy", "accuracy"), Metric("f1", "F1")),
    "mnli": (Metric("matched_accuracy", "matched accuracy"), Metric("mismatched_accuracy", "mismatched accuracy")),
    "rte": _ACCURACY,
}

_BERT = {
    "sst-2": (Published(0.93005, 0.931193),),
    "qnli": (Published(0.91781, 0.920740),),
    "cola": (Published(0.59557, 0.601244),),
    "mrpc": (Published(0.91667, 0.91740), Published(0.88235, 0.88480)),
    "sts-b": (Published(0.88847, 0.89271), Published(0.88350, 0.88958)),
    "qqp": (Published(0.90581, 0.90994), Published(0.87347, 0.87947)),
    "mnli": (Published(0.84422, 0.84687), Published(0.84825, 0.85242)),
    "rte": (Published(0.711191, 0.718412),),
}
# The page's TinyBERT has 4 layers of 312; its finetuned models are TinyBERT's authors', trained on augmented data.
_TINYBERT = {
    "sst-2": (Published(0.9234, 0.9220),),
    "qnli": (Published(0.8746, 0.8720),),
    "cola": (Published(0.4961, 0.5048),),
    "mrpc": (Published(0.8998, 0.9003), Published(0.8554, 0.8578)),
    "sts-b": (Published(0.8635, 0.8717), Published(0.8631, 0.8706)),
    "qqp": (Published(0.9047, 0.9034), Published(0.8751, 0.8733)),
    "mnli": (Published(0.8256, 0.8211), Published(0.8294, 0.8261)),
    "rte": (Published(0.6534, 0.6787),),
}
_SCORES = {
    "bert-base-uncased": _BERT,
    "tinybert-4l-312d-en": _TINYBERT,
    "tinybert-4l-312d-v2-en": _TINYBERT,
}

BATCHES = (16, 40)
FP32, FP16 = "fp32", "fp16"
_T4 = {
    (16, FP32): Latency("T4", 110.71, 69.62),
    (16, FP16): Latency("T4, TensorRT", 22.0, 14.93),
    (40, FP32): Latency("T4", 252.78, 168.71),
    (40, FP16): Latency("T4, TensorRT", 53.67, 37.22),
}
_V100 = {(16, FP32): Latency("V100", 33.28, 21.83)}
_XEON = {(16, FP32): Latency("Xeon Gold 5117", 10831.73, 7682.93)}


def score(model: str, task: str, metric: Metric) -> Published | None:
    """None when the page has no such figure. `model` is a PaddleNLP name."""
    scores = _SCORES.get(model.lower())
    return None if scores is None else scores[task][METRICS[task].index(metric)]


def latency(model: str, on_gpu: bool, hardware: str, batch: int, precision: str) -> Latency | None:
    """The page's figure for the same card, else for its T4 or its processor; None when it has none."""
    if model.lower() != "bert-base-uncased":
        return None
    if not on_gpu:
        return _XEON.get((batch, precision))
    return ("V100" in hardware and _V100.get((batch, precision))) or _T4.get((batch, precision))
