"""Whether Python and the installed packages are of versions that setup.py declares."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib import metadata
from typing import TYPE_CHECKING

import ofa_bert
from ofa_bert.doctor.finding import Finding
from ofa_bert.doctor.part import Visit

if TYPE_CHECKING:
    from packaging.requirements import Requirement

_OURS = "ofa_bert"
_BUILDS = ("paddlepaddle", "paddlepaddle-gpu")  # one `paddle` package: they install over each other
_WITHOUT_PADDLE = ("runtime", "openvino", "search", "measure", "serving")


def python(name: str, visit: Visit) -> Finding:
    """The interpreter, and whether it is one that ofa_bert is made for."""
    version = platform.python_version()
    said = f"{version} ({platform.system()}, {platform.machine()}), ofa_bert {ofa_bert.__version__}"
    facts: dict[str, object] = {"version": version, "system": platform.system(), "machine": platform.machine()}
    try:
        wanted = metadata.metadata(_OURS)["Requires-Python"]
        from packaging.specifiers import SpecifierSet
    except (metadata.PackageNotFoundError, KeyError, ImportError):
        return Finding(name, "works", said, facts=facts)
    if wanted and not SpecifierSet(wanted).contains(version, prereleases=True):
        return Finding(name, "broken", f"{version}, wanted {wanted}", f"an environment of Python {wanted}", facts)
    return Finding(name, "works", said, facts=facts)


def declared(name: str, visit: Visit) -> Finding:
    """Every installed package that an extra of ours names, against the versions that it allows."""
    try:
        # It comes with ONNX Runtime and with Paddle's packages; without either there is next to nothing to compare.
        from packaging.requirements import Requirement

        lines = metadata.requires(_OURS) or []
    except ImportError as error:
        missing = "ofa_bert is not installed" if isinstance(error, metadata.PackageNotFoundError) else str(error)
        return Finding(name, "absent", f"not compared: {missing}")
    both = {build: version for build in _BUILDS if (version := version_of(build)) is not None}
    if len(both) > 1:
        said = f"{' and '.join(f'{build} {version}' for build, version in both.items())} overwrite each other"
        cure = f"pip uninstall {' '.join(both)}, then install the one you want"
        return Finding(name, "broken", said, cure, dict(both))
    checked, wrong = compare([Requirement(line) for line in lines], extras_in_use(both))
    if wrong:
        said = "; ".join(f"{item.name} {version_of(item.name)}, wanted {item.specifier}" for item in wrong)
        cure = "pip install " + " ".join(f'"{item.name}{item.specifier}"' for item in wrong)
        return Finding(name, "broken", said, cure, {"checked": checked, "wrong": [item.name for item in wrong]})
    return Finding(name, "works", f"{checked} packages as setup.py wants them", facts={"checked": checked})


def extras_in_use(builds: dict[str, str]) -> tuple[str, ...]:
    """The extras that a package may have come with, by the build of Paddle that is installed."""
    if not builds:
        return _WITHOUT_PADDLE
    ((build, version),) = builds.items()
    if not version.startswith("2."):
        return (*_WITHOUT_PADDLE, "paddle3")
    return (*_WITHOUT_PADDLE, "gpu" if build.endswith("-gpu") else "cpu")


def compare(wanted: Sequence[Requirement], extras: Sequence[str]) -> tuple[int, list[Requirement]]:
    """(installed packages that a requirement names, requirements that one of them does not meet)."""
    checked: set[str] = set()
    wrong: dict[str, Requirement] = {}
    for item in wanted:
        if item.marker is not None and not any(item.marker.evaluate({"extra": extra}) for extra in extras):
            continue
        version = version_of(item.name)
        if version is None:
            continue
        checked.add(item.name)
        if not item.specifier.contains(version, prereleases=True):
            wrong[item.name] = item
    return len(checked), list(wrong.values())


def version_of(distribution: str) -> str | None:
    """The installed version; None where it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
