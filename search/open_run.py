"""One run of a study: its data, its workers and its place in the store, opened together and closed together."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from search.compiled import compiled_programs
from search.devices import (
    Slot,
    available_cores,
    find_slots,
    memory_bytes,
    visible_gpus,
    worker_environment,
)
from search.errands import Crew
from search.errors import Interrupted, SearchError
from search.messages import Refused, Workload
from search.models import OF_HYPERMODELS, is_width
from search.pool import KERAS_WORKER, Died, Pool, Post, SubprocessWorker, Worker
from search.recipe import Recipe
from search.signals import StopRequest
from spaces import Space
from spaces.parameters import Params
from studies.files import is_name, trial_folder
from studies.locks import FileLock, Held
from studies.plan import LoadedStudy, StudyPlan, fingerprint

if TYPE_CHECKING:
    from search.blobs import Blobs
    from search.datasets import SearchSplits, Source
    from search.telling import Observe
    from studies.store import OpenStudy, Store

_MEMORY_SHARE = 0.25  # of the machine's memory, that the resident data of all workers may take
_TICK_SECONDS = 0.2

# In a study's folder.
_LOCK = ".lock"  # held by the run that may write there
_OWNER = ".study"  # the uuid of the study whose files these are

_ENVIRONMENT = 3  # exit code of what isn't the study's fault


@dataclass(frozen=True)
class Options:
    """Where and with what a study runs; nothing here changes a result.

    Attributes:
        out: The folder of all runs.
        store: Database URL.
        backend: Keras's backend.
        workers: How many; None for one a GPU slot, or one a core.
        slots_per_gpu: Workers that share a GPU.
        worker_command: The program of a worker.
    """

    out: Path
    store: str
    backend: str = "tensorflow"
    workers: int | None = None
    slots_per_gpu: int = 1
    worker_command: Sequence[str] = KERAS_WORKER

    def folder(self, name: str) -> Path:
        """Where a study keeps its files."""
        return self.out / name


@dataclass(frozen=True)
class OpenRun:
    """What the phases of a run share."""

    loaded: LoadedStudy
    options: Options
    source: Source
    splits: SearchSplits
    study: OpenStudy
    pool: Pool
    blobs: Blobs
    where: str
    stop: StopRequest
    observe: Observe

    @property
    def plan(self) -> StudyPlan:
        """The study's plan."""
        return self.loaded.plan

    @property
    def sizes(self) -> tuple[int, int]:
        """Rows of the training and of the validation split."""
        return len(self.splits.train.y), len(self.splits.validation.y)

    @property
    def recipe(self) -> Recipe:
        """From a trial to a worker's task."""
        return make_recipe(self.loaded, self.options.backend)

    @property
    def crew(self) -> Crew:
        """Who does the jobs after the search."""
        return Crew(self.pool, self.stop, self.observe)


