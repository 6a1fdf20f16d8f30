"""A process of its own: NVIDIA's driver says which cards there are. python -m ofa_bert.doctor.probes.driver"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from ofa_bert.system import child_process, nvidia


def cards(request: Mapping[str, object]) -> dict[str, object]:
    """{"absent": True} without a driver or a card, or the CUDA version of the driver and every card."""
    found = nvidia.driver()
    if found is None:
        return {"absent": True}
    return {"cuda": found.cuda, "cards": [card._asdict() for card in found.cards]}


if __name__ == "__main__":
    sys.exit(child_process.answer(cards))
