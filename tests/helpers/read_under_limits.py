"""python -m helpers.read_under_limits FILE...: reads weight files, each in 2 s and 256 MiB; JSON lines say how."""

from __future__ import annotations

import json
import sys

from helpers.limits import outcome
from ofa_bert.files.weights import read_weights

if __name__ == "__main__":
    for path in sys.argv[1:]:
        print(json.dumps([path, outcome(lambda path=path: read_weights(path), 2, 256)]), flush=True)
    assert "paddle" not in sys.modules
