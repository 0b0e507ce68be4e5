"""Is this machine ready: versions, backend, devices, memory, and whether the GPU is really used."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from search.devices import Slot, available_cores, memory_bytes, visible_gpus, worker_environment
from studies.versions import versions

_PACKAGES = ("toprung", "keras", "tensorflow", "jax", "torch", "optuna", "optuna-dashboard", "keras-tuner", "pandas")
_PROBE_SECONDS = 120
_PROBE = """
import json, time
started = time.perf_counter()
from search.quick_import import quick_import
with quick_import(everything=False):
    import keras
    from search.programs import devices
imported = time.perf_counter() - started
x = keras.ops.ones((512, 512))
where = str(getattr(x, "device", "")) or str(next(iter(x.devices())))
for _ in range(3):
    y = keras.ops.matmul(x, x)
keras.ops.convert_to_numpy(y)
print(json.dumps({"import_seconds": imported, "devices": devices(), "computed_on": where}))
"""


def examine(backend: str) -> dict[str, Any]:
    """What was found, as plain values; "problems" holds what is missing and the command that installs it."""
    gpus, installed = visible_gpus(), versions(_PACKAGES)
    found: dict[str, Any] = {
        "python": installed["Python"],
        "system": platform.platform(),
        "cores": available_cores(),
        "memory_gb": round(memory_bytes() / 2**30, 1),
        "free_disk_gb": round(shutil.disk_usage(".").free / 2**30, 1),
        "packages": {package: installed.get(package) for package in _PACKAGES},
        "backend": backend,
        "gpus": gpus,
    }
    probe = _probe(backend, gpus)
    found |= probe
    found["problems"] = _problems(found)
    return found


def findings_text(found: dict[str, Any]) -> RenderableType:
    """The same for a person."""
    table = Table(show_header=False, box=None)
    for name in ("python", "system", "cores", "memory_gb", "free_disk_gb", "backend"):
        table.add_row(name.replace("_gb", " (GB)").replace("_", " "), str(found[name]))
    for package, number in found["packages"].items():
        table.add_row(package, number or "not installed")
    table.add_row("GPUs of the system", ", ".join(f"GPU {gpu}" for gpu in found["gpus"]) or "none")
    table.add_row(f"devices of {found['backend']}", ", ".join(found.get("devices", [])) or "cores only")
    if "computed_on" in found:
        table.add_row("a matrix product ran on", found["computed_on"])
        table.add_row("importing Keras took", f"{found['import_seconds']:.1f} s")
    for problem in found["problems"]:
        table.add_row(Text("problem", style="bold red"), problem)
    if not found["problems"]:
        table.add_row(Text("ready", style="bold green"), "toprung run digits")
    return table


def _probe(backend: str, gpus: list[str]) -> dict[str, Any]:
    """Import Keras and multiply two matrices in a process of its own, as a worker would."""
    slot = Slot(",".join(gpus) if gpus else None, 1, available_cores())
    try:
        ran = subprocess.run(
            [sys.executable, "-c", _PROBE],
            env=worker_environment(slot, backend),
            capture_output=True,
            text=True,
            timeout=_PROBE_SECONDS,
            check=True,
        )
        return dict(json.loads(ran.stdout.splitlines()[-1]))
    except subprocess.CalledProcessError as error:
        return {"failure": (error.stderr.strip().splitlines() or ["no message"])[-1]}
    except subprocess.TimeoutExpired:
        return {"failure": f"no answer within {_PROBE_SECONDS} s"}


def _problems(found: dict[str, Any]) -> list[str]:
    problems = []
    if "failure" in found:
        problems.append(f"{found['backend']} cannot compute: {found['failure']}")
    elif found["gpus"] and not found["devices"]:
        problems.append(f"there is a GPU, but {found['backend']} doesn't see it; {_gpu_install(found['backend'])}")
    if found["free_disk_gb"] < 1:
        problems.append("less than 1 GB of disk is free; checkpoints need some")
    return problems


def _gpu_install(backend: str) -> str:
    packages = {"tensorflow": "'toprung[gpu]'", "jax": "'jax[cuda13]'"}
    return f"pip install {packages.get(backend, backend)}"
