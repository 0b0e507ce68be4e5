"""Keras's cache of data sets and weights: where it lies, and how Keras fetches into it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_FETCH_TIMEOUT_SECONDS = 1800


def cache(kind: str) -> Path:
    """Keras's folder of "datasets" or "models", by the rule of `keras.config`."""
    home = Path.home() if os.access(Path.home(), os.W_OK) else Path("/tmp")  # noqa: S108
    return Path(os.environ.get("KERAS_HOME") or home / ".keras").expanduser() / kind


def fetch(call: str) -> str:
    """Let Keras download something, in a process of its own.

    Args:
        call: Of Keras: "keras.datasets.mnist.load_data()".
    Returns:
        What went wrong in one line, empty if nothing did.
    """
    command = [sys.executable, "-P", "-c", f"import keras; {call}"]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, env=environment, timeout=_FETCH_TIMEOUT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"no answer in {_FETCH_TIMEOUT_SECONDS} seconds"
    lines = done.stderr.strip().splitlines()
    return lines[-1] if done.returncode and lines else ""
