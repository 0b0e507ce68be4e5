"""A Gaussian process: what a function may be at places where it hasn't been seen."""

import math
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_SCALES = (0.5, 1.0, 2.0)  # of the usual length
_NOISES = (0.03, 0.1, 0.3)  # variance of a value that is seen again, of the function's own
_USUAL_LENGTH = 0.23  # in a cube of one dimension; it grows with the root of their number
_SPREAD_OF_LENGTHS = 0.8  # standard deviation of their logarithm, before anything is seen
_USUAL_NOISE = 0.1  # the logarithm of the noise has a standard deviation of 1 about that of this
_JITTER = 1e-6


class GaussianProcess:
    """Regression with a Matérn kernel (5/2), a length for each coordinate and noise.

    Of a few lengths and noises those are taken whose posterior probability is highest: first one length for all
    coordinates together with the noise, then each length is doubled or halved where that is better. It takes a few
    milliseconds for a hundred values, where a search by gradients takes 20 to 150 and scikit-learn 0.7 s to import.

    Args:
        places: Shape (values, coordinates), each coordinate from 0 to 1.
        values: Shape (values,); of mean 0.

    Source:
        Rasmussen and Williams (2006), "Gaussian Processes for Machine Learning", algorithm 2.1 and section 5.4.1.
        Lengths that grow with the root of the dimensions: Hvarfner, Hellsten and Nardi (2024), arXiv:2402.02229.
    """

    def __init__(self, places: Array, values: Array) -> None:
        self._places = places
        self._lengths, self._noise = _likeliest(places, values)
        root, half = _factor(_within(places, self._lengths), values, self._noise)
        self._unroot = np.linalg.inv(root)
        self._weights = self._unroot.T @ half
        self._variance = max(_JITTER, float(half @ half) / len(values))

    def means(self, places: Array) -> Array:
        """What the function most likely is at each place, without noise; shapes as in `predict`."""
        return self._near(places) @ self._weights

    def predict(self, places: Array) -> tuple[Array, Array]:
        """What the function may be, without noise.

        Args:
            places: Shape (n, coordinates).

        Returns:
            Its mean at each place, shape (n,), and the covariance between the places, shape (n, n).
        """
        near = self._near(places)
        known = near @ self._unroot.T
        left = _within(places, self._lengths) - known @ known.T
        left[np.diag_indices_from(left)] += _JITTER
        return near @ self._weights, self._variance * left

    def _near(self, places: Array) -> Array:
        return _kernel(places / self._lengths, self._places / self._lengths)


def _likeliest(places: Array, values: Array) -> tuple[Array, float]:
    """A length for each coordinate, and the noise."""
    count = places.shape[1]
    usual = np.full(count, _USUAL_LENGTH * math.sqrt(max(1, count)))
    even = []
    for lengths in (scale * usual for scale in _SCALES):
        alike = _within(places, lengths)
        even += [(_likelihood(alike, values, lengths / usual, noise), lengths, noise) for noise in _NOISES]
    best, lengths, noise = max(even, key=itemgetter(0))
    for index in range(count):
        for factor in (0.5, 2.0):
            other = lengths.copy()
            other[index] *= factor
            found = _likelihood(_within(places, other), values, other / usual, noise)
            if found > best:
                best, lengths = found, other
                break
    return lengths, noise


def _likelihood(alike: Array, values: Array, scales: Array, noise: float) -> float:
    """The log posterior, but for a constant: the values' likelihood at its best variance, times the priors.

    Args:
        alike: The kernel between the places of the values, shape (values, values).
        values: Shape (values,).
        scales: Each coordinate's length in usual lengths; log-normal beforehand, as the noise is.
        noise: Variance of a value that is seen again, of the function's own.
    """
    root, half = _factor(alike, values, noise)
    variance = float(half @ half) / len(half)
    fit = -0.5 * len(half) * math.log(variance + 1e-12) - float(np.log(np.diag(root)).sum())
    expected = np.log(scales) / _SPREAD_OF_LENGTHS
    return fit - 0.5 * float(expected @ expected) - 0.5 * math.log(noise / _USUAL_NOISE) ** 2


def _factor(alike: Array, values: Array, noise: float) -> tuple[Array, Array]:
    """The Cholesky factor L of the values' covariance, lower triangular, and L^-1 values.

    One factorisation gives both: that of the covariance with the values as one more row has L^-1 values as its last.
    """
    count = len(values)
    covariance = np.empty((count + 1, count + 1))
    covariance[:count, :count] = alike
    covariance[np.diag_indices(count)] += noise + _JITTER
    covariance[count, :count] = values
    covariance[count, count] = 1 + values @ values / noise  # above the square of L^-1 values: positive definite
    root = np.asarray(np.linalg.cholesky(covariance), np.float64)  # it reads the lower half alone
    return root[:count, :count], root[count, :count]


def _within(places: Array, lengths: Array) -> Array:
    """How alike the function is at each two of some places."""
    return _kernel(places / lengths, places / lengths)


def _kernel(some: Array, others: Array) -> Array:
    """How alike the function is at each of some places and each of others, in lengths: 1 at the same."""
    squares = (some**2).sum(axis=1)[:, None] + (others**2).sum(axis=1) - 2 * some @ others.T
    far = np.sqrt(5 * np.maximum(0.0, squares))
    return np.asarray((1 + far + far * far / 3) * np.exp(-far))
