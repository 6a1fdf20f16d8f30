"""benchmarks/least_squares.py: what it adds to a matrix is what was missing, and less the more it is held back."""

import json
import subprocess

from helpers.paths import ROOT
from helpers.torch_python import torch_python

PROGRAM = """
import json, sys
sys.path[:0] = ["benchmarks", "."]
import torch
from least_squares import least_squares
torch.manual_seed(0)
matrix, bias = torch.randn(6, 4), torch.randn(4)
inputs = [torch.randn(3, 9, 6), torch.randn(2, 5, 6)]
real = [torch.rand(each.shape[:2]) < 0.7 for each in inputs]
missing = [each @ matrix + bias for each in inputs]
for lacks, there in zip(missing, real):
    lacks[~there] = 1e6  # padding, which must count nowhere
exact = least_squares(inputs, missing, real, 0.0)
sizes = [float(least_squares(inputs, missing, real, ridge).norm()) for ridge in (0.0, 0.1, 1.0, 100.0)]
print(json.dumps({"error": float((exact - torch.cat([matrix, bias[None]])).abs().max()), "sizes": sizes}))
"""


def test_what_is_added_is_what_was_missing():
    done = subprocess.run([torch_python(), "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["error"] < 1e-3
    assert found["sizes"] == sorted(found["sizes"], reverse=True)
    assert found["sizes"][-1] < 0.1 * found["sizes"][0]
