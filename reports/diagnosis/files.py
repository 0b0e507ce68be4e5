"""A diagnosis in one file, `diagnosis.npz`: NumPy's arrays and one text of JSON, nothing that could run."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import astuple
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from reports.diagnosis.values import Boundary, Diagnosis, FirstWeights, ModelLayer, Samples, WeightStatistics
from reports.errors import ReportError
from reports.files import replace

FORMAT = "toprung diagnosis 1"


def write(diagnosis: Diagnosis, path: Path) -> None:
    """Write a diagnosis; whoever reads meanwhile sees the old file or the new one.

    Args:
        diagnosis: What `diagnose` gives.
        path: The file, in a folder that exists.
    Raises:
        ReportError: It cannot be written; a file that was there is left as it was.
    """
    content = io.BytesIO()
    arrays: dict[str, Any] = {"about": np.array(json.dumps(_about(diagnosis))), **_arrays(diagnosis)}
    np.savez_compressed(content, **arrays)
    replace(path, content.getvalue())


def read(path: str | Path) -> Diagnosis:
    """Read what `write` wrote.

    Raises:
        ReportError: There is no such file, or it is damaged or none of a diagnosis.
    """
    try:
        with Path(path).open("rb") as file:
            return _read(file)
    except OSError as error:
        raise ReportError(f"{path}: cannot be read: {error.strerror or error}") from error
    except Exception as error:  # what a damaged file does to zipfile, zlib, NumPy and JSON has no end
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ReportError(f"{path}: damaged, or no diagnosis ({reason}); the end of a run writes it anew") from error


def _read(file: BinaryIO) -> Diagnosis:
    if not zipfile.is_zipfile(file):
        raise ValueError("not an npz file")
    file.seek(0)
    with np.load(file, allow_pickle=False) as arrays:
        about = json.loads(str(arrays["about"]))
        if about["format"] != FORMAT:
            raise ValueError(f"its format is {about['format']!r}, this version reads {FORMAT!r}")
        return _diagnosis(about, {name: arrays[name] for name in arrays.files})


def _about(diagnosis: Diagnosis) -> dict[str, Any]:
    first = diagnosis.first_weights
    return {
        "format": FORMAT,
        "class_names": diagnosis.class_names,
        "subject": diagnosis.subject,
        "model": [astuple(layer) for layer in diagnosis.model],
        "layers": [astuple(layer) for layer in diagnosis.layers],
        "first": {"layer": first.layer, "units": first.units} if first else None,
        "splits": dict(diagnosis.splits),
        "history": dict(diagnosis.history),
        "best_epoch": diagnosis.best_epoch,
        "scale": diagnosis.scale,
        "offset": diagnosis.offset,
        "inputs": diagnosis.boundary.names if diagnosis.boundary else (),
    }


def _arrays(diagnosis: Diagnosis) -> dict[str, NDArray[Any]]:
    names = ("labels", "predicted", "confidence", "probabilities")
    arrays = {name: getattr(diagnosis, name) for name in names}
    arrays |= _fields("right", diagnosis.right) | _fields("wrong", diagnosis.wrong)
    arrays |= _fields("examples", diagnosis.examples)
    return arrays | _fields("first", diagnosis.first_weights) | _fields("boundary", diagnosis.boundary)


def _fields(prefix: str, value: Any) -> dict[str, NDArray[Any]]:
    """The arrays among a value's fields; none of None."""
    named = {name: getattr(value, name) for name in getattr(value, "__slots__", ())}
    return {f"{prefix}/{name}": array for name, array in named.items() if isinstance(array, np.ndarray)}


def _below(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def _diagnosis(about: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Diagnosis:
    first: dict[str, Any] = _below("first/", arrays)
    boundary: dict[str, Any] = _below("boundary/", arrays)
    examples = _below("examples/", arrays)
    return Diagnosis(
        class_names=tuple(about["class_names"]),
        labels=arrays["labels"],
        predicted=arrays["predicted"],
        confidence=arrays["confidence"],
        probabilities=arrays["probabilities"],
        right=Samples(**_below("right/", arrays)),
        wrong=Samples(**_below("wrong/", arrays)),
        subject=about["subject"],
        model=tuple(ModelLayer(*layer) for layer in about.get("model", ())),
        layers=tuple(
            WeightStatistics(layer, name, tuple(shape), *numbers) for layer, name, shape, *numbers in about["layers"]
        ),
        first_weights=FirstWeights(**about["first"], **first) if first else None,
        splits={name: tuple(counts) for name, counts in about["splits"].items()},
        history={name: tuple(values) for name, values in about["history"].items()},
        best_epoch=about["best_epoch"],
        boundary=Boundary(**boundary, names=tuple(about.get("inputs", ()))) if boundary else None,
        examples=Samples(**examples) if examples else None,
        scale=tuple(about.get("scale", (1.0,))),
        offset=tuple(about.get("offset", (0.0,))),
    )
