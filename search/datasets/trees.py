"""Files by name, whether they lie in a folder, a zip or a tar; archives are read in place, never unpacked.

What an archive claims is checked before its content is read: links, devices, absolute names and ".." are
refused here, as the filters of older Pythons let some of them through (CVE-2025-4517), and so are archives
that would fill the memory.
"""

from __future__ import annotations

import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Self

from search.datasets.arrays import BYTES_LIMIT
from search.errors import SearchError

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
_FILES_LIMIT = 200_000
_DESCRIPTION_LIMIT = 2**20
_RATIO_LIMIT, _RATIO_FREE_BYTES = 100, 100 * 2**20  # small archives of flat colours shrink more than bombs do
_DAMAGED = (OSError, EOFError, RuntimeError, zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError)

Contents = Iterator[tuple[str, bytes]]


@dataclass(frozen=True, eq=False)
class Tree:
    """Files below one root.

    Attributes:
        where: What errors call it.
        names: The files' paths below the root, with "/", sorted; hidden ones are left out.
        read: Yields name and content of the files asked for, in any order.
    """

    where: str
    names: tuple[str, ...]
    read: Callable[[Collection[str]], Contents]


def open_tree(path: Path) -> Tree:
    """The files of a folder or an archive, without a single folder that may enclose them all.

    Raises:
        SearchError: No such path, damaged, empty, or with something in it that is refused.
    """
    if path.is_dir():
        tree = _folder(path)
    elif path.name.lower().endswith(".zip"):
        tree = _archive(path, _zip_members, _read_zip)
    else:
        tree = _archive(path, _tar_members, _read_tar)
    if not tree.names:
        raise SearchError(f"{path}: holds no files")
    for name in tree.names:
        if not name.isprintable() and any("\ud800" <= letter <= "\udfff" for letter in name):
            raise SearchError(f"{path}: names of files and folders must be UTF-8 ({name!a} came); rename it")
    return unwrapped(tree)


def unwrapped(tree: Tree) -> Tree:
    """The tree below its top folder, where everything is in that one."""
    top, *others = {name.partition("/")[0] for name in tree.names}
    if others or top in ("train", "test") or tree.names == (top,):
        return tree

    def read(names: Collection[str]) -> Contents:
        for name, content in tree.read({f"{top}/{name}" for name in names}):
            yield name.removeprefix(f"{top}/"), content

    below = tuple(name.removeprefix(f"{top}/") for name in tree.names)
    return unwrapped(Tree(f"{tree.where}/{top}", below, read))


def _folder(path: Path) -> Tree:
    names = []
    for folder, folders, files in os.walk(path, followlinks=False):
        folders[:] = sorted(name for name in folders if not _hidden(name))
        for name in folders:
            if (Path(folder) / name).is_symlink():
                raise SearchError(f"{Path(folder) / name}: is a link to a folder; copy the folder or link its files")
        if not folders and not files:
            raise SearchError(f"{folder}: is empty; remove it or put files into it")
        names += [(Path(folder) / name).relative_to(path).as_posix() for name in files]

    def read(wanted: Collection[str]) -> Contents:
        for name in sorted(wanted):
            yield name, _read_file(path / name)

    return Tree(str(path), _visible(names), read)


def _read_file(path: Path) -> bytes:
    if not path.is_file():
        raise SearchError(f"{path}: is neither a file nor a folder, or a link that leads nowhere")
    try:
        return path.read_bytes()
    except OSError as problem:
        raise SearchError(f"{path}: cannot be read ({problem.strerror})") from None


def _archive(
    path: Path,
    members: Callable[[Path], Iterable[tuple[str, int]]],
    read: Callable[[Path, Collection[str]], Contents],
) -> Tree:
    names: list[str] = []
    total = 0
    try:
        for name, size in members(path):
            names.append(_safe(path, name))
            total += size
            _refuse_bomb(path, len(names), total)
    except _DAMAGED as problem:
        reason = str(problem).partition("\n")[0].rstrip(":")  # below it, tarfile lists all it has tried
        raise SearchError(f"{path}: cannot be read as an archive ({reason})") from None
    if len(set(names)) < len(names):
        raise SearchError(f"{path}: holds two files of one name")
    return Tree(str(path), _visible(names), lambda wanted: _guarded(path, read(path, wanted)))


def _guarded(path: Path, contents: Contents) -> Contents:
    try:
        yield from contents
    except _DAMAGED as problem:
        raise SearchError(f"{path}: is damaged ({problem})") from None


def _safe(path: Path, name: str) -> str:
    """The name without a leading "./"; refuses one that could lead outside."""
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or any(mark in name for mark in ("\\", "\0", ":")):
        raise SearchError(f"{path}: unsafe name {name!r}; names must be relative, without '..', ':' and '\\'")
    return "/".join(parts)


def _refuse_bomb(path: Path, files: int, total_bytes: int) -> None:
    ratio = total_bytes / max(path.stat().st_size, 1)
    if files > _FILES_LIMIT or total_bytes > BYTES_LIMIT:
        raise SearchError(
            f"{path}: archives may hold {_FILES_LIMIT} files and {BYTES_LIMIT} bytes (came {files} files and "
            f"{total_bytes} bytes); unpack it and give the folder"
        )
    if ratio > _RATIO_LIMIT and total_bytes > _RATIO_FREE_BYTES:
        raise SearchError(
            f"{path}: would grow {ratio:.0f} times when unpacked, {_RATIO_LIMIT} times are allowed; "
            "unpack it and give the folder"
        )


def _zip_members(path: Path) -> Iterator[tuple[str, int]]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise SearchError(f"{path}: {info.filename}: links and devices are refused; pack plain files")
            if info.flag_bits & 1:
                raise SearchError(f"{path}: {info.filename}: is encrypted; pack it without a password")
            if not info.is_dir():
                yield info.filename, info.file_size


def _read_zip(path: Path, wanted: Collection[str]) -> Contents:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if not info.is_dir() and (name := _safe(path, info.filename)) in wanted:
                yield name, archive.read(info)


class _Member(tarfile.TarInfo):
    """A member of a tar; one that only describes the next is read whole by `tarfile`, and must be small for that."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """The member that a header announces."""
        member = super().frombuf(buf, encoding, errors)
        if member.type not in tarfile.REGULAR_TYPES and member.size > _DESCRIPTION_LIMIT:
            raise RuntimeError(f"a header of {member.size} bytes; at most {_DESCRIPTION_LIMIT} are read")
        return member


def _tar_members(path: Path) -> Iterator[tuple[str, int]]:
    with tarfile.open(path, tarinfo=_Member) as archive:
        for member in archive:
            if not (member.isfile() or member.isdir()) or member.issparse():
                raise SearchError(f"{path}: {member.name}: links and devices are refused; pack plain files")
            if member.isfile():
                yield member.name, member.size


def _read_tar(path: Path, wanted: Collection[str]) -> Contents:
    with tarfile.open(path, tarinfo=_Member) as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isfile() else None
            if file and (name := _safe(path, member.name)) in wanted:
                yield name, file.read()


def _visible(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(name for name in names if not any(_hidden(part) for part in name.split("/"))))


def _hidden(name: str) -> bool:
    return name.startswith(".") or name in ("__MACOSX", "Thumbs.db", "desktop.ini")
