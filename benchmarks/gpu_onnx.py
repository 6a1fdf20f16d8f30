"""Exported ONNX models on a GPU, by ONNX Runtime's CUDA provider, in turn with PyTorch's SDPA of the same shapes.

    python benchmarks/gpu_onnx_files.py --output_dir output/gpu      where Paddle is: writes graphs and models.json
    python benchmarks/gpu_onnx.py --models output/gpu                where the GPU is: needs torch and onnxruntime-gpu
    python benchmarks/gpu_onnx.py --models DIR --device cpu          a try without a GPU

Needs neither Paddle nor the ofa_bert package. Every side computes the same batch, without
padding, that lies on the GPU already; a run ends when the GPU is done. Sides:
    portable, fused, hugging_face    the ONNX files, with I/O binding; with "+graph" replayed as a CUDA graph
    torch, torch+graph               packed query, key and value; SDPA; without the padding mask unless --mask
    torch+compile                    torch.compile of the same, on request: --compile
FP32 means 24 bits on both sides: TF32 is off unless --tf32.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch  # first: ONNX Runtime then finds the CUDA libraries that came with it

import numpy as np  # isort: skip
import onnxruntime  # isort: skip

sys.path.insert(0, str(Path(__file__).resolve().parent))

from torch_bert import Bert, captured

BATCHES = (1, 16, 40, 128)
INPUTS = ("input_ids", "attention_mask", "token_type_ids")  # only Hugging Face's export has the second
MODEL = ("shape", "sub_model", "precision")


class Settings(NamedTuple):
    device: str  # cuda or cpu
    length: int
    tf32: bool
    mask: bool
    compile: bool


def make_weights(model: dict[str, Any], directory: Path) -> Path:
    """Write the weights that the graph lacks: normal, with each tensor's own mean and deviation."""
    path = directory / (model["file"] + ".bin")
    last = max(model["weights"], key=lambda one: one["offset"])
    end = last["offset"] + int(np.prod(last["shape"])) * np.dtype(last["dtype"]).itemsize
    noise = np.random.default_rng(0).standard_normal(1 << 20, dtype=np.float32)
    values = np.memmap(path, np.uint8, "w+", shape=(end,))
    for one in model["weights"]:
        array = np.resize(noise, one["shape"]) * np.float32(one["std"]) + np.float32(one["mean"])
        raw = array.astype(one["dtype"]).reshape(-1).view(np.uint8)
        values[one["offset"] : one["offset"] + len(raw)] = raw
    values.flush()
    return path


def open_session(path: Path, settings: Settings, graph: bool = False) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if settings.device == "cpu":
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    cuda = {"use_tf32": str(int(settings.tf32)), "enable_cuda_graph": str(int(graph))}
    providers = [("CUDAExecutionProvider", cuda)]
    session = onnxruntime.InferenceSession(str(path), options, providers=providers)
    if session.get_providers()[0] != "CUDAExecutionProvider":
        raise SystemExit("ONNX Runtime does not load its CUDA provider: is onnxruntime-gpu installed, for this CUDA?")
    return session


def batch_of(rows: int, settings: Settings, vocabulary: int) -> dict[str, torch.Tensor]:
    """Every possible input, int64 [B, T], on the device; no token is padding (0)."""
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(1, vocabulary, (rows, settings.length), generator=draw)
    tensors = (ids, torch.ones_like(ids), torch.zeros_like(ids))
    return {name: tensor.to(settings.device) for name, tensor in zip(INPUTS, tensors)}


def bound(
    session: onnxruntime.InferenceSession,
    batch: dict[str, torch.Tensor],
    labels: int,
    settings: Settings,
    graph_id: int = 0,
) -> tuple[Callable[[], None], torch.Tensor]:
    """(run on these tensors, where the logits [B, C] appear)."""
    binding, options = session.io_binding(), onnxruntime.RunOptions()
    if graph_id:
        options.add_run_config_entry("gpu_graph_id", str(graph_id))
    for wanted in session.get_inputs():
        tensor = batch[wanted.name]
        binding.bind_input(wanted.name, settings.device, 0, np.int64, tuple(tensor.shape), tensor.data_ptr())
    logits = torch.empty(len(batch["input_ids"]), labels, device=settings.device)
    binding.bind_output("logits", settings.device, 0, np.float32, tuple(logits.shape), logits.data_ptr())

    def run(keep: Any = (batch, logits)) -> None:  # the binding knows addresses only
        session.run_with_iobinding(binding, options)

    return run, logits


