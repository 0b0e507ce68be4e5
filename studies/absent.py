"""Packages that look as if they weren't installed, for what would import them and can do without."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


@contextmanager
def absent(names: Sequence[str]) -> Iterator[None]:
    """Importing one of these packages fails in this context, unless it was imported before."""
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None makes an import fail
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
