"""Weights that make up for classes of different sizes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def class_weights(y: NDArray[np.int32], classes: int) -> NDArray[np.float32]:
    """A weight a class, in inverse proportion to its rows; over all rows they are 1 on average.

    Args:
        y: Shape (rows,): labels from 0 to classes - 1, each of which occurs.
        classes: Number of classes.
    Returns:
        Shape (classes,): rows / (classes * rows of the class), scikit-learn's "balanced".
    Source:
        King and Zeng (2001), doi:10.1093/oxfordjournals.pan.a004868, section 4.2.
    """
    counts = np.bincount(y, minlength=classes)
    return (len(y) / (classes * counts)).astype(np.float32)
