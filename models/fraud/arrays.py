"""The array types that the fraud model's modules share."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Marks = npt.NDArray[np.uint64]
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
