"""What the figures depend on beside the programs: the machine, its load and the versions."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from search.devices import available_cores, memory_bytes

_PACKAGES = (
    "toprung",
    "keras",
    "tensorflow",
    "jax",
    "optuna",
    "optuna-integration",
    "keras-tuner",
    "numpy",
)


def facts() -> dict[str, Any]:
    """The machine and the versions, for the file of results."""
    return {
        "processor": _processor(),
        "cores": available_cores(),
        "memory_gib": round(memory_bytes() / 2**30, 1),
        "gpus": _output("nvidia-smi", "--query-gpu=name", "--format=csv,noheader").splitlines(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "backend": os.environ.get("KERAS_BACKEND", "tensorflow"),
        "versions": {name: _version(name) for name in _PACKAGES},
        "commit": _output("git", "describe", "--always", "--dirty") or None,
    }


def load() -> float:
    """Processes that wanted a core in the last minute, on average; above the cores, figures mean little."""
    return os.getloadavg()[0]


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(package: str) -> str | None:
    with suppress(PackageNotFoundError):
        return version(package)
    return None


def _output(*command: str) -> str:
    if shutil.which(command[0]) is None:
        return ""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
