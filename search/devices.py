"""Where trials can train: GPUs or cores, as slots with the environment of their workers."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from search.errors import SearchError

BACKENDS = ("tensorflow", "jax", "torch")
_INSTALLS = {"tensorflow": "tensorflow", "jax": "'toprung[jax]'", "torch": "torch"}
_INHERITED = ("PATH", "HOME", "USER", "LANG", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "COLUMNS", "TZ")
_INHERITED_STARTS = ("LC_", "PYTHON", "KERAS_", "TF_", "XLA_", "JAX_", "CUDA_", "NVIDIA_", "OMP_")


@dataclass(frozen=True)
class Slot:
    """A place for one worker.

    Attributes:
        gpu: Index of the GPU it computes on; None for cores.
        sharers: Workers on the same GPU, this one included.
        threads: Processor threads it may use.
    """

    gpu: str | None
    sharers: int
    threads: int

    @property
    def name(self) -> str:
        """For people: "GPU 0" or "1 core"."""
        if self.gpu is not None:
            return f"GPU {self.gpu}"
        return "1 core" if self.threads == 1 else f"{self.threads} cores"


def find_slots(workers: int | None, slots_per_gpu: int, gpus: list[str], cores: int) -> list[Slot]:
    """Slots for the workers of a run: GPUs times slots where there are GPUs, otherwise cores.

    Raises:
        SearchError: More workers were asked for than there are places on the GPUs.
    """
    if gpus:
        places = [gpu for _ in range(slots_per_gpu) for gpu in gpus]
        count = len(places) if workers is None else workers
        if count > len(places):
            raise SearchError(
                f"--workers: more than the GPUs have slots for ({count}); {len(gpus)} GPUs x {slots_per_gpu} "
                f"slots are {len(places)}: raise --slots-per-gpu"
            )
        return [Slot(gpu, slots_per_gpu, max(1, cores // count)) for gpu in places[:count]]
    count = cores if workers is None else workers
    return [Slot(None, 1, max(1, cores // count)) for _ in range(count)]


def visible_gpus(environment: Mapping[str, str] = os.environ) -> list[str]:
    """The NVIDIA GPUs that workers may use, by index, within CUDA_VISIBLE_DEVICES; none without a driver."""
    allowed = environment.get("CUDA_VISIBLE_DEVICES")
    if allowed is not None:
        return [gpu for gpu in allowed.split(",") if gpu.strip() not in ("", "-1")]
    if shutil.which("nvidia-smi") is None:
        return []
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)  # noqa: S607
    return [str(index) for index, _ in enumerate(listed.stdout.splitlines()) if listed.returncode == 0]


def available_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_bytes() -> int:
    """Memory of this machine, or of the control group that holds the process if that has less."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError):
        total = min(total, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return total


def oom_kills() -> int:
    """How many processes Linux has killed for want of memory since it started; 0 where it doesn't tell."""
    with suppress(OSError):
        lines = Path("/proc/vmstat").read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith("oom_kill "))
    return 0


def choose_backend(name: str | None, environment: Mapping[str, str] = os.environ) -> str:
    """The backend by option, by KERAS_BACKEND, or TensorFlow.

    Raises:
        SearchError: Keras has no such backend, or it isn't installed.
    """
    asked = name or environment.get("KERAS_BACKEND") or BACKENDS[0]
    if asked not in BACKENDS:
        raise SearchError(f"--backend: unknown ({asked!r}); Keras has {', '.join(BACKENDS)}")
    if importlib.util.find_spec(asked) is None:
        raise SearchError(f"--backend: {asked} isn't installed; pip install {_INSTALLS[asked]}", exit_code=3)
    return asked


def worker_environment(
    slot: Slot, backend: str, environment: Mapping[str, str] = os.environ, *, compiled: Path | None = None
) -> dict[str, str]:
    """The environment that a worker needs before it imports Keras; secrets of the shell stay outside.

    Args:
        slot: Where the worker computes.
        backend: Keras's.
        environment: Of the shell; what it says of the GPU's memory and of JAX's compiled programs is left as it is.
        compiled: Where JAX finds and keeps compiled programs; None for nowhere.
    """
    kept = {
        name: value for name, value in environment.items() if name in _INHERITED or name.startswith(_INHERITED_STARTS)
    }
    threads = str(slot.threads)
    usual = {
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false" if slot.sharers > 1 else "true",
    }
    if compiled is not None:
        usual["JAX_COMPILATION_CACHE_DIR"] = str(compiled)
        usual["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    return {**usual, **kept} | {
        "KERAS_BACKEND": backend,
        "CUDA_VISIBLE_DEVICES": slot.gpu if slot.gpu is not None else "-1",
        "OMP_NUM_THREADS": threads,
        "TF_NUM_INTRAOP_THREADS": threads,
        "TF_NUM_INTEROP_THREADS": "1",
        "TF_CPP_MIN_LOG_LEVEL": environment.get("TF_CPP_MIN_LOG_LEVEL", "3"),
        "XLA_FLAGS": _xla_flags(slot, environment.get("XLA_FLAGS", "")),
        "PYTHONUNBUFFERED": "1",
    }


def _xla_flags(slot: Slot, inherited: str) -> str:
    """JAX's processor backend takes its threads from XLA's flags."""
    if slot.gpu is not None or slot.threads > 1:
        return inherited
    single = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    return f"{inherited} {single}".strip()
