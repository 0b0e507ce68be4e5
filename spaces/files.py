"""A TOML file to a checked model: every problem at once, with "did you mean"."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spaces.errors import InputError, close_match, key_path, shown
from spaces.space import Space, is_hypermodel, refuse_no_hypermodel
from spaces.validation import validate

CATALOG = Path(__file__).with_name("catalog")
"""The folder of the spaces that toprung ships."""

_MAX_BYTES = 1_000_000
_MAX_INTEGER = 10**12
_MAX_DEPTH = 20


def load_space(name_or_path: str, relative_to: Path | None = None) -> Space:
    """A space, read and checked; of a hypermodel without parameters, which it is asked for later.

    Args:
        name_or_path: A name in the catalog, a path, or "keras_tuner:package.module:build_model".
        relative_to: The folder in which a relative path starts; by default the current one.

    Raises:
        InputError: There is no such space, or the file is no space: all that is wrong with it.
    """
    if is_hypermodel(name_or_path):
        refuse_no_hypermodel(name_or_path)
        return validate(Space, {"model": name_or_path}, name_or_path)
    path = find("space", name_or_path, CATALOG, relative_to)
    return validate(Space, read_toml(path), shown_path(path))


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file.

    Raises:
        InputError: The file cannot be read, is larger than 1 MB, is no UTF-8 text, breaks TOML's
            syntax (the line is given), or holds a whole number beyond 10^12.
    """
    where = shown_path(path)
    try:
        data = tomllib.loads(_text(path, where))
        large = [f"{key}: whole numbers go to 10^12 (came {shown(value)})" for key, value in _large(data)]
    except RecursionError:
        raise InputError(where, ["is nested too deeply"]) from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(where, [f"is no TOML: {error}"]) from None
    except ValueError:
        raise InputError(where, ["holds a number of more digits than can be read"]) from None
    if large:
        raise InputError(where, large)
    return data


def find(kind: str, name_or_path: str, catalog: Path, relative_to: Path | None = None) -> Path:
    """The file that a user means by a path, or by a name in a catalog.

    Args:
        kind: What is looked for, "space" or "study"; a word for the error.
        name_or_path: A path when it has a "/" or ends in ".toml", else a name.
        catalog: The folder of the files we ship.
        relative_to: The folder in which a relative path starts; by default the current one.

    Raises:
        InputError: There is no such file, or no such name in the catalog.
    """
    path = (relative_to or Path()) / name_or_path
    beside = [file.name for file in path.parent.glob("*.toml")] if path.parent.is_dir() else []
    if "/" in name_or_path or "\\" in name_or_path or name_or_path.endswith(".toml"):
        if not path.exists():
            raise InputError(shown_path(path), [f"no such file{close_match(path.name, beside)}"])
        return path
    names = catalog_names(catalog)
    if name_or_path in names:
        return catalog / f"{name_or_path}.toml"
    there = f"the catalog has {', '.join(names)}" if names else "the catalog is empty"
    own = f"{name_or_path}.toml"
    close = close_match(own, [own]) if own in beside else close_match(name_or_path, [*names, *beside])
    raise InputError(name_or_path or '""', [f"no {kind} of this name; {there}{close}"])


def catalog_names(catalog: Path) -> list[str]:
    """The names in a catalog, sorted."""
    return sorted(file.stem for file in catalog.glob("*.toml"))


def shown_path(path: Path) -> str:
    """A path as an error shows it: relative to the current folder when it lies there."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _text(path: Path, where: str) -> str:
    """The file's text, with the byte order mark that some editors write left out."""
    if path.is_dir():
        raise InputError(where, ["is a folder, not a file"])
    try:
        with path.open("rb") as file:
            raw = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise InputError(where, [f"cannot be read: {error.strerror}"]) from None
    if len(raw) > _MAX_BYTES:
        raise InputError(where, ["is larger than 1 MB; a file of this kind takes a few kB"])
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise InputError(where, [f"is no UTF-8 text (byte 0x{raw[error.start]:02x}, line {line})"]) from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise InputError(where, [f"is no text (a NUL character, line {line})"])
    return text


def _large(data: object, *path: str | int) -> Iterator[tuple[str, int]]:
    """The key paths of whole numbers that are too large to mean anything here."""
    if len(path) > _MAX_DEPTH:
        raise RecursionError
    if isinstance(data, int) and abs(data) > _MAX_INTEGER:
        yield key_path(path), data
    elif isinstance(data, dict | list):
        for key, value in data.items() if isinstance(data, dict) else enumerate(data):
            yield from _large(value, *path, key)
