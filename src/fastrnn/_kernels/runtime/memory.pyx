"""Memory for tapes, scratch and results: aligned to a cache line, checked, freed with its owner.

The system hands memory out with a page fault for every 4 KiB, and the C library returns large
blocks to it when they are freed. A training step takes and frees the same blocks each time, so
those of some size are kept for the next call. Blocks from 4 MiB on ask for huge pages, as NumPy's
do. docs/decisions.md has the figures.
"""

cimport numpy as cnp
import numpy as np
from cpython.buffer cimport PyBuffer_FillInfo
from cpython.mem cimport PyMem_RawFree, PyMem_RawMalloc
from libc.stdint cimport uintptr_t
from libc.string cimport memmove, memset

cnp.import_array()

cdef extern from *:
    """
    #ifdef __linux__
    #include <stdint.h>
    #include <sys/mman.h>
    #endif

    /* Ask for huge pages in a new block. */
    static void fr_ask_huge(void *address, Py_ssize_t bytes) {
    #if defined(__linux__) && defined(MADV_HUGEPAGE)
        const uintptr_t page = (uintptr_t)1 << 12;
        const uintptr_t first = ((uintptr_t)address + page - 1) & ~(page - 1);
        const uintptr_t end = ((uintptr_t)address + (uintptr_t)bytes) & ~(page - 1);
        madvise((void *)first, end - first, MADV_HUGEPAGE); /* a hint: failure is harmless */
    #else
        (void)address, (void)bytes;
    #endif
    }

    /* The lock of the kept blocks and of the counts; where there is a GIL, that is it. */
    #ifdef Py_GIL_DISABLED
    static PyMutex fr_blocks_mutex;
    static void fr_lock_blocks(void) { PyMutex_Lock(&fr_blocks_mutex); }
    static void fr_unlock_blocks(void) { PyMutex_Unlock(&fr_blocks_mutex); }
    #else
    static void fr_lock_blocks(void) {}
    static void fr_unlock_blocks(void) {}
    #endif
    """
    void fr_ask_huge(void *address, Py_ssize_t bytes) noexcept nogil
    void fr_lock_blocks()
    void fr_unlock_blocks()

cdef Py_ssize_t ALIGNMENT = 64
cdef Py_ssize_t MOST_BYTES = <Py_ssize_t>((<size_t>-1) >> 1) - 128

cdef enum:
    MOST_KEPT = 64               # blocks
    SMALL_BYTES = 1 << 14        # the C library itself keeps what is smaller
    KEPT_BYTES = 1 << 28         # at most, in all
    HUGE_BYTES = 1 << 22


# The freed blocks, the longest unused first. Only touched by holders of the lock.
cdef Block kept[MOST_KEPT]
cdef int kept_count = 0
cdef Py_ssize_t kept_bytes = 0
cdef Py_ssize_t used_bytes = 0  # of the large blocks that are in use
cdef Py_ssize_t most_used = 0   # the most that ever were, since `release`


cdef Block remove_kept(int index) noexcept:
    global kept_count, kept_bytes
    cdef Block block = kept[index]
    kept_count -= 1
    kept_bytes -= block.bytes
    memmove(&kept[index], &kept[index + 1], (kept_count - index) * sizeof(Block))
    return block


cdef void free_kept(Py_ssize_t needed) noexcept:
    """Return to the C library at least so many bytes, or all."""
    cdef Block block
    while kept_count and needed > 0:
        block = remove_kept(0)
        needed -= block.bytes
        PyMem_RawFree(block.address)


cdef Py_ssize_t rounded(Py_ssize_t bytes) noexcept:
    """The next size with three binary digits behind its first: what differs little is alike."""
    cdef Py_ssize_t unit = 1
    while unit << 4 <= bytes:
        unit <<= 1
    return (bytes + unit - 1) // unit * unit


cdef Block take(Py_ssize_t bytes) noexcept:
    """A block of at least so many bytes, by at most a quarter too large; at NULL: none is left."""
    cdef Block block
    if bytes < SMALL_BYTES:
        return Block(PyMem_RawMalloc(bytes), bytes)
    fr_lock_blocks()
    block = take_large(rounded(bytes))
    fr_unlock_blocks()
    return block


