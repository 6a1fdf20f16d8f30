"""Where this checkout lies, and the real data and models beside it; tests that read those are skipped without them."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"
TESTS = ROOT / "tests"

# Packages of ofa_bert whose modules import no Paddle when they are imported.
WITHOUT_PADDLE = (
    "bench",
    "bundle",
    "data",
    "engines",
    "exits",
    "files",
    "load",
    "report",
    "runtime",
    "serving",
    "submodels",
    "system",
    "tasks",
)
