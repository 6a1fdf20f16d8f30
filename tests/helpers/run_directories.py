"""Output directories as commands leave them, without the trainings: the files that a page is made from."""

import json

from helpers.small_front import FRONT
from ofa_bert.models.record import ModelRecord
from ofa_bert.submodels.counting import count_flops, count_parameters
from ofa_bert.submodels.grid import SearchSpace
from ofa_bert.submodels.values import ModelShape
from ofa_bert.tasks.task import Task
from ofa_bert.training.logs.logs import Logs
from ofa_bert.training.logs.viewers import About

SHAPE = ModelShape(4, 32, 4, 8, 64, 100, 64, 2, 3)
SPACE = SearchSpace(SHAPE, (1.0, 0.5), (1.0, 0.5))
LABELS = ("<script>alert('label')</script>", 'good & "bad"', "fine")
TASK = Task("own <i>task</i>", LABELS, ("accuracy", "f1"), ("text",))
VERSIONS = {"ofa_bert": "0.1.0", "paddlepaddle": "2.6.2"}
CONFIG = {
    "task_name": None,
    "output_dir": "o <b>",
    "seed": 7,
    "augment": 0.0,
    "resume": False,
    "device": "cpu",
    "width_mult_list": [1.0, 0.5],
}
DATA = {
    "task": TASK.name, "labels": list(LABELS),
    "parts": {"train": {"rows": 311, "examples": 311, "holds": f"311 rows: {LABELS[0]} 300, fine 11"},
              "dev": {"rows": 97, "examples": 97, "holds": "97 rows"}},
    "lengths": {"rows": 311, "p50": 17, "p95": 41, "longest": 77, "cut": 3, "limit": 64},
}  # fmt: skip


def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def scores_of(place, step):
    """Scores that are found nowhere else."""
    value = 0.5 + 0.031 * place + 0.00017 * step
    return {"score": value, "accuracy": value, "f1": value - 0.0123}


def write_log(directory, scores, steps=(100, 200, 300)):
    with Logs.opened(directory, (), About("a run")) as logs:
        for number, step in enumerate(range(25, steps[-1] + 1, 25)):
            logs.losses(step, {"logit": 1.7 / (1 + number), "rep": 0.01 / (1 + number)}, 1e-4 / (1 + number), 3.25)
            if step in steps:
                logs.scores(step, scores(step))


def history(scores, steps=(100, 200, 300)):
    return [{"step": step, "seconds": step / 7, "scores": scores(step)} for step in steps]


def about_run(what):
    return {"history": [], "seconds": 97.3, "processes": 1, "peak_memory_mib": 1203, "data": DATA, "config": CONFIG,
            "versions": VERSIONS}  # fmt: skip


def finetune(directory, logged=True):
    def scores(step):
        return scores_of(1, step)

    best = {"step": 200, "score": scores(200)["score"], "scores": scores(200)}
    if logged:
        write_log(directory, scores)
    write(directory / "ofa_run.json", {"what": "finetune", "settings": CONFIG})
    write(directory / "best" / "ofa_config.json", ModelRecord(task=TASK, shape=SHAPE, step=200).to_json())
    results = {"task": TASK.name, "best": best, "last": {**history(scores)[-1]}, **about_run("finetune")}
    write(directory / "results.json", {**results, "history": history(scores)})
    return directory


def supernet(directory):
    sub_models = SPACE.sub_models()

    def scores(step):
        return {each: scores_of(-place, step) for place, each in enumerate(sub_models)}

    teacher = scores_of(2, 311)
    found = scores(200)
    rows = [
        {"name": each, "sub_model": sub_model.to_json(), "scores": found[each],
         "parameters": count_parameters(SHAPE, sub_model), "flops": count_flops(SHAPE, sub_model),
         "difference": found[each]["score"] - teacher["score"]}
        for each, sub_model in sub_models.items()
    ]  # fmt: skip
    write_log(directory, scores)
    record = ModelRecord(kind="supernet", task=TASK, shape=SHAPE, space=SPACE, step=200)
    write(directory / "best" / "ofa_config.json", record.to_json())
    write(directory / "ofa_run.json", {"what": "supernet", "settings": CONFIG})
    importance = {"heads": [[0.5, 2.0, 0.25, 1.5]] * 4, "neurons": [[0.01 * (1 + n) for n in range(64)]] * 4}
    write(directory / "importance.json", importance)
    test = {"file": "t<u>.tsv", "examples": 53, "scores": {row["name"]: scores_of(-3, 9) for row in rows}}
    results = {"task": TASK.name, "teacher": teacher, "best": rows, "last": rows, "best_step": 200, "test": test}
    write(directory / "results.json", {**results, **about_run("supernet"), "history": history(scores)})
    return directory


