"""How a sub-model is polished, as values: trained alone on what the teacher answers, before it is exported."""

from __future__ import annotations

from dataclasses import dataclass

from ofa_bert.models.record import ModelRecord
from ofa_bert.options import option, unused
from ofa_bert.training.settings import Augmentation, LoopSettings


@dataclass(frozen=True, kw_only=True)
class Polishing:
    """A sub-model of a supernet, trained alone from where the supernet left it.

    >>> from ofa_bert import ExportJob, make_job
    >>> job = make_job(ExportJob, model_name_or_path="supernet", sub_model_output_dir="small", polish=2)
    >>> job.polishing.polish, job.polishing.polish_learning_rate
    (2.0, 3e-05)
    """

    polish: float = option(
        "first train the sub-model alone, for so many passes over the training data, on what the supernet's teacher"
        " answers; 0: export it as it is",
        0.0,
        least=0,
    )
    polish_learning_rate: float = option("peak learning rate of `polish`", 3e-5, above=0)
    teacher: str | None = option(
        "with `polish`: model to learn from; default: the one that taught the supernet, or without it the supernet",
        None,
    )
    augment: float | None = option(
        "with `polish`: probability that a word piece is replaced; default: as the supernet was trained",
        None,
        least=0,
        below=1,
    )
    augment_share: float | None = option(
        "with `polish`: share of the sentences that `augment` changes; default: as the supernet was trained",
        None,
        above=0,
        most=1,
    )

    def problems(self) -> list[str]:
        names = ("polish_learning_rate", "teacher", "augment", "augment_share")
        return [] if self.polish else unused(self, names, "is about `polish`; give that too")

    def loop(self, where: str, record: ModelRecord) -> LoopSettings:
        """How training goes through the data: the batches and the length as the supernet at `where` had them."""
        told = record.settings(where)
        return LoopSettings(
            batch_size=told.whole("batch_size", least=1, default=32),
            num_train_epochs=self.polish,
            max_seq_length=record.max_seq_length or None,
            seed=record.seed or 0,
            amp="off",
        )

    def augmentation(self, where: str, record: ModelRecord) -> Augmentation:
        """What is given here; else what the supernet was trained with."""
        told, usual = record.settings(where), Augmentation()
        augment, share = self.augment, self.augment_share
        if augment is None:
            augment = told.number("augment", 0, 1, default=usual.augment)
        if share is None:
            share = told.number("augment_share", 0, 1, default=usual.augment_share)
        return Augmentation(augment=augment, augment_share=share)
