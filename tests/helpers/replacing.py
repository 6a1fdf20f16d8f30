"""A directory's new content, for tests that kill a process while it replaces the old one."""

from pathlib import Path

from ofa_bert.files import atomic

NEW = {atomic.MODEL_META: "new", "weights": "new" * 1000, "more": "new"}


def fill(directory, content):
    Path(directory).mkdir(exist_ok=True)
    for name, text in content.items():
        Path(directory, name).write_text(text)
