from fastrnn._kernels.recurrent.weights cimport Weights
from fastrnn._kernels.simd cimport fr_matrix, fr_program


cdef class Code:
    """The arrays in C of a cell's program."""

    cdef fr_program c
    cdef object compiled
    cdef list memory


cdef class ProgramWeights(Weights):
    """The weights of a cell that is a program."""

    cdef Code code
    cdef tuple order, vectors, matrices
    cdef list copies
    cdef const void **vector
    cdef fr_matrix *matrix
    cdef const void **packed_vectors(self, list owner, object num_threads) except NULL
    cdef fr_matrix *packed_matrices(
        self, list owner, bint transposed, object num_threads
    ) except NULL
