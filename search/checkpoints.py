"""What a trial needs to go on: its state after an epoch and its best weights, verified when read."""

from __future__ import annotations

import hashlib
import json
import math
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.blobs import Blobs, Part
from search.progress import Progress

_GENERATIONS = 2
_DIGEST_BYTES = hashlib.sha256().digest_size

Tensors = list[NDArray[Any]]


class Checkpoints:
    """The checkpoints of one trial, below `folder`.

    What was written for another `identity` (other params, another seed) isn't read: a trial's number may be
    given anew when a run is killed before the store has the trial.

    The state (weights, optimizer, progress) is written after every epoch and kept in two generations; the
    best weights are written when they change, under the name of their epoch, before the state that speaks of them.
    """

    def __init__(self, blobs: Blobs, folder: str, identity: str = "") -> None:
        self._blobs = blobs
        self._folder = folder
        self._identity = identity
        self._generations: list[Progress] = []
        self._keys_there: set[str] = set()

    def save(self, progress: Progress, state: Tensors, best: Tensors | None, *, durable: bool = False) -> None:
        """Keep the state after an epoch, and the best weights if this epoch brought them."""
        if best is not None and progress.best_epoch is not None:
            self._blobs.put(self._best_key(progress.best_epoch), *_packed({}, best), durable=durable)
        elif durable and progress.best_epoch is not None:
            self._blobs.harden(self._best_key(progress.best_epoch))
        meta = {
            "epoch": progress.epoch,
            "history": {name: list(values) for name, values in progress.history.items()},
            "best_epoch": progress.best_epoch,
            "seconds": progress.seconds,
            "identity": self._identity,
        }
        self._blobs.put(self._state_key(progress.epoch), *_packed(meta, state), durable=durable)
        self._generations = [*self._generations, progress][-_GENERATIONS:]
        self._delete_all_but_generations()

    def load(self) -> tuple[Progress, Tensors] | None:
        """The newest state that is whole and whose best weights are whole; None if the trial must start again."""
        for key in reversed(self._keys("epoch")):
            found = self._read_state(key)
            if found is not None:
                self._generations, self._keys_there = [found[0]], set(self._keys())
                return found
        return None

    def best(self, epoch: int) -> Tensors:
        """The weights kept at the best epoch.

        Raises:
            KeyError: They are missing or damaged.
        """
        return _unpack(self._blobs.get(self._best_key(epoch)))[1]

    def has_best(self, epoch: int) -> bool:
        """Whether the weights kept at the best epoch are there, and whole."""
        try:
            self.best(epoch)
        except KeyError:
            return False
        return True

    def _read_state(self, key: str) -> tuple[Progress, Tensors] | None:
        try:
            meta, tensors = _unpack(self._blobs.get(key))
            if meta["identity"] != self._identity:
                return None
        except KeyError:
            return None
        if meta["best_epoch"] is not None and not self.has_best(meta["best_epoch"]):
            return None
        history = {name: tuple(values) for name, values in meta["history"].items()}
        return Progress(meta["epoch"], history, meta["best_epoch"], meta["seconds"]), tensors

    def _delete_all_but_generations(self) -> None:
        kept = {self._state_key(one.epoch) for one in self._generations}
        kept |= {self._best_key(one.best_epoch or 0) for one in self._generations}
        for key in self._keys_there - kept:
            self._blobs.delete(key)
        self._keys_there = kept

    def _keys(self, *kinds: str) -> list[str]:
        """Those of the states and of the best weights, by epoch."""
        prefixes = tuple(f"{self._folder}/{kind}-" for kind in kinds or ("epoch", "best"))
        return [key for key in self._blobs.keys(self._folder) if key.startswith(prefixes)]

    def _state_key(self, epoch: int) -> str:
        return f"{self._folder}/epoch-{epoch:06d}"

    def _best_key(self, epoch: int) -> str:
        return f"{self._folder}/best-{epoch:06d}"


def _packed(meta: dict[str, Any], tensors: Tensors) -> list[Part]:
    """A digest, a line of JSON with the metadata and each tensor's type and shape, then their bytes, as they lie.

    An npz archive would do, and take ten times as long: an epoch may be over in five milliseconds.
    """
    head = {"meta": meta, "tensors": [[_name(tensor.dtype), tensor.shape] for tensor in tensors]}
    parts: list[Part] = [json.dumps(head).encode() + b"\n", *(_bytes(tensor) for tensor in tensors)]
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return [digest.digest(), *parts]


def _bytes(tensor: NDArray[Any]) -> memoryview:
    """Not of the tensor itself, whose type Python may not know: bfloat16."""
    return np.ascontiguousarray(tensor).reshape(-1).view(np.uint8).data


@cache
def _name(kind: np.dtype[Any]) -> str:
    """NumPy puts the name together each time it is asked."""
    return kind.name


def _unpack(data: bytes) -> tuple[dict[str, Any], Tensors]:
    """The inverse of `_packed`; KeyError if a bit is not as it was written."""
    digest, payload = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
    if hashlib.sha256(payload).digest() != digest:
        raise KeyError("damaged checkpoint")
    line, _, rest = payload.partition(b"\n")
    head, start, tensors = json.loads(line), 0, []
    for name, shape in head["tensors"]:
        tensor = np.frombuffer(rest, np.dtype(name), math.prod(shape), start)
        tensors.append(tensor.reshape(shape))
        start += tensor.nbytes
    return head["meta"], tensors
