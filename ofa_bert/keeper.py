"""What a training run leaves behind: best/, last/, the newest checkpoint, results.json; and how it comes back."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any, Mapping, Optional

import paddle
from paddle import nn

from ofa_bert import parallel
from ofa_bert.checkpoint import latest_checkpoint, restore_checkpoint, save_checkpoint, save_model
from ofa_bert.files.atomic import write_json_atomic
from ofa_bert.meta import peak_memory_mib, versions
from ofa_bert.options import to_json

logger = logging.getLogger(__name__)

RESULTS = "results.json"


class Keeper:
    """Keeps the best and the last weights of one run. Only the main process writes.

    `state` is what `restore` returned: empty for a new run. Layers in `beside` are saved beside the model.
    `trained` is what resuming must restore; default: the model. Scores in `meta` go before those that are kept.
    """

    def __init__(
        self,
        output: Path,
        model: nn.Layer,
        tokenizer: Any,
        meta: Mapping[str, Any],
        state: Mapping[str, Any],
        beside: Optional[Mapping[str, nn.Layer]] = None,
        trained: Optional[nn.Layer] = None,
    ) -> None:
        self._started = time.monotonic() - state.get("seconds", 0.0)
        self.output = output
        self.model = model
        self.tokenizer = tokenizer
        self.meta = dict(meta)
        self.beside = dict(beside or {})
        self.trained = model if trained is None else trained
        self.best: dict[str, dict[str, Any]] = dict(state.get("best", {}))
        self.history: list[dict[str, Any]] = list(state.get("history", []))

    def consider(self, name: str, step: int, score: float, scores: Mapping[str, Any]) -> bool:
        """Write the directory `name` when `score` is the highest yet; the first of equals stays."""
        if name in self.best and score <= self.best[name]["score"]:
            return False
        self.best[name] = {"step": step, "score": score, "scores": dict(scores)}
        self._save(name, step, scores)
        return True

    def checkpoint(
        self, step: int, optimizer: paddle.optimizer.Optimizer, scores: Mapping[str, Any], last: bool
    ) -> None:
        """Write what resuming needs; at the end of the run also last/."""
        seconds = self._seconds()
        self.history.append({"step": step, "seconds": round(seconds, 1), "scores": dict(scores)})
        if last:
            self._save("last", step, scores)
        if parallel.is_main():
            state = {"step": step, "seconds": seconds, "best": self.best, "history": self.history}
            save_checkpoint(self.output, step, self.trained, optimizer, state)
        parallel.barrier()

    def _save(self, name: str, step: int, scores: Mapping[str, Any]) -> None:
        if parallel.is_main():
            meta = {"scores": dict(scores), **self.meta, "step": step}
            save_model(self.output / name, self.model, self.tokenizer, meta, self.beside)

    def _seconds(self) -> float:
        """Of this run and of those that it continues."""
        return time.monotonic() - self._started

    def write_results(self, config: Any, own: Mapping[str, Any]) -> dict[str, Any]:
        """results.json: `own`, and what every run says. Returns it."""
        results = {
            **own,
            "history": self.history,
            "seconds": round(self._seconds(), 1),
            "processes": parallel.world_size(),
            "peak_memory_mib": peak_memory_mib(),
            "config": to_json(config),
            "versions": versions(),
        }
        if parallel.is_main():
            write_json_atomic(self.output / RESULTS, results)
        return results


def restore(output: Path, model: nn.Layer, optimizer: paddle.optimizer.Optimizer) -> dict[str, Any]:
    """Load the newest whole checkpoint into model and optimizer; its state, or {} when there is none yet."""
    path = latest_checkpoint(output)
    if path is None:
        logger.info("--resume: no checkpoint in %s yet; starting from the beginning", output)
        return {}
    state = restore_checkpoint(path, model, optimizer)
    logger.info("resuming %s after step %d", path, state["step"])
    return state
