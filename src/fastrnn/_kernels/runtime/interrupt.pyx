"""Ctrl-C while a kernel computes: the call ends early, and the handler's exception is raised.

Python runs the handlers of signals in its main thread only, between two of its own instructions. So
where that thread is the one that called the kernel, it stops computing now and then to ask Python
for signals. If a handler raises, it sets the call's flag, at which all threads of the call look
between two pieces of their work. Those that meet at a barrier leave before the same step, which the
first of them names. What was computed is dropped; the exception waits in the thread.

Work is counted, as to look at the clock after each small step would cost more than the step.
"""

from cpython.exc cimport PyErr_CheckSignals, PyErr_Occurred, PyErr_SetInterrupt

from fastrnn._kernels.simd cimport fr_now, fr_store_relaxed

import os
import threading

cdef extern from *:
    """
    /* The flag of this thread's calls, where they share one with those of another thread. */
    static FR_THREAD_LOCAL int64_t *fr_shared_stop;
    """
    int64_t *fr_shared_stop
    # As cpython.exc has it, but what a handler raises stays in the thread.
    int fr_handle_signals "PyErr_CheckSignals" () noexcept

# Multiply-adds after which the clock is looked at: 0.1 to 2 milliseconds.
cdef double LOOK_WORK = 1e7
# Nanoseconds after which Python is asked. For the GIL, which that takes, a thread may have to wait
# 5 milliseconds.
cdef int64_t INTERVAL = 50_000_000
# Multiply-adds of a piece of a large step or product, for each lane of a vector: 20 to 50
# milliseconds.
cdef double PIECE_WORK = 1e8

cdef double look_work = LOOK_WORK, piece_work = PIECE_WORK
cdef int64_t interval = INTERVAL
# Only written in Python's main thread: how often Python was asked, and, for tests, when to find
# that a signal has come.
cdef int64_t questions = 0, interrupted_at = 0
cdef unsigned long main_thread = threading.main_thread().ident


cdef int listen(Call *call) except -1:
    """Before a call: handle the signals that have come, and prepare for others."""
    PyErr_CheckSignals()
    call.own_stop = 0
    call.stop = fr_shared_stop if fr_shared_stop != NULL else &call.own_stop
    call.asker = PyThread_get_thread_ident()
    if call.asker != main_thread:
        call.asker = 0
    call.work, call.due = 0, 0


cdef int raise_if_stopped(Call *call) except -1:
    """After a call: raise what a handler raised, or where it was another thread's, the usual."""
    if fr_load_relaxed(call.stop) == 0:
        return 0
    if PyErr_Occurred() == NULL:
        raise KeyboardInterrupt
    return -1


cdef void look(Call *call) noexcept nogil:
    """Ask Python for signals if it is time to; in its main thread."""
    global questions
    cdef int64_t now = fr_now()
    call.work = 0
    if call.due == 0:
        call.due = now + interval
    if now < call.due or fr_load_relaxed(call.stop):
        return
    with gil:
        questions += 1
        if questions == interrupted_at:
            PyErr_SetInterrupt()
        if fr_handle_signals() < 0:
            fr_store_relaxed(call.stop, 1)
    call.due = fr_now() + interval


cdef class Stop:
    """A flag that calls of several Python threads share."""

    cdef int64_t flag

    def run(self, function):
        """Return function(), whose calls of kernels look at the flag."""
        global fr_shared_stop
        cdef int64_t *before = fr_shared_stop
        fr_shared_stop = &self.flag
        try:
            return function()
        finally:
            fr_shared_stop = before

    def set(self):
        """End the calls that run and those to come."""
        fr_store_relaxed(&self.flag, 1)


def ask_often(bint often):
    """Ask Python after every piece of work, all as small as can be, or as usual. For tests."""
    global look_work, piece_work, interval
    look_work = 0 if often else LOOK_WORK
    piece_work = 0 if often else PIECE_WORK
    interval = 0 if often else INTERVAL


def count_questions():
    """How often Python was asked, in all. For tests."""
    return questions


def interrupt_at(number):
    """At the question of this number, be as if SIGINT had come. For tests."""
    global interrupted_at
    interrupted_at = number


def _after_fork():
    global main_thread
    main_thread = PyThread_get_thread_ident()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
