"""A study's folder: who may write there, and whose files it holds."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from search.errors import ENVIRONMENT, SearchError
from studies.files import is_name
from studies.locks import FileLock, Held

_LOCK = ".lock"  # held by the run that may write there
_OWNER = ".study"  # the uuid of the study whose files these are


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
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


def is_new(folder: Path) -> bool:
    """Whether a study's folder, which this run has to itself, holds nothing yet."""
    return [path.name for path in folder.iterdir()] == [_LOCK]


@contextmanager
def leaving_nothing_behind(folder: Path) -> Iterator[None]:
    """Delete a study's folder that holds nothing yet when a run of it is refused."""
    new = is_new(folder)
    try:
        yield
    except BaseException:
        if new:
            shutil.rmtree(folder, ignore_errors=True)
        raise


def refuse_strangers(folder: Path, store_url: str, name: str) -> None:
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
        if error.exit_code == ENVIRONMENT:
            raise
        known = None  # no such store, or no such study in it
    if known != owner:
        law = "move or delete it, or choose another place with --out"
        raise SearchError(f'{folder}: holds files of another study "{name}", of another store or deleted; {law}')


def sign(folder: Path, uuid: str) -> None:
    """Note whose files a folder holds from now on."""
    (folder / _OWNER).write_text(uuid)


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


def _owner(folder: Path) -> str | None:
    """The uuid of the study whose files a folder holds; None where it doesn't tell, as those of the first release."""
    mark = folder / _OWNER
    return mark.read_text() if mark.exists() else None
