"""Files that are either the old ones or the new ones, never half of one."""

import errno
import os
import secrets
from pathlib import Path

from reports.errors import ReportError

MACHINE_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG)


def replace(path: Path, content: str | bytes) -> None:
    """Write `content` to `path`; whoever reads meanwhile sees the old file or the new one.

    Args:
        path: A file in a folder that exists; links are followed, pipes and devices written to as they are.
        content: The whole of it; text is written as UTF-8.
    Raises:
        ReportError: It cannot be written; a file that was there is left as it was.
    """
    target = path.resolve()
    data = content.encode() if isinstance(content, str) else content
    try:
        if target.exists() and not target.is_file() and not target.is_dir():
            target.write_bytes(data)
        else:
            _swap(target, data)
    except OSError as error:
        raise ReportError(
            f"{path}: cannot be written: {error.strerror or error}",
            exit_code=3 if error.errno in MACHINE_FAULTS else 2,
        ) from error


def _swap(target: Path, data: bytes) -> None:
    # Not tempfile: its 0600 would replace the permissions that the user's umask asks for.
    temporary = target.with_name(f".{target.name[:100]}.tmp-{secrets.token_hex(4)}")
    try:
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
