"""Models of a Hugging Face hub: fetched by huggingface_hub into the user's own cache, with the user's own token.

The environment says where the hub and the cache are and who asks (HF_ENDPOINT, HF_HOME, HF_TOKEN, HF_HUB_OFFLINE), as
for every program that uses that library.
"""

from __future__ import annotations

import fnmatch
import functools
import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path

from ofa_bert.errors import UserError
from ofa_bert.system import packages

logger = logging.getLogger(__name__)

# What a model directory is read from. Of a repository's folders (onnx/, openvino/, ...) nothing.
_FILES = (
    *("config.json", "ofa_config.json", "tokenizer*.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.*", "merges.txt", "sentencepiece*", "*.model"),
)
# Of weights the first of these kinds that a repository has: all of them would be twice the download.
_WEIGHTS = (
    ("*.safetensors", "*.safetensors.index.json"),
    ("model_state*.pdparams", "model_state.pdparams.index.json"),
    ("pytorch_model*.bin", "pytorch_model.bin.index.json"),
)
_NAME = re.compile(r"(?P<name>\w[\w.-]*(/\w[\w.-]*)?)(@(?P<revision>[\w./-]+))?")


@dataclass(frozen=True)
class Fetched:
    """A repository as it was at a commit. revision: that commit, 40 hexadecimal digits."""

    name: str
    revision: str
    directory: Path

    def to_json(self) -> dict[str, str]:
        return {"name": self.name, "revision": self.revision}


@functools.cache
def fetched(name: str) -> Fetched | None:
    """The model `owner/name`, or `owner/name@revision`: from the hub, or from the cache where that does not answer.

    None for what can be no name, for one that the hub does not know, and where neither has it: PaddleNLP may.
    UserError when the hub does not let this user have it.
    """
    found = _NAME.fullmatch(name)
    if found is None or os.path.lexists(name):
        return None
    hub = packages.require("huggingface_hub")
    repository, revision, endpoint = found["name"], found["revision"], os.environ.get("HF_ENDPOINT")
    try:
        listed = hub.HfApi(endpoint=endpoint).model_info(repository, revision=revision)
        names = [file.rfilename for file in listed.siblings]
        weights = next((kind for kind in _WEIGHTS if any(fnmatch.filter(names, each) for each in kind)), ())
        place = hub.snapshot_download(
            repository,
            revision=revision,  # not the commit: the cache then knows it by this name as well
            endpoint=endpoint,
            allow_patterns=[*_FILES, *weights],
            ignore_patterns=["*/*"],
        )
    except hub.utils.GatedRepoError as error:
        raise UserError(f"{name}: the hub lets only those have it who were allowed to: set HF_TOKEN") from error
    except hub.utils.RepositoryNotFoundError:
        return None
    except hub.utils.RevisionNotFoundError as error:
        raise UserError(f"{name}: {repository} has no revision {revision}") from error
    except Exception as error:  # huggingface_hub's own errors, requests' and OSError
        try:
            place = hub.snapshot_download(repository, revision=revision, local_files_only=True)
        except Exception:  # nothing of that name and revision
            logger.warning(
                "%s: the hub does not answer (%s), and the cache has no such model", name, type(error).__name__
            )
            return None
        logger.warning("%s: the hub does not answer; taken from the cache", name)
    return Fetched(repository, Path(place).name, Path(place))
