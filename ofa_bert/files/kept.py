"""Files that only save time, each with the SHA-256 of its content: one that is damaged costs time, and nothing else."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

from ofa_bert.files.atomic import keep
from ofa_bert.files.reading import open_regular

logger = logging.getLogger(__name__)

_DIGEST = hashlib.sha256().digest_size


def keep_content(path: Path, content: bytes) -> None:
    """Write the content behind its digest; a disk that refuses is a warning."""
    digest = hashlib.sha256(content).digest()
    keep(path, lambda file: file.write(digest + content))


def kept_content(path: Path) -> bytes | None:
    """What `keep_content` wrote, byte by byte; None, with a warning unless there is no such file, for anything else."""
    try:
        with open_regular(path) as file:
            whole = file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        logger.warning("%s: cannot be read (%s); made anew", path, error)
        return None
    digest, content = whole[:_DIGEST], whole[_DIGEST:]
    if hashlib.sha256(content).digest() != digest:
        logger.warning("%s: damaged; made anew", path)
        return None
    return content
