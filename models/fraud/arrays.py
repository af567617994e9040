"""The array types that the fraud model's modules share."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
States = npt.NDArray[np.int8]
Flags = npt.NDArray[np.bool_]


def any_of(flags: Flags) -> Flags:
    """(N,): whether any flag of the row is set.

    >>> any_of(np.array([[True, False], [False, False]])).tolist()
    [True, False]
    """
    found: Flags = np.any(flags, axis=1)
    return found


def number_of(flags: Flags) -> Ints:
    """(N,): how many flags of the row are set.

    >>> number_of(np.array([[True, False], [False, False]])).tolist()
    [1, 0]
    """
    return np.asarray(np.sum(flags, axis=1), dtype=np.int64)


def mean_of(values: Floats, counted: Flags) -> Floats:
    """(N,): the mean of each row's counted values, 0 where there is none.

    >>> mean_of(np.array([[1.0, 3.0], [5.0, 7.0]]), np.array([[True, True], [False, False]])).tolist()
    [2.0, 0.0]
    """
    total = np.where(counted, values, 0.0).sum(axis=1)
    return np.asarray(total / np.maximum(number_of(counted), 1), dtype=np.float64)