def search(directory):
    directory.mkdir(parents=True, exist_ok=True)
    FRONT.save(directory / "front.json")
    names = {"w1_d1": (0.931, 6.25), "w0.5_d1": (0.777, 2.75)}
    grid = [{"name": name, "score": score, "latency_ms": ms} for name, (score, ms) in names.items()]
    winner = {"dev": {"score": 0.8765, "accuracy": 0.8765}, "latency": {"predicted_ms": 3.0, "measured_ms": 3.125}}
    results = {"task": TASK.name, "cost": "latency_ms", "trials": 90, "search_seconds": 61.5, "front": [], "grid": grid}
    write(directory / "results.json", {**results, **winner, "config": CONFIG, "versions": VERSIONS})
    return directory


def evaluation(directory):
    labels = [
        {"label": label, "examples": 10 + place, "precision": 0.91 - place / 10, "recall": 0.81 - place / 10,
         "f1": 0.71 - place / 10} for place, label in enumerate(LABELS)
    ]  # fmt: skip
    bins = [{"low": 0.4, "high": 0.6, "examples": 13, "probability": 0.52, "right": 0.4615}]
    split = {
        "split": "dev", "examples": 33, "scores": {"accuracy": 0.8484, "macro_f1": 0.6123}, "labels": labels,
        "confusion": [[8, 2, 0], [1, 9, 1], [0, 4, 8]],
        "calibration": {"expected_calibration_error": 0.0321, "bins": bins},
    }  # fmt: skip
    write(directory / "scores.json", {"task": TASK.name, "what": f"{LABELS[0]} in fp32", "splits": [split],
                                      "config": CONFIG, "versions": VERSIONS})  # fmt: skip
    return directory


def distilled(directory):
    finetune(directory, logged=False)
    told = json.loads((directory / "results.json").read_text())
    more = {"teacher": scores_of(3, 1), "parameters": 123457, "teacher_parameters": 7654321}
    write(directory / "results.json", {**told, **more})
    write(directory / "ofa_run.json", {"what": "distil", "settings": CONFIG})
    return directory


def pruned(directory):
    results = {"task": TASK.name, "before": scores_of(3, 1), "after": scores_of(0, 1), "parameters_before": 99881,
               "parameters": 55443, "data": DATA, "seconds": 3.5, "config": CONFIG, "versions": VERSIONS}  # fmt: skip
    write(directory / "results.json", results)
    write(directory / "ofa_run.json", {"what": "prune", "settings": CONFIG})
    write(directory / "importance.json", {"heads": [[0.5, 2.0]] * 2, "neurons": [[1.0, 2.0, 3.0]] * 2})
    return directory


def exits(directory):
    def scores(step):
        each = [{"layers": layers, **scores_of(layers, step)} for layers in (1, 2, 4)]
        model = {"name": "model", "sub_model": {}, "exits": each, "held_out": 0.7}
        return {"held_out": 0.6 + step / 9999, "exits": [model]}

    write_log(directory, scores)
    best = {"step": 200, "score": 0.62, "scores": scores(200)}
    results = {"task": TASK.name, "best": best, "last": history(scores)[-1], **about_run("exits")}
    write(directory / "results.json", {**results, "history": history(scores)})
    write(directory / "ofa_run.json", {"what": "exits", "settings": CONFIG})
    return directory


def threshold(directory):
    rows = [
        {"threshold": limit, "score": 0.9 - limit / 9, "mean_layers": 4.0 - limit, "saving": limit / 4.5,
         "speedup": 1.0 + limit, "ms": {"1": 2.0}} for limit in (0.0, 0.25, 0.5)
    ]  # fmt: skip
    dev = {"full": {"score": 0.91, "accuracy": 0.91, "mean_layers": 4.0, "ms": {"1": 2.0}},
           "exits": {"score": 0.905, "accuracy": 0.905, "mean_layers": 3.1, "ms": {"1": 1.5}}}  # fmt: skip
    chosen = {"criterion": "entropy", "threshold": 0.25}
    write(directory / "exits.json", {"task": TASK.name, "name": "w1_d1", "chosen": chosen, "dev": dev,
                                     "held_out": {"examples": 61, "threshold": rows}, "config": CONFIG,
                                     "versions": VERSIONS})  # fmt: skip
    return directory