cdef Block take_large(Py_ssize_t bytes) noexcept:
    """A kept block or a new one, of a size that is `rounded`.

    For a new one the kept ones make room as far as the process would otherwise hold more than its
    calls have needed at once.
    """
    global used_bytes, most_used
    cdef int i, best = -1
    cdef Block block
    for i in range(kept_count):
        if bytes <= kept[i].bytes <= bytes + bytes // 4:
            if best < 0 or kept[i].bytes <= kept[best].bytes:
                best = i
    if best >= 0:
        block = remove_kept(best)
    else:
        free_kept(kept_bytes + used_bytes + bytes - max(most_used, used_bytes + bytes))
        block = Block(PyMem_RawMalloc(bytes), bytes)
        if block.address != NULL and bytes >= HUGE_BYTES:
            fr_ask_huge(block.address, bytes)
    if block.address != NULL:
        used_bytes += block.bytes
        most_used = max(most_used, used_bytes)
    return block


cdef void give_back(Block block) noexcept:
    if block.address == NULL or block.bytes < SMALL_BYTES:
        PyMem_RawFree(block.address)
        return
    fr_lock_blocks()
    give_back_large(block)
    fr_unlock_blocks()


cdef void give_back_large(Block block) noexcept:
    global kept_count, kept_bytes, used_bytes
    used_bytes -= block.bytes
    if block.bytes > KEPT_BYTES:
        PyMem_RawFree(block.address)
        return
    if kept_count == MOST_KEPT:
        free_kept(1)
    free_kept(kept_bytes + block.bytes - KEPT_BYTES)
    kept[kept_count] = block
    kept_count += 1
    kept_bytes += block.bytes


cdef class Buffer:
    """`count` items aligned to 64 bytes, uninitialised unless `zeroed`."""

    def __cinit__(self, Py_ssize_t count, Py_ssize_t itemsize, bint zeroed=False):
        # A cache line more at the end, so that a full vector may be read at any element.
        if 0 <= count <= MOST_BYTES // itemsize:
            self.block = take(count * itemsize + 2 * ALIGNMENT)
        if self.block.address == NULL:
            raise MemoryError(f"fastrnn: no memory for {count} items of {itemsize} bytes")
        self.data = <void *>(
            (<uintptr_t>self.block.address + ALIGNMENT - 1) & ~<uintptr_t>(ALIGNMENT - 1)
        )
        self.bytes = count * itemsize
        if zeroed:
            memset(self.data, 0, self.bytes)

    def __dealloc__(self):
        give_back(self.block)

    def __getbuffer__(self, Py_buffer *view, int flags):
        """The bytes, writeable: so an array on it may be made read-only and writeable again."""
        PyBuffer_FillInfo(view, self, self.data, self.bytes, 0, flags)


cdef char *carve(char **at, Py_ssize_t bytes) noexcept nogil:
    """The next so many bytes of a block; what follows begins a cache line."""
    cdef char *carved = at[0]
    at[0] += (bytes + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT
    return carved


cdef cnp.ndarray new_array(int dims, cnp.npy_intp *shape, int typenum):
    """An uninitialised array; a large one lies in a Buffer, its base."""
    cdef Py_ssize_t count = 1, i
    cdef cnp.ndarray array
    cdef Buffer buffer
    for i in range(dims):
        count *= shape[i]
    cdef Py_ssize_t itemsize = 4 if typenum == cnp.NPY_FLOAT32 else 8
    if count * itemsize < SMALL_BYTES:
        return cnp.PyArray_EMPTY(dims, shape, typenum, 0)
    buffer = Buffer(count, itemsize)
    array = cnp.PyArray_SimpleNewFromData(dims, shape, typenum, buffer.data)
    cnp.set_array_base(array, buffer)
    return array


cpdef empty(tuple shape, dtype):
    """As `numpy.empty` for float32 and float64, in memory that serves again once it is free."""
    cdef cnp.npy_intp[8] sizes
    cdef int i
    if len(shape) > 8 or dtype not in (np.float32, np.float64):
        raise ValueError(f"empty: wanted float32 or float64 of up to 8 axes, got {dtype}, {shape}")
    for i in range(len(shape)):
        sizes[i] = shape[i]
    return new_array(len(shape), sizes, cnp.NPY_FLOAT32 if dtype == np.float32 else cnp.NPY_FLOAT64)


cpdef empty_like(cnp.ndarray array):
    """An array of this shape and dtype; see `empty`."""
    return new_array(cnp.PyArray_NDIM(array), cnp.PyArray_DIMS(array), cnp.PyArray_TYPE(array))


def release():
    """Give the kept blocks back to the C library; returns how many bytes they were. For tests."""
    global most_used
    cdef Py_ssize_t bytes
    fr_lock_blocks()
    bytes = kept_bytes
    free_kept(bytes)
    most_used = used_bytes
    fr_unlock_blocks()
    return bytes
