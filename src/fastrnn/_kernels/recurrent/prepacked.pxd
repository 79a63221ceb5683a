from fastrnn._kernels.runtime.interrupt cimport Call
from fastrnn._kernels.runtime.memory cimport Buffer
from fastrnn._kernels.runtime.thread_groups cimport ThreadGroups
from fastrnn._kernels.simd cimport FR_MOST_STATES, fr_cell, fr_index, fr_kernels, fr_step

# Where one step of a whole stack keeps its rows.
cdef struct StepMemory:
    const fr_cell *cell  # any of them
    void **x             # pointers to the rows of a cell's x, then of its y
    char *states[FR_MOST_STATES]  # of each, for each cell: slots [slots][rows][ld]
    char *scratch        # of a cell
    char *work           # of each thread, if the cells are programs; else NULL
    char *sum            # [rows][ld] the outputs of residual layers; NULL where there are none
    fr_index state_bytes  # [rows][ld]
    fr_index bytes


cdef class Prepacked:
    cdef const fr_kernels *kernels
    cdef fr_step *kernel
    cdef tuple cells, owners
    cdef fr_index count, directions, states
    cdef bint residual    # whether there are layers that add their inputs to their outputs
    cdef int typenum
    cdef fr_index input, hidden, output, meetings
    cdef fr_index widest  # of the inputs of all cells
    cdef double row_work
    cdef Buffer prototypes
    cdef fr_cell *prototype  # of each cell
    cdef Buffer scratch
    cdef fr_index scratch_rows
    cdef int scratch_threads
    cdef int scratch_taken  # a flag
    cdef Buffer scratch_for(self, fr_index rows, int threads, bint own)
    cdef int compute(self, object x, object state, object out, fr_index rows) except -1
    cdef int run_layer(
        self, fr_index layer, object x, object lengths, object num_threads, object state,
        object final, object y,
    ) except -1
    cpdef int run_cell(
        self, fr_index index, object x, object lengths, object state, object final, object y,
        object num_threads,
    ) except -1
    cdef bint stale(self) noexcept
    cdef object state(self, fr_index rows, bint zeroed=*)
    cdef StepMemory memory_at(self, char *block, fr_index rows, int threads=*) noexcept nogil
    cdef void load(self, const StepMemory *memory, object state, fr_index rows) noexcept
    cdef void store(self, const StepMemory *memory, object out, fr_index rows) noexcept
    cdef void run(
        self, const StepMemory *memory, fr_index rows, const void *x, ThreadGroups groups,
        Call *call,
    ) noexcept nogil

cdef bint adds_inputs(bint residual, fr_index layer) noexcept nogil
cdef char *rows_of_state(
    const StepMemory *memory, fr_index state, fr_index cell, bint after
) noexcept nogil
