"""What it costs to check a bundle's digests when it is opened: the first time, and while its files stay as they are.

    python benchmarks/bundle_digests.py --megabytes 130

Wall time and this process's own computing time, medians; the file lies in the page cache, where its writer left it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from ofa_bert.bundle import digest_cache
from ofa_bert.bundle.digests import described
from ofa_bert.bundle.entries import ModelEntry
from ofa_bert.bundle.manifest import MANIFEST, Manifest, open_bundle
from ofa_bert.files.atomic import write_json_atomic


def make(directory, megabytes):
    with open(directory / "model.onnx", "wb") as file:
        for _ in range(megabytes):
            file.write(os.urandom(10**6))
    files = described(directory)
    models = (ModelEntry("onnx-fp32", "onnx", "fp32", tuple(files)),)
    manifest = Manifest(labels=(), num_labels=1, pad_token_id=0, max_seq_length=128, models=models, files=files)
    write_json_atomic(directory / MANIFEST, manifest.to_json())


def timed(bundle):
    wall, own = time.perf_counter(), time.process_time()
    open_bundle(bundle)
    return (time.perf_counter() - wall) * 1e3, (time.process_time() - own) * 1e3


def told(name, times):
    wall, own = (statistics.median(each) for each in zip(*times))
    return f"{name}: {wall:.1f} ms, {own:.1f} ms of computing; fastest {min(times)[0]:.1f} ms\n"


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--megabytes", type=int, default=130)
    parser.add_argument("--repeats", type=int, default=15)
    chosen = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as home:
        os.environ["XDG_CACHE_HOME"] = home
        bundle = Path(home, "bundle")
        bundle.mkdir()
        make(bundle, chosen.megabytes)
        time.sleep(digest_cache.SETTLED_NS / 1e9 + 0.5)  # until files of now are remembered
        first, later = [], []
        for _ in range(chosen.repeats):
            Path(home, "ofa_bert", digest_cache.NAME).unlink(missing_ok=True)
            first.append(timed(bundle))
            later += [timed(bundle) for _ in range(5)]
    sys.stdout.write(told(f"first, {chosen.megabytes} MB", first) + told("later", later))
    return 0


if __name__ == "__main__":
    sys.exit(main())
