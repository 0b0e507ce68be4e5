"""Writing a file so that a reader, or a crash, finds the old one or the new one, never a mixture."""

import os
import secrets
from collections.abc import Iterable
from pathlib import Path

TEMPORARY = ".tmp-"  # in the names of files that are being written


def replace_file(path: Path, parts: Iterable[bytes | memoryview], *, durable: bool) -> None:
    """Write a file's parts one after the other, in place of what it was.

    Args:
        path: In a folder that exists.
        parts: The whole of it.
        durable: Whether it must outlast a power cut as well.
    Raises:
        OSError: It cannot be written; a file that was there is left as it was.
    """
    # Not tempfile: its 0600 would replace the permissions that the user's umask asks for.
    temporary = path.with_name(f".{path.name[:100]}{TEMPORARY}{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as file:
            file.writelines(parts)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        sync(path.parent)


def sync(path: Path) -> None:
    """Wait until what was written to a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