@contextmanager
def opened_run(loaded: LoadedStudy, options: Options, stop: StopRequest, observe: Observe) -> Iterator[OpenRun]:
    """Open a run, and close it whatever happens; one that is refused leaves nothing behind.

    Workers come first, for they take longest to start; what else a run needs is imported meanwhile.

    Raises:
        SearchError: The data cannot be used.
        StudyError: The store cannot be used, or holds another study of that name.
    """
    plan, folder = loaded.plan, options.folder(loaded.plan.name)
    slots = find_slots(options.workers, options.slots_per_gpu, visible_gpus(), available_cores())
    with ExitStack() as stack:
        stack.enter_context(_alone_in(folder))
        with _leaving_nothing_behind(folder), _killed_if_refused(start_pool(options, slots, folder)) as pool:
            stack.callback(pool.close)
            from search.blobs import SEALED, FolderBlobs
            from search.datasets import open_source, search_splits
            from search.models.fitness import check_study

            source = open_source(plan.data, loaded.path.parent)
            splits = search_splits(source, plan.data)
            check_study(loaded, splits)
            _refuse_strangers(folder, options.store, plan.name)
            blobs = FolderBlobs(folder)
            blobs.sweep()
            blobs.delete(SEALED)  # a run may have been killed while the test split was open
            publish(splits, blobs)
            pool.brief(workload(loaded, splits, blobs, slots))
            if loaded.space.is_custom:
                _refuse_unusable_model(pool, stop)
            from studies.store import Store

            store = stack.enter_context(Store.open(options.store))
            study = stack.enter_context(_begun(store, loaded, splits))
            (folder / _OWNER).write_text(study.uuid)
        yield OpenRun(loaded, options, source, splits, study, pool, blobs, _where(slots), stop, observe)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Keep other runs out of a study's folder, which would write over its data and checkpoints.

    Raises:
        SearchError: Another process has it (exit code 3), or it cannot be written.
    """
    made = [path for path in folder.parents if not path.exists()]
    try:
        with _locked(folder):
            yield
    except BaseException:
        for path in made:
            with suppress(OSError):  # something was left in it
                path.rmdir()
        raise


def _locked(folder: Path) -> FileLock:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / _LOCK).take()
    except Held as holder:
        law = "wait for it or stop it"
        raise SearchError(f'{folder}: the study "{folder.name}" is run by {holder}; {law}', exit_code=3) from None
    except OSError as error:
        why = error.strerror or error
        raise SearchError(f"{folder}: cannot be written ({why}); choose another place with --out") from None


@contextmanager
def _leaving_nothing_behind(folder: Path) -> Iterator[None]:
    """Delete a study's folder that holds nothing yet when a run of it is refused."""
    new = [path.name for path in folder.iterdir()] == [_LOCK]
    try:
        yield
    except BaseException:
        if new:
            shutil.rmtree(folder, ignore_errors=True)
        raise


def _refuse_strangers(folder: Path, store_url: str, name: str) -> None:
    """See that a folder is free, or holds the files of the study that the store has by its name.

    Raises:
        SearchError: They are of another study, which this run would write over.
        StudyError: The store cannot be used.
    """
    from studies.errors import StudyError
    from studies.store import Store

    if (owner := _owner(folder)) is None:
        return
    try:
        with Store.open(store_url, create=False, read_only=True) as store:
            known = store.attribute(name, "uuid")
    except StudyError as error:
        if error.exit_code == _ENVIRONMENT:
            raise
        known = None  # no such store, or no such study in it
    if known != owner:
        law = "move or delete it, or choose another place with --out"
        raise SearchError(f'{folder}: holds files of another study "{name}", of another store or deleted; {law}')


def _owner(folder: Path) -> str | None:
    """The uuid of the study whose files a folder holds; None where it doesn't tell, as those of the first release."""
    mark = folder / _OWNER
    return mark.read_text() if mark.exists() else None


@contextmanager
def _killed_if_refused(pool: Pool) -> Iterator[Pool]:
    """End workers at once, which may still be importing Keras, when a run is refused."""
    try:
        yield pool
    except BaseException:
        pool.close(0)
        raise


def _refuse_unusable_model(pool: Pool, stop: StopRequest) -> None:
    """Wait for a worker to say whether it could import the user's function, before anything is stored."""
    while (event := pool.first_event(_TICK_SECONDS)) is None:
        if stop.is_set():
            raise Interrupted(stop.exit_code)
    if isinstance(event, Refused):
        raise SearchError(event.message)
    if isinstance(event, Died) and not event.killed:
        raise SearchError(f"a worker cannot start {event}", exit_code=3)


def make_recipe(loaded: LoadedStudy, backend: str = "tensorflow") -> Recipe:
    """How the params of a study's trials become tasks for workers of a backend."""
    space, plan = loaded.space, loaded.plan
    kept = set(OF_HYPERMODELS) if space.is_hypermodel else None
    return Recipe(
        defaults=plan.training.model_dump(exclude_none=True, include=kept),
        structure=lambda params: _structure(space, params),
        trace=lambda params: _trace(space, params, backend),
        seed=plan.sampler.seed,
        seeds=plan.objective.seeds,
        record=plan.record.every if plan.record else 0,
    )


def start_pool(options: Options, slots: Sequence[Slot], folder: Path) -> Pool:
    """Start a worker in every slot; their logs go to the study's folder."""
    compiled = compiled_programs() if options.backend == "jax" else None

    def start(slot: int, post: Post) -> Worker:
        environment = worker_environment(slots[slot], options.backend, compiled=compiled)
        return SubprocessWorker(post, options.worker_command, environment, folder / "workers" / f"{slot}.log")

    return Pool(start, len(slots))


