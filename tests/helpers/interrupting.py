"""A training that is interrupted between two steps."""

from contextlib import contextmanager


@contextmanager
def interrupted_after(steps, monkeypatch):
    """Inside, Ctrl+C comes in the step after so many, before its weights change."""
    from ofa_bert.training import loop

    real, left = loop.distributed.average_gradients, [steps]

    def dies(parameters):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        real(parameters)

    with monkeypatch.context() as patched:
        patched.setattr(loop.distributed, "average_gradients", dies)
        yield