class Model:
    """One shape, sub-model and precision: its ONNX files and its PyTorch twin, opened."""

    def __init__(self, entries: list[dict[str, Any]], directory: Path, settings: Settings, keep: bool):
        self.full, self.settings, self.notes = entries[0]["full"], settings, {}
        self.name = entries[0]["sub_model"]
        self.sessions, self.graphs = {}, {}
        for entry in entries:
            weights = make_weights(entry, directory)
            self._open(directory / entry["file"], entry["side"])
            if not keep:
                with suppress(OSError):
                    weights.unlink()
        dtype = torch.float16 if entries[0]["precision"] == "fp16" and settings.device == "cuda" else torch.float32
        with torch.no_grad():
            self.twin = Bert(self.full, entries[0]["kept"], settings.mask).to(settings.device, dtype).eval()
        self.compiled = torch.compile(self.twin, dynamic=False) if settings.compile else None

    def _open(self, path: Path, side: str) -> None:
        """As it is, and for replay as a CUDA graph; what does not open is noted and left out."""
        kinds = {side: False, f"{side}+graph": True} if self.settings.device == "cuda" else {side: False}
        for name, graph in kinds.items():
            try:
                session = open_session(path, self.settings, graph)
                if graph:
                    self.graphs[side] = session
                else:
                    self.notes[side] = against_cpu(path, session, self.settings, self.full)
                    self.sessions[side] = session
            except Exception as error:  # ONNX Runtime's own types
                self.notes[name] = {"error": first_line(error)}

    def runs(self, rows: int, graph_id: int) -> dict[str, Callable[[], None]]:
        """Side -> run at this batch; what cannot be captured is noted and left out."""
        batch = batch_of(rows, self.settings, self.full["vocab_size"])
        labels = self.full["num_labels"]
        found = {side: bound(session, batch, labels, self.settings)[0] for side, session in self.sessions.items()}
        for side, session in self.graphs.items():
            try:
                run = bound(session, batch, labels, self.settings, graph_id)[0]
                for _ in range(3):
                    run()
                found[f"{side}+graph"] = run
            except Exception as error:  # ONNX Runtime's own types
                self.notes[f"{side}+graph"] = {"error": first_line(error)}
        ids = batch["input_ids"], batch["token_type_ids"]
        found["torch"] = lambda: self.twin(*ids)
        if self.settings.device == "cuda":
            found["torch+graph"] = captured(self.twin, ids)
            if self.compiled:
                found["torch+compile"] = captured(self.compiled, ids)
        return found


def first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).split("\n")[0][:300]


def against_cpu(
    path: Path, session: onnxruntime.InferenceSession, settings: Settings, full: dict[str, int]
) -> dict[str, Any]:
    """How far the provider's logits are from those of the same file on the CPU, on 2 x 16 tokens."""
    short = settings._replace(length=min(16, settings.length))
    run, logits = bound(session, batch_of(2, short, full["vocab_size"]), full["num_labels"], short)
    run()
    short = short._replace(device="cpu")
    try:
        batch = batch_of(2, short, full["vocab_size"])
        wanted_run, wanted = bound(open_session(path, short), batch, full["num_labels"], short)
        wanted_run()
    except Exception as error:  # an operator that the CPU does not have in this precision
        return {"max_abs_difference_to_cpu": None, "why": first_line(error)}
    difference = (logits.cpu() - wanted).abs().max().item()
    return {"max_abs_difference_to_cpu": difference, "largest_logit": wanted.abs().max().item()}


def in_turn(
    runs: dict[Any, Callable[[], None]], repeats: int, warmup: int, seconds: float, wait: Callable[[], None]
) -> dict[Any, list[float]]:
    """Milliseconds of each, all of them once in every round; at least three rounds, then none past `seconds`."""
    times: dict[Any, list[float]] = {name: [] for name in runs}
    begun = time.perf_counter()
    for number in range(warmup + repeats):
        for name, run in runs.items():
            wait()
            started = time.perf_counter()
            run()
            wait()
            if number >= warmup:
                times[name].append((time.perf_counter() - started) * 1e3)
        if number + 1 >= warmup + 3 and time.perf_counter() - begun > seconds:
            break
    return times


def about(settings: Settings) -> dict[str, Any]:
    return {
        "gpu": torch.cuda.get_device_name() if settings.device == "cuda" else None,
        "cuda": torch.version.cuda,
        "torch": torch.__version__,
        "onnxruntime": onnxruntime.__version__,
        "python": platform.python_version(),
        **settings._asdict(),
    }


