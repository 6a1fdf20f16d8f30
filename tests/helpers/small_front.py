"""A front of three operating points: a small model, a large one with exits, a large one in one piece."""

from __future__ import annotations

from ofa_bert.bundle.front import ExitPoint, Front, OperatingPoint
from ofa_bert.exits.policy import Policy
from ofa_bert.submodels.values import ModelShape, SubModelConfig

SHAPE = ModelShape(4, 24, 3, 8, 40, 27, 32, 2, 2)
SMALL = SubModelConfig((0, 3), (1, 2), (10, 20))
LARGE = SubModelConfig((0, 1, 2, 3), (3, 3, 3, 3), (40, 40, 40, 40))
POLICY = Policy("entropy", 0.3)
POINTS = (
    OperatingPoint(SMALL, 0.8, "int8", None, {"latency_ms": 2.0, "parameters": 900.0}, 0.4, 2.2, 2.0),
    OperatingPoint(LARGE, 0.9, "fp32", ExitPoint(POLICY, (0, 2), (0.25, 0.0, 0.25, 0.5)), {"latency_ms": 3.0}, 0.1),
    OperatingPoint(LARGE, 0.95, costs={"latency_ms": 5.0}, name="w1_d1"),
)
FRONT = Front(SHAPE, "latency_ms", "accuracy", POINTS, 1)