def tuned(directory):
    trials = [
        {"trial": number, "state": "pruned" if number == 2 else "complete", "steps": 10 * number,
         "score": None if number == 2 else 0.6 + number / 50, "learning_rate": 1.7e-5 * (1 + number), "batch_size": 16,
         "weight_decay": 0.01, "warmup_proportion": 0.1, "seed": number} for number in range(4)
    ]  # fmt: skip
    results = {"task": TASK.name, "best": {**trials[3]}, "dev": scores_of(1, 1), "trials": trials, "tuned_on": 44}
    write(directory / "results.json", {**results, "config": CONFIG, "versions": VERSIONS})
    return finetune(directory / "trial-3", logged=False).parent


def recipe(directory):
    rows = [
        {"stage": stage, "score": 0.9 - place / 77, "parameters": 1000000 - 3 * place, "file_mib": 40.5 - place,
         "latency_p50_ms": 9.5 - place, "latency_p95_ms": 11.25 - place, "texts_per_second": 101.5 * (1 + place),
         "speedup_to_previous": None if not place else 1.5, "speedup_to_padded": 1.0 + place}
        for place, stage in enumerate(("teacher, padded", "student", "INT8 <b>"))
    ]  # fmt: skip
    write(directory / "rows.json", {"rows": rows, "config": CONFIG, "versions": VERSIONS})
    return distilled(directory / "1-student").parent


def demo(directory):
    supernet(directory / "supernet")
    finetune(directory / "teacher", logged=False)
    told = json.loads((directory / "supernet" / "results.json").read_text())
    rows = [{**row, "ms": {"1": 2.125 - place / 9, "16": 20.5 - place}} for place, row in enumerate(told["best"])]
    results = {"task": TASK.name, "metric": "accuracy", "teacher": told["teacher"], "sub_models": rows}
    write(directory / "results.json", {**results, "measured": "fast", "config": CONFIG, "versions": VERSIONS})
    return directory


def family(directory):
    search(directory)
    told = json.loads((directory / "results.json").read_text())
    rows = [
        {"name": f"x{times}", "target": times, "speedup": times + 0.031, "ms": 9.75 / times,
         "file_bytes": 7654321 // times, "precision": "int8", "score": 0.9 - times / 71,
         "difference": {"score": -0.011, "low": -0.032, "high": 0.014}, "dev": {"score": 0.85 - times / 71}}
        for times in (2, 3)
    ]  # fmt: skip
    full = {"precision": "fp32", "predicted_ms": 9.75, "score": 0.912, "examples": 211}
    write(directory / "results.json", {**told, "full": full, "teacher": 0.922, "family": rows})
    return directory


def fptas(directory):
    records = [
        {"name": f"D{depth}_A4", "p": 1e6 * depth + 1, "i": 2.75 * depth, "e": 0.9 / depth, "W": 0.3 * depth}
        for depth in (4, 3, 2)
    ]
    results = {"task": TASK.name, "epsilon": 2, "records": records, "winner": records[0]}
    write(directory / "results.json", {**results, "config": CONFIG, "versions": VERSIONS})
    return directory


def elastic(directory):
    def scores(step):
        return {f"d{depth}": {"loss": 1.0 / step + depth, "states": 0.5 / step} for depth in (1, 0.5)}

    write_log(directory, scores)
    best = {"step": 300, "score": -0.75, "scores": scores(300)}
    results = {"kept_layers": {}, "start": scores(1), "best": best, "last": history(scores)[-1]}
    write(directory / "results.json", {**results, **about_run("pretrain"), "history": history(scores)})
    write(directory / "ofa_run.json", {"what": "elastic pre-training", "settings": CONFIG})
    return directory


KINDS = {
    "finetune": finetune,
    "supernet": supernet,
    "distil": distilled,
    "prune": pruned,
    "exits": exits,
    "threshold": threshold,
    "tune": tuned,
    "search": search,
    "family": family,
    "fptas": fptas,
    "recipe": recipe,
    "demo": demo,
    "evaluate": evaluation,
    "elastic": elastic,
}
