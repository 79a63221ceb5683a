/* Where threads that share a step meet. They wait awake, as the wait is some hundred nanoseconds;
 * a thread whose partner has lost its processor yields its own, and counts that. */
#ifndef FASTRNN_BARRIER_H
#define FASTRNN_BARRIER_H

#if defined(_WIN32)
#include <windows.h>
#define fr_yield() SwitchToThread()
#else
#include <sched.h>
#define fr_yield() sched_yield()
#endif

#if defined(__x86_64__) || defined(__i386__)
#define fr_pause() __builtin_ia32_pause()
#else
#define fr_pause() ((void)0)
#endif

/* Begins as zeros. */
typedef struct {
    int arrived, round;
    int yields; /* how often a thread gave up its processor for a meeting, once each */
} fr_barrier;

/* Returns when all of `threads` threads have called it; what they wrote before is seen after.
 * `patience` is for how many turns, of about 10 nanoseconds each, to wait awake. */
static inline void fr_meet(fr_barrier *b, int threads, int patience) {
    const int round = __atomic_load_n(&b->round, __ATOMIC_RELAXED);
    if (__atomic_add_fetch(&b->arrived, 1, __ATOMIC_ACQ_REL) == threads) {
        __atomic_store_n(&b->arrived, 0, __ATOMIC_RELAXED);
        __atomic_store_n(&b->round, round + 1, __ATOMIC_RELEASE);
        return;
    }
    for (int turn = 0; __atomic_load_n(&b->round, __ATOMIC_ACQUIRE) == round; turn++) {
        if (turn < patience) {
            fr_pause();
            continue;
        }
        if (turn == patience) __atomic_add_fetch(&b->yields, 1, __ATOMIC_RELAXED);
        fr_yield();
    }
}

#endif