def measured(
    key: tuple[str, str], models: list[Model], batches: list[int], options: argparse.Namespace, settings: Settings
) -> list[dict[str, Any]]:
    """Rows of all sub-models and sides of one shape and precision; at each batch they take turns."""
    wait = torch.cuda.synchronize if settings.device == "cuda" else lambda: None
    rows = []
    for number, batch in enumerate(batches, 1):
        with torch.no_grad():
            runs = {(m.name, side): run for m in models for side, run in m.runs(batch, number).items()}
            times = in_turn(runs, options.repeats, options.warmup, options.seconds, wait)
        del runs
        for (sub_model, side), values in times.items():
            median = statistics.median(values)
            note = next(model.notes.get(side.split("+")[0]) for model in models if model.name == sub_model) or {}
            rows.append({
                "shape": key[0], "precision": key[1], "sub_model": sub_model, "side": side, "batch": batch,
                "length": settings.length, "p50_ms": median, "p95_ms": float(np.percentile(values, 95)),
                "samples_per_second": batch * 1e3 / median, "runs": len(values), **note,
            })  # fmt: skip
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: milliseconds of each side, its speed-up over the full model, and the best ONNX against PyTorch."""
    sides = list(dict.fromkeys(row["side"] for row in rows))
    median = {tuple(row[k] for k in (*MODEL, "batch", "side")): row["p50_ms"] for row in rows}
    first = rows[0]["sub_model"]
    lines = ["| shape | precision | batch | sub-model | " + " | ".join(sides) + " | best ONNX / best torch |"]
    lines.append("| --- | --- | ---: | --- |" + " ---: |" * (len(sides) + 1))
    for shape, precision, batch in dict.fromkeys((row["shape"], row["precision"], row["batch"]) for row in rows):
        for sub_model in dict.fromkeys(row["sub_model"] for row in rows if row["shape"] == shape):
            cells, best = [], {True: float("inf"), False: float("inf")}
            for side in sides:
                ms = median.get((shape, sub_model, precision, batch, side))
                full = median.get((shape, first, precision, batch, side))
                if ms is None:
                    cells.append("–")
                    continue
                cells.append(f"{ms:.3f}" + (f" ({full / ms:.2f}x)" if full and sub_model != first else ""))
                best[side.startswith("torch")] = min(best[side.startswith("torch")], ms)
            line = [shape, precision, str(batch), sub_model, *cells, f"{best[False] / best[True]:.2f}"]
            lines.append("| " + " | ".join(line) + " |")
    return "\n".join(lines)


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", required=True, help="directory that gpu_onnx_files.py wrote")
    parser.add_argument("--output", default="gpu_onnx.json", help="where the rows go [gpu_onnx.json]")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--batch", nargs="+", type=int, default=list(BATCHES), help=f"[{BATCHES}]")
    parser.add_argument("--length", type=int, default=128, help="tokens [128]")
    parser.add_argument("--shapes", nargs="+", help="only these of models.json")
    parser.add_argument("--sides", nargs="+", help="only these ONNX files: portable, fused, hugging_face")
    parser.add_argument("--repeats", type=int, default=50, help="timed rounds [50]")
    parser.add_argument("--warmup", type=int, default=10, help="untimed rounds before [10]")
    parser.add_argument("--seconds", type=float, default=20, help="per shape, precision and batch [20]")
    parser.add_argument("--tf32", action="store_true", help="let both sides multiply FP32 with TF32")
    parser.add_argument("--mask", action="store_true", help="PyTorch masks padding too, as the exported models do")
    parser.add_argument("--compile", action="store_true", help="also torch.compile (a minute and more)")
    parser.add_argument("--keep_weights", action="store_true", help="leave the generated weights on the disk")
    options = parser.parse_args(argv)
    if min(*options.batch, options.length, options.repeats) < 1 or options.warmup < 0:
        parser.error("--batch, --length and --repeats must be at least 1, --warmup at least 0")
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: PyTorch finds no GPU; --device cpu tries the program without one")
    return options


def main(argv: list[str] | None = None) -> int:
    options = parse(argv)
    settings = Settings(options.device, options.length, options.tf32, options.mask, options.compile)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = options.tf32
    entries = json.loads(Path(options.models, "models.json").read_text())
    entries = [one for one in entries if not options.shapes or one["shape"] in options.shapes]
    entries = [one for one in entries if not options.sides or one["side"] in options.sides]
    rows: list[dict[str, Any]] = []
    notes: dict[str, Any] = {}
    for key in dict.fromkeys((one["shape"], one["precision"]) for one in entries):
        print(*key, "...", file=sys.stderr, flush=True)
        here = [one for one in entries if (one["shape"], one["precision"]) == key]
        groups = [
            [one for one in here if one["sub_model"] == name] for name in dict.fromkeys(o["sub_model"] for o in here)
        ]
        models = [Model(group, Path(options.models), settings, options.keep_weights) for group in groups]
        rows += measured(key, models, options.batch, options, settings)
        notes.update({" ".join((*key, model.name)): model.notes for model in models})
        del models
        # After every shape: a run that is cut short keeps what it has.
        result = {"about": about(settings), "command": sys.argv if argv is None else argv, "notes": notes, "rows": rows}
        Path(options.output).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(table(rows))
    for name, note in notes.items():
        for side, one in note.items():
            if "error" in one:
                print(f"{name}, {side}: not run: {one['error'][:200]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
