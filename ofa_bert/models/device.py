"""The device that Paddle computes on."""

from __future__ import annotations

import importlib.util

from ofa_bert.errors import UserError
from ofa_bert.system import accelerator, interrupts
from ofa_bert.system.packages import missing, require

DEVICES = ("cpu", "gpu", "xpu")


def select_device(device: str) -> str:
    """Makes `device` Paddle's current one and returns its full name ("cpu", "gpu:0"). Raises UserError.

    Under paddle.distributed.launch, Paddle itself picks the card that the launcher assigned to this process.
    """
    device = accelerator.means(device)
    if device not in DEVICES:
        raise UserError(f"`device` {device}: unknown; allowed: {', '.join(DEVICES)}")
    paddle = require("paddle")
    interrupts.check()  # an import takes the handlers away, and swallows what is raised inside it now and then
    if importlib.util.find_spec("paddlenlp") is None:
        raise missing("paddlenlp")
    present = _present_devices(paddle)
    if device not in present:
        raise UserError(
            f"`device` {device}: not available to Paddle {paddle.__version__} on this machine;"
            f" available: {', '.join(present)}"
        )
    try:
        paddle.set_device(device)
        if device != "cpu":
            # A card that is newer than this Paddle is listed as present and fails at its first kernel.
            float(paddle.ones([1]) + 1)
    except (RuntimeError, OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[-1]
        raise UserError(
            f"`device` {device}: Paddle {paddle.__version__} cannot compute on it ({reason});"
            " Paddle 2.6 knows NVIDIA cards up to compute capability 8.6, newer ones need Paddle 3.x"
        ) from error
    return paddle.get_device()


def _present_devices(paddle) -> list[str]:
    present = ["cpu"]
    if paddle.is_compiled_with_cuda() and paddle.device.cuda.device_count() > 0:
        present.append("gpu")
    if paddle.is_compiled_with_xpu() and paddle.device.xpu.device_count() > 0:
        present.append("xpu")
    return present
