"""Packed copies of weights of fewer bits, which lie together in the places of float32 numbers."""

cimport numpy as cnp
import numpy as np
from libc.stdint cimport int32_t

from fastrnn._kernels.linalg.packing cimport packed
from fastrnn._kernels.runtime.memory cimport Buffer
from fastrnn._kernels.simd cimport (
    FR_BFLOAT16, FR_INT8, FR_REAL, fr_int8_matrix, fr_kernels, fr_layout
)

from fastrnn._low_precision import Bfloat16, Int8

cnp.import_array()

# Where each of four neighbours of k lies in a quad, see simd/int8.c.
QUAD_ORDER = [0, 2, 1, 3]


cdef int format_of(object matrix) noexcept:
    """What the numbers of a matrix are: FR_REAL for an array."""
    if isinstance(matrix, Bfloat16):
        return FR_BFLOAT16
    return FR_INT8 if isinstance(matrix, Int8) else FR_REAL


cdef Buffer packed_weights(
    const fr_kernels *kernels, object matrix, const fr_layout *layout, list owner,
    object num_threads,
):
    """Pack the layout's columns of a matrix of any format, what fr_cell points to.

    What that points to itself lives as long as `owner`.
    """
    cdef int format = format_of(matrix)
    if format == FR_REAL:
        return packed(kernels, matrix, layout, num_threads)
    if format == FR_BFLOAT16:
        return packed(kernels, together(matrix.bits, 2), layout, num_threads)
    integers = together(matrix.integers, 4, QUAD_ORDER)
    start = -128 * matrix.integers.sum(axis=0, dtype=np.int32)
    cdef list parts = [
        packed(kernels, part, layout, num_threads)
        for part in (integers, matrix.scale, start.view(np.float32))
    ]
    owner += parts
    cdef Buffer result = Buffer(1, sizeof(fr_int8_matrix))
    cdef fr_int8_matrix *m = <fr_int8_matrix *>result.data
    m.data = (<Buffer>parts[0]).data
    m.scale = <const float *>(<Buffer>parts[1]).data
    m.start = <const int32_t *>(<Buffer>parts[2]).data
    return result


def together(numbers, count, order=None):
    """Lay `count` neighbours of a column side by side, as one float32; zeros fill the last."""
    rows, columns = numbers.shape
    padded = np.zeros((-(-rows // count) * count, columns), numbers.dtype)
    padded[:rows] = numbers
    groups = padded.reshape(-1, count, columns)
    if order is not None:
        groups = groups[:, order]
    return np.ascontiguousarray(groups.transpose(0, 2, 1)).view(np.float32)[:, :, 0]
