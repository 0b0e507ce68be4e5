"""The competition at one rung of one bracket: who may go up."""

from bisect import bisect_left, insort
from heapq import heappop, heappush

Key = tuple[float, int]  # (what is minimised, trial number): the smaller key is the better trial


class Rung:
    """Those that arrived at a rung, ranked, and those among them that still wait there.

    The best floor(n / reduction_factor) of the n that arrived may go up, wherever the others have gone
    since: places taken by promoted trials stay taken.

    Args:
        reduction_factor: One in so many goes up.

    Attributes:
        least: Arrivals before which nobody does.

    Source:
        Li et al. (2020), "A System for Massively Parallel Hyperparameter Tuning", algorithm 2.
    """

    def __init__(self, reduction_factor: int, least: int = 0) -> None:
        self.least = least
        self._reduction_factor = reduction_factor
        self._ranking: list[Key] = []
        self._waiting: list[Key] = []  # a heap; those in _gone are taken off when they come to its top
        self._gone: set[int] = set()

    def arrive(self, key: Key) -> None:
        """Rank a trial that has just come."""
        insort(self._ranking, key)
        heappush(self._waiting, key)

    def leave(self, number: int) -> None:
        """Let a trial wait no longer: it went up, or it failed. Its place in the ranking stays."""
        self._gone.add(number)

    def best(self) -> Key | None:
        """The best trial that waits, whether it may go up or not."""
        while self._waiting and self._waiting[0][1] in self._gone:
            heappop(self._waiting)
        return self._waiting[0] if self._waiting else None

    def key_of(self, number: int) -> Key | None:
        """What a trial that waits is ranked by."""
        return next((key for key in self._waiting if key[1] == number and number not in self._gone), None)

    def promotable(self) -> Key | None:
        """The best trial that waits, if it has a place above."""
        best = self.best()
        return best if best is not None and self._has_a_place(best) else None

    def candidates(self) -> list[Key]:
        """All that wait and have a place above, the best first."""
        found: list[Key] = []
        heads = [(key, 0) for key in self._waiting[:1]]  # of the branches of the heap that aren't looked at yet
        while heads and self._has_a_place(heads[0][0]):
            key, index = heappop(heads)
            if key[1] not in self._gone:
                found.append(key)
            for below in range(2 * index + 1, min(2 * index + 3, len(self._waiting))):
                heappush(heads, (self._waiting[below], below))
        return found

    def _has_a_place(self, key: Key) -> bool:
        return bisect_left(self._ranking, key) < places(len(self._ranking), self._reduction_factor, self.least)


def places(arrivals: int, reduction_factor: int, least: int) -> int:
    """How many of those that arrived at a rung may go up; see `Rung`."""
    return arrivals // reduction_factor if arrivals >= least else 0
