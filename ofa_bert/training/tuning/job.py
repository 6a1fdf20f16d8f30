"""What python -m ofa_bert tune does, as a value."""

from __future__ import annotations

from dataclasses import dataclass

from ofa_bert.options import option, unused
from ofa_bert.training.settings import FinetuneJob

# Of finetuning; tune tries several.
_TRIED = {
    "learning_rate": "learning_rates", "batch_size": "batch_sizes", "weight_decay": "weight_decays",
    "warmup_proportion": "warmups", "warmup_steps": "warmups",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TuneJob:
    """Many finetunings."""

    finetuning: FinetuneJob
    trials: int = option("finetuning runs, most of them stopped early", 20, above=0)
    minutes: float | None = option("begin no further run after so many minutes", None, above=0)
    learning_rates: tuple[float, ...] = option("lowest and highest learning rate to try", (1e-5, 2e-4), above=0)
    batch_sizes: tuple[int, ...] = option("batch sizes to try", (8, 16, 32), above=0)
    weight_decays: tuple[float, ...] = option("weight decays to try", (0.0, 0.01, 0.1), least=0)
    warmups: tuple[float, ...] = option("warm-up shares to try", (0.0, 0.1, 0.35), least=0, below=1)
    tune_share: float = option(
        "share of the training data that runs are compared on, held out from them; dev is used once, for the best run",
        0.1,
        above=0,
        below=1,
    )

    def problems(self) -> list[str]:
        found = []
        if len(self.learning_rates) != 2 or self.learning_rates[0] > self.learning_rates[1]:
            found.append(f"`learning_rates` {self.learning_rates}: must be two numbers above 0, the lower one first")
        if self.finetuning.loop.resume:
            found.append("`resume`: the same tune command resumes by itself; leave it out")
        for name, several in _TRIED.items():
            found += unused(self, (name,), f"is what tune tries; give `{several}`")
        return found

    @property
    def output_dir(self) -> str:
        return self.finetuning.output_dir
