/* malloc and its kin, of which one call can be made to fail: for failing_allocations.py, which
 * compiles this and loads it with LD_PRELOAD. Only the data of NumPy's arrays and what the kernels
 * ask for fails. libgomp ends the process when it gets no memory; NumPy 2.x raises nothing, or
 * raises without the GIL, when it gets none for its iterators and tables of indices. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);
void __libc_free(void *);

static atomic_long countdown, live;
static int learning;
static void *of_arrays[16]; /* where NumPy asks for the data of arrays */
static _Thread_local int inside;
static size_t least;

/* Let the k-th allocation of at least so many bytes fail, counted from now; 0: none. */
void fail_allocation(long k, size_t bytes) {
    least = bytes;
    countdown = k;
}

/* How many blocks of at least 512 bytes exist. */
long live_blocks(void) {
    return live;
}

/* While this is on, only arrays of NumPy are made: all that NumPy asks for is their data. */
void learn(int on) {
    learning = on;
}

/* How many allocations are left until the one that fails; 0: it did. */
long until_failure(void) {
    return countdown > 0 ? countdown : 0;
}

/* Whether these return addresses, from malloc's caller on, are those of an allocation that may fail:
 * for the data of an array, or by a module of the kernels through Python. */
static int may_fail(void **callers, int count) {
    Dl_info info;
    for (int i = 0; i < 16; i++)
        if (callers[0] == of_arrays[i])
            return 1;
    for (int i = 0; i < count; i++) {
        if (!dladdr(callers[i], &info) || !info.dli_fname)
            return 0;
        const char *name = strrchr(info.dli_fname, '/');
        name = name ? name + 1 : info.dli_fname;
        if (strstr(info.dli_fname, "/_kernels/"))
            return 1;
        if (learning && i == 0 && strstr(info.dli_fname, "/numpy/")) {
            for (int k = 0; k < 16; k++)
                if (!of_arrays[k]) {
                    of_arrays[k] = callers[0];
                    break;
                }
            return 0;
        }
        if (strncmp(name, "python", 6) && strncmp(name, "libpython", 9))
            return 0;
    }
    return 0;
}

/* Not inlined, so that there are two frames between it and malloc's caller. */
static __attribute__((noinline)) int fails(size_t bytes) {
    void *frames[32];
    if (inside || (!learning && (countdown <= 0 || bytes < least)))
        return 0;
    inside = 1;
    const int ours = may_fail(frames + 2, backtrace(frames, 32) - 2);
    inside = 0;
    if (!ours || learning || atomic_fetch_sub(&countdown, 1) != 1)
        return 0;
    errno = ENOMEM;
    return 1;
}

static void *counted(void *block, long change) {
    if (block && malloc_usable_size(block) >= 512)
        live += change;
    return block;
}

void *malloc(size_t bytes) {
    return fails(bytes) ? NULL : counted(__libc_malloc(bytes), 1);
}

void *calloc(size_t count, size_t bytes) {
    size_t whole;
    if (__builtin_mul_overflow(count, bytes, &whole) || fails(whole))
        return NULL;
    return counted(__libc_calloc(count, bytes), 1);
}

void *realloc(void *block, size_t bytes) {
    void *moved;
    if (fails(bytes))
        return NULL;
    counted(block, -1);
    moved = __libc_realloc(block, bytes);
    counted(moved || !bytes ? moved : block, 1);
    return moved;
}

void *memalign(size_t alignment, size_t bytes) {
    if (fails(bytes))
        return NULL;
    return counted(__libc_memalign(alignment, bytes), 1);
}

void *aligned_alloc(size_t alignment, size_t bytes) {
    if (fails(bytes))
        return NULL;
    return counted(__libc_memalign(alignment, bytes), 1);
}

int posix_memalign(void **block, size_t alignment, size_t bytes) {
    *block = fails(bytes) ? NULL : counted(__libc_memalign(alignment, bytes), 1);
    return *block ? 0 : ENOMEM;
}

void free(void *block) {
    __libc_free(counted(block, -1));
}
