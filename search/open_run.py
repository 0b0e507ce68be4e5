"""One run of a study: its data, its workers and its place in the store, opened together and closed together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING

from reports.words import counted
from search.compiled import compiled_programs
from search.devices import (
    Slot,
    available_cores,
    choose_backend,
    find_slots,
    memory_bytes,
    visible_gpus,
    worker_environment,
)
from search.errands import Crew
from search.errors import BAD_INPUT, Interrupted, SearchError
from search.folder import alone_in, is_new, leaving_nothing_behind, refuse_strangers, sign
from search.messages import Refused, Workload
from search.pool import KERAS_WORKER, Died, Pool, Post, SubprocessWorker, Worker
from search.recipe import Recipe
from search.signals import StopRequest
from studies.files import store_url
from studies.plan import LoadedStudy, StudyPlan, fingerprint

if TYPE_CHECKING:
    from search.blobs import Blobs
    from search.datasets import SearchSplits, Source
    from search.telling import Observe
    from studies.store import OpenStudy, Store

_DATA_SHARE = 0.25  # of the machine's memory, that the resident data of all workers may take
_WORKERS_SHARE = 0.8  # of it, that all workers may take together
_TICK_SECONDS = 0.2


@dataclass(frozen=True)
class Options:
    """Where and with what a study runs; nothing here changes a result.

    Attributes:
        out: The folder of all runs.
        store: Database URL.
        backend: Keras's backend.
        workers: How many; None for one a GPU slot, or one a core.
        slots_per_gpu: Workers that share a GPU.
        fresh_workers: Whether every job of a search gets a new process.
        worker_command: The program of a worker.
    """

    out: Path
    store: str
    backend: str = "tensorflow"
    workers: int | None = None
    slots_per_gpu: int = 1
    fresh_workers: bool = False
    worker_command: Sequence[str] = KERAS_WORKER

    def folder(self, name: str) -> Path:
        """Where a study keeps its files."""
        return self.out / name

    def slots(self) -> list[Slot]:
        """Where the workers train.

        Raises:
            SearchError: More workers were asked for than the GPUs have slots for.
        """
        return find_slots(self.workers, self.slots_per_gpu, visible_gpus(), available_cores())


def make_options(
    out: str | Path,
    store: str | None,
    backend: str | None,
    workers: int | None,
    slots_per_gpu: int,
    fresh_workers: bool = False,
) -> Options:
    """Options as a command or a call gives them, with what it leaves out: the store in `out`, the usual backend.

    Raises:
        SearchError: Keras has no such backend, or it isn't installed; fewer than one worker.
    """
    for name, count in (("workers", workers), ("slots_per_gpu", slots_per_gpu)):
        if count is not None and count < 1:
            raise SearchError(f"{name}: must be at least 1 (came {count})")
    url = store_url(Path(out), store)
    return Options(Path(out), url, choose_backend(backend), workers, slots_per_gpu, fresh_workers)


@dataclass(frozen=True)
class OpenRun:
    """What the phases of a run share.

    Attributes:
        loaded: The study's plan and space, and where its file lies.
        options: Where and with what it runs.
        source: Its data, the test split included.
        splits: What the search may see of it.
        study: Its place in the store.
        pool: Its workers.
        blobs: Its folder.
        where: The workers in words.
        stop: Set when the user asks to end.
        observe: Told of the progress.
    """

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
        return Recipe(self.loaded, self.options.backend)

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
    slots = options.slots()
    with ExitStack() as stack:
        stack.enter_context(alone_in(folder))
        new = is_new(folder)
        with leaving_nothing_behind(folder), _killed_if_refused(start_pool(options, slots, folder)) as pool:
            stack.callback(pool.close)
            from search.blobs import SEALED, FolderBlobs
            from search.datasets import open_source, search_splits
            from search.models.fitness import check_study

            source = open_source(plan.data, loaded.path.parent)
            splits = search_splits(source, plan.data)
            check_study(loaded, splits)
            refuse_strangers(folder, options.store, plan.name)
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
            sign(folder, study.uuid)
        with _forgotten_if_refused(store, study, pool, folder) if new else nullcontext():
            yield OpenRun(loaded, options, source, splits, study, pool, blobs, _where(slots), stop, observe)


@contextmanager
def _killed_if_refused(pool: Pool) -> Iterator[Pool]:
    """End workers at once, which may still be importing Keras, when a run is refused."""
    try:
        yield pool
    except BaseException:
        pool.close(0)
        raise


@contextmanager
def _forgotten_if_refused(store: Store, study: OpenStudy, pool: Pool, folder: Path) -> Iterator[None]:
    """Delete a study that its workers refuse before an epoch is trained: mended, it will be another one."""
    try:
        yield
    except SearchError as problem:
        if problem.exit_code == BAD_INPUT and not any(trial.epochs for trial in study.records()):
            pool.close(0)
            study.close()
            store.remove(study.name)
            rmtree(folder, ignore_errors=True)
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


def start_pool(options: Options, slots: Sequence[Slot], folder: Path) -> Pool:
    """Start a worker in every slot; their logs go to the study's folder."""
    compiled = compiled_programs() if options.backend == "jax" else None

    def start(slot: int, post: Post) -> Worker:
        environment = worker_environment(slots[slot], options.backend, compiled=compiled)
        return SubprocessWorker(post, options.worker_command, environment, folder / "workers" / f"{slot}.log")

    most = 0 if options.fresh_workers else int(memory_bytes() * _WORKERS_SHARE / len(slots))
    return Pool(start, len(slots), most)


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
        resident_bytes=int(memory_bytes() * _DATA_SHARE / len(slots)),
        epochs=loaded.plan.hyperband.max_resource,
        early_stopping=loaded.plan.early_stopping,
        plateau=loaded.plan.plateau,
        paths=[str(loaded.path.parent.absolute()), str(Path.cwd())],
        own_fit=objective.seeds == 1 and loaded.plan.record is None,
    )


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


def _where(slots: Sequence[Slot]) -> str:
    workers = counted(len(slots), "worker")
    if slots[0].gpu is None:
        return f"{workers} of {slots[0].name} each (no GPU found)"
    return f"{workers} on GPU {', '.join(dict.fromkeys(str(slot.gpu) for slot in slots))}"
