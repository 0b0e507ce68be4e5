"""Files that are either the old ones or the new ones, never half of one."""

import errno
from pathlib import Path

from reports.errors import ReportError
from studies.writing import replace_file

_MACHINE_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG)


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
            replace_file(target, [data], durable=True)
    except OSError as error:
        raise ReportError(
            f"{path}: cannot be written: {error.strerror or error}",
            exit_code=3 if error.errno in _MACHINE_FAULTS else 2,
        ) from error
