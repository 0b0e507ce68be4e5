"""What runs: data, models, training, workers and their supervisor.

For notebooks and scripts, the same as the commands, imported when first asked for:

    from search import best_model, leaderboard, load, run
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from search.notebook import Study, best_model, leaderboard, load, run

__all__ = ["Study", "best_model", "leaderboard", "load", "run"]


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    """What `search.notebook` offers; importing this package alone stays cheap."""
    if name in __all__:
        return getattr(import_module("search.notebook"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
