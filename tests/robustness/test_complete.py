"""Every place in the package that reads a file from outside is here, with the kinds that damage what it reads."""

from __future__ import annotations

import ast

from helpers.paths import ROOT
from robustness.file_kinds import KINDS

READS = {
    "open", "os.open", "open_regular", "read_utf8", "read_json", "read_object", "parse_json", "json.load", "json.loads",
    "np.load", "read_weights", "read_table", "kept_content", "sqlite_storage", "Journal",
}  # fmt: skip
METHODS = ("read_text", "read_bytes")
OF_THE_MACHINE = "of /proc, /sys or another program of this machine"
OWN = "of this process's own child"
# module -> the kinds of file it reads, or why there is nothing to damage.
READERS: dict[str, tuple[str, ...] | str] = {
    "bundle/digest_cache.py": ("digest cache",),
    "bundle/exits.py": ("token table",),
    "bundle/front.py": ("front",),
    "bundle/latency_table.py": ("latency table",),
    "bundle/manifest.py": ("manifest", "manifest, not sealed", "manifest of before"),
    "data/corpus.py": ("corpus",),
    "data/file_text.py": ("labelled .tsv", "labelled .conll", "labelled .csv", "labelled .jsonl", "GLUE's train.tsv"),
    "data/readers/glue_files.py": ("GLUE's train.tsv",),
    "data/readers/own_files.py": ("labelled .tsv", "labelled .csv", "labelled .jsonl"),
    "data/readers/answers_files.py": ("SQuAD's .json", "answers .jsonl"),
    "data/readers/choices_files.py": ("choices .jsonl", "choices .csv", "RACE's article"),
    "data/readers/objects.py": ("choices .jsonl", "queries .jsonl", "SuperGLUE's multirc"),
    "data/readers/ranking_files.py": ("queries .jsonl", "pairs .tsv"),
    "data/readers/superglue_files.py": ("SuperGLUE's multirc", "SuperGLUE's wic", "SuperGLUE's wsc", "SuperGLUE's cb"),
    "data/readers/tagged_files.py": ("labelled .conll", "tagged .jsonl"),
    "data/schema.py": ("labelled .tsv", "labelled .csv", "labelled .jsonl"),
    "data/table_files.py": ("labelled .tsv", "labelled .csv", "labelled .jsonl"),
    "data/encoding/token_ids.py": ("token cache",),
    "data/tokenization/saving.py": ("tokenizer.json of Unigram",),
    "data/tokenization/sentencepiece_model.py": "test_second_cut.py damages it",
    "data/tokenization/tokenizer_json.py": (
        "tokenizer.json", "tokenizer.json of a bundle", "tokenizer.json of Unigram", "added_tokens.json",
    ),
    "data/tokenization/vocabulary_files.py": (
        "vocab.txt", "vocab.txt, cut with", "vocab.json", "merges.txt", "tokenizer_config.json",
        "special_tokens_map.json",
    ),
    "doctor/parts/training.py": OWN,
    "export/hugging_face/write.py": OWN,
    "export/token_file.py": ("labelled .tsv", "labelled .csv", "labelled .jsonl"),
    "doctor/probes/engine.py": OWN,
    "doctor/probes/train.py": OWN,
    "engines/library.py": ("file of a bundle",),
    "engines/trial.py": "what TensorRT says of an engine",
    "exits/policy_file.py": ("exit policy", "token table"),
    "exits/token_table.py": ("token table",),
    "files/atomic.py": "computes digests, and makes files",
    "files/journal.py": ("evaluations",),
    "files/kept.py": ("token cache", "teacher's logits"),
    "files/lock.py": ("lock",),
    "files/reading.py": "what the others read with",
    "files/studies.py": ("study, its bytes", "study, its values"),
    "files/weights.py": ("safetensors", "pdparams 2", "pdparams 4", "torch zip", "torch stream", "index"),
    "load/points_file.py": ("points.json", "rows of bench"),
    "load/trace_file.py": ("trace .csv",),
    "models/exits/heads.py": ("exits.safetensors",),
    "models/masked_lm.py": ("safetensors",),
    "models/model_type.py": ("config.json, as stated", "ofa_config.json, as stated"),
    "models/pretrained.py": ("config.json", "ofa_config.json", "model.safetensors"),
    "models/sub_model_choice.py": ("sub-model",),
    "models/vocabulary.py": ("words.txt",),
    "options.py": "makes plain values of its own",
    "recipes/fastformers.py": "takes a stage for finished when its record is, whole, what it would write",
    "report/pictures.py": "a picture that is shown as it is",
    "report/run_files.py": ("results of a run",),
    "runtime/backends/paddle_inference.py": OF_THE_MACHINE,
    "runtime/backends/tensorrt.py": ("file of a bundle",),
    "runtime/backends/tensorrt_engine.py": ("file of a bundle",),
    "runtime/nvidia/runtime_cache.py": "begins with its digest, else it is not used: test_engine_session.py damages it",
    "runtime/output_columns.py": "objects that were read and checked before",
    "runtime/predict_file.py": ("labelled .tsv", "labelled .csv", "labelled .jsonl"),
    "runtime/processes.py": OF_THE_MACHINE,
    "search/fptas/walk.py": ("evaluations",),
    "search/guesses.py": ("guesses",),
    "search/run.py": OWN,
    "search/speedups/family.py": ("evaluations",),
    "serving/served.py": ("file of a bundle",),
    "system/child_process.py": OWN,
    "system/environment.py": OF_THE_MACHINE,
    "system/machine.py": OF_THE_MACHINE,
    "system/owner.py": OF_THE_MACHINE,
    "training/checkpoints.py": (
        "checkpoint.json", "state.json of a checkpoint", "model.safetensors of a checkpoint",
        "optimizer.safetensors of a checkpoint",
    ),
    "training/logs/run_log.py": ("log.jsonl",),
    "training/logs/viewers.py": "the identity of a run that wandb looks up",
    "training/pretraining/job.py": ("shape.json",),
    "training/presets.py": "makes plain values of its own",
    "training/run_directory.py": ("ofa_run.json",),
    "training/stated.py": ("config.json, as stated", "ofa_config.json, as stated"),
    "training/supernet/trial.py": ("token cache",),  # both are kept with a digest, by files/kept.py
    "training/students/teacher_logits.py": ("teacher's logits",),
    "training/tuning/tune.py": ("study, its bytes", "study, its values"),
}  # fmt: skip


def reads(path):
    """The names of the functions it calls to read something."""
    calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    names = {ast.unparse(call.func) for call in calls}
    return {name for name in names if name in READS or name.endswith(tuple(f".{method}" for method in METHODS))}


def test_every_reader_has_kinds_of_files_that_are_damaged():
    package = ROOT / "ofa_bert"
    found = {path.relative_to(package).as_posix() for path in package.rglob("*.py") if reads(path)}
    assert found - set(READERS) == set(), "read files that nothing damages: add a kind, and its line here"
    assert set(READERS) - found == set(), "read nothing any more"


def test_every_kind_is_read_by_somebody_and_there_is_one_of_each():
    named = {name for kinds in READERS.values() if not isinstance(kinds, str) for name in kinds}
    names = [kind.name for kind in KINDS]
    assert len(set(names)) == len(names)
    assert named - set(names) == set()
    assert set(names) - named == set()