def publish(splits: SearchSplits, blobs: Blobs) -> None:
    """Put the training and the validation split where workers map them; the test split isn't among them."""
    for name, arrays in (("train", splits.train), ("validation", splits.validation)):
        blobs.put_array(f"data/x_{name}.npy", arrays.x)
        blobs.put_array(f"data/y_{name}.npy", arrays.y)


def workload(loaded: LoadedStudy, splits: SearchSplits, blobs: Blobs, slots: Sequence[Slot]) -> Workload:
    """What workers must know of a study."""
    objective = loaded.plan.objective
    return Workload(
        blobs=blobs.address(),
        model=loaded.space.model,
        monitor=objective.monitor,
        direction=objective.direction,
        classes=len(splits.class_names),
        scale=splits.scale,
        offset=splits.offset,
        threads=slots[0].threads,
        resident_bytes=int(memory_bytes() * _MEMORY_SHARE / len(slots)),
        epochs=loaded.plan.hyperband.max_resource,
        early_stopping=loaded.plan.early_stopping,
        plateau=loaded.plan.plateau,
        paths=[str(loaded.path.parent.absolute()), str(Path.cwd())],
        own_fit=objective.seeds == 1 and loaded.plan.record is None,
    )


def remove_study(store_url: str, name: str, folder: Path) -> None:
    """Delete a study from the store, then its folder, unless that holds the files of another store's study.

    Raises:
        SearchError: A run of the study is under way.
        StudyError: There is none of that name.
    """
    from studies.store import Store

    with ExitStack() as stack, Store.open(store_url, create=False) as store:
        uuid = store.load(name).uuid
        own = is_name(name) and folder.is_dir() and _owner(folder) in (None, uuid)
        if own:
            stack.enter_context(_locked(folder))
        store.remove(name)
        if own:
            shutil.rmtree(folder, ignore_errors=True)


def clean_up(blobs: Blobs, numbers: Sequence[int]) -> None:
    """Delete the weights of trials that are finished and scored, and of retrained models: `best.keras` is kept."""
    blobs.delete("retrained")
    blobs.sweep()
    for number in numbers:
        for key in blobs.keys(trial_folder(number)):
            if "/epoch-" in key or "/best-" in key:
                blobs.delete(key)


def _begun(store: Store, loaded: LoadedStudy, splits: SearchSplits) -> OpenStudy:
    plan, space = loaded.plan, loaded.space
    data = {
        "hash": splits.hash,
        "n_train": len(splits.train.y),
        "n_validation": len(splits.validation.y),
        "classes": list(splits.class_names),
        "base": str(loaded.path.parent.absolute()),
    }
    about = {
        "monitor": plan.objective.monitor,
        "plan": plan.model_dump(mode="json"),
        "space": space.model_dump(mode="json"),
        "data": data,
    }
    marks = {**fingerprint(plan, space), "data_hash": splits.hash}
    return store.begin(plan.name, plan.objective.direction, marks, about)


def _structure(space: Space, params: Params) -> str:
    """Equal where one compiled program serves: equal structural params, and the same scalar ones present."""
    return json.dumps([space.structural(params), sorted(space.scalar(params))], sort_keys=True)


def _trace(space: Space, params: Params, backend: str) -> str:
    """Equal where one trace serves, as far as is known without Keras: under TensorFlow widths may differ.

    What a worker shares it decides by itself, see `Kinship`; where they differ, that costs time and changes no result.
    """
    shared = backend == "tensorflow" and not space.is_custom and params.get("jit_compile") is not True
    return _structure(space, {name: value for name, value in params.items() if not (shared and is_width(name, value))})


def _where(slots: Sequence[Slot]) -> str:
    workers = "1 worker" if len(slots) == 1 else f"{len(slots)} workers"
    if slots[0].gpu is None:
        return f"{workers} of {slots[0].name} each (no GPU found)"
    return f"{workers} on GPU {', '.join(dict.fromkeys(str(slot.gpu) for slot in slots))}"
