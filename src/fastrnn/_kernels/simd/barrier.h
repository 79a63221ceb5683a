/* The barrier of threads that share a step. They spin, as the wait is some hundred nanoseconds; a
 * thread whose partner has lost its processor yields its own, and takes the time. */
#pragma once

#include <stdint.h>
#include <time.h>

#if defined(_WIN32)
#include <windows.h>
#define fr_yield() SwitchToThread()
#else
#include <sched.h>
#define fr_yield() sched_yield()
#endif

#if defined(__x86_64__) || defined(__i386__)
#define fr_pause() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define fr_pause() __asm__ volatile("yield")
#else
#define fr_pause() ((void)0)
#endif

#if defined(_MSC_VER)
#define FR_THREAD_LOCAL __declspec(thread)
#else
#define FR_THREAD_LOCAL __thread
#endif

/* Begins as zeros; fills a cache line, so that no group of threads disturbs another one's. */
typedef struct {
    int arrived, phase;
    int64_t lost; /* nanoseconds for which threads had given up their processors, all together */
    int64_t last; /* the step after which all leave, see runtime/interrupt.pyx; 0: none yet */
    int64_t unused[5];
} fr_barrier;

/* Nanoseconds since some time in the past. */
static inline int64_t fr_now(void) {
    struct timespec now;
#ifdef CLOCK_MONOTONIC
    clock_gettime(CLOCK_MONOTONIC, &now);
#else
    timespec_get(&now, TIME_UTC);
#endif
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static inline int64_t fr_load_relaxed(const int64_t *from) {
    return __atomic_load_n(from, __ATOMIC_RELAXED);
}

static inline void fr_store_relaxed(int64_t *to, int64_t value) {
    __atomic_store_n(to, value, __ATOMIC_RELAXED);
}

/* Adds to a number of all threads; returns the sum. */
static inline int64_t fr_add_relaxed(int64_t *to, int64_t value) {
    return __atomic_add_fetch(to, value, __ATOMIC_RELAXED);
}

/* Whether the caller now has what the flag stands for: false if another thread has it. What that
 * one wrote before it left the flag is seen. */
static inline int fr_take_flag(int *flag) {
    return __atomic_exchange_n(flag, 1, __ATOMIC_ACQUIRE) == 0;
}

static inline void fr_leave_flag(int *flag) { __atomic_store_n(flag, 0, __ATOMIC_RELEASE); }

/* Returns when all of `threads` threads have called it; what they wrote before is seen after.
 * `spin_limit` is the number of turns, of about 10 nanoseconds each, to spin. */
static inline void fr_barrier_wait(fr_barrier *b, int threads, int spin_limit) {
    const int phase = __atomic_load_n(&b->phase, __ATOMIC_RELAXED);
    if (__atomic_add_fetch(&b->arrived, 1, __ATOMIC_ACQ_REL) == threads) {
        __atomic_store_n(&b->arrived, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&b->phase, phase + 1, __ATOMIC_RELEASE);
        return;
    }
    for (int turn = 0; turn < spin_limit; turn++) {
        if (__atomic_load_n(&b->phase, __ATOMIC_ACQUIRE) != phase) return;
        fr_pause();
    }
    const int64_t start = fr_now();
    while (__atomic_load_n(&b->phase, __ATOMIC_ACQUIRE) == phase) fr_yield();
    __atomic_add_fetch(&b->lost, fr_now() - start, __ATOMIC_RELAXED);
}
