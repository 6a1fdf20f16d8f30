"""How an engine's contexts are made; for TensorRT-RTX with the kernels that it compiled on this GPU before.

TensorRT-RTX finishes an engine on the GPU that runs it, kernel by kernel. They are kept in a file beside the engine,
which the manifest does not list: it begins with the digest of what follows, and one that is not whole is made anew.
"""

from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path

from ofa_bert.errors import RunError
from ofa_bert.files.atomic import keep
from ofa_bert.files.reading import open_regular
from ofa_bert.runtime.nvidia.library import Foreign, Library

logger = logging.getLogger(__name__)

SUFFIX = ".kernels"
_DIGEST = 32  # bytes
_MOST = 1 << 30  # bytes of kernels; those of a BERT are a few megabytes


class RuntimeSettings:
    """Makes an engine's contexts. records_itself: launches are recorded by the library."""

    def __init__(self, library: Library, engine: Foreign, path: Path | None):
        self.library, self._engine, self._path = library, engine, path
        self.records_itself = hasattr(library.module, "CudaGraphStrategy")
        self._config: Foreign | None = None
        self._cache: Foreign | None = None
        self._known = b""  # digest of what was read
        if self.records_itself:
            self._configure()

    def _configure(self) -> None:
        config = self._engine.create_runtime_config()
        config.cuda_graph_strategy = self.library.module.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
        cache = config.create_runtime_cache()
        held = None if self._path is None else _read(self._path)
        if held is not None and cache.deserialize(held):  # it refuses those of another version or driver
            self._known = hashlib.sha256(held).digest()
        config.set_runtime_cache(cache)
        self._config, self._cache = config, cache

    def context(self) -> Foreign:
        """RunError when the library makes none, as where the GPU's memory is full."""
        said = self.library.messages
        said.clear()
        made: Foreign | None
        if self._config is None:
            made = self._engine.create_execution_context()
        else:
            made = self._engine.create_execution_context(runtime_config=self._config)
        if made is None:
            raise RunError(f"{self.library.name} cannot make room for the engine on the GPU: {said.first()}")
        return made

    def keep(self) -> None:
        """Write the kernels, if there are new ones. A directory that cannot be written costs their compiling alone."""
        if self._cache is None or self._path is None:
            return
        made = self._cache.serialize()
        content = b"" if made is None else bytes(made)
        digest = hashlib.sha256(content).digest()
        if not content or digest == self._known:
            return
        if not os.access(self._path.parent, os.W_OK):
            logger.info("%s: cannot be written, so kernels are compiled again the next time", self._path)
            return
        keep(self._path, lambda file: file.write(digest + content))

    def close(self) -> None:
        self._cache = self._config = None
        del self._engine


def cache_path(engine: Path) -> Path:
    return engine.with_name(engine.name + SUFFIX)


def _read(path: Path) -> bytes | None:
    """The kernels of a file; None where there is none, or one that is not whole."""
    try:
        with open_regular(path) as file:
            content = file.read(_MOST + 1)
    except OSError:
        return None
    digest, kernels = content[:_DIGEST], content[_DIGEST:]
    if len(content) > _MOST or hashlib.sha256(kernels).digest() != digest:
        logger.warning("%s: is not whole; kernels are compiled again", path)
        return None
    return kernels
