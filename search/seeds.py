"""Seeds that follow from other seeds, so that a search repeats itself, also after an interruption."""

from __future__ import annotations


def derive(seed: int, *path: int) -> int:
    """A seed of 31 bits for one place below `seed`: (seed, trial), (trial's seed, epoch), ...

    Equal arguments give equal seeds on every machine; different ones are statistically independent.

    Source:
        O'Neill's hash of entropy, as numpy.random.SeedSequence has it.
    """
    import numpy as np  # once the workers are on their way

    state = np.random.SeedSequence([seed, *path]).generate_state(1)
    return int(state[0]) >> 1


def repeated(seed: int, number: int) -> list[int]:
    """The seeds of a trial's trainings: its own, then others that follow from it."""
    return [seed, *(derive(seed, index) for index in range(1, number))]
