/* Which instruction sets this machine runs, and the floating-point mode of a thread. */
#pragma once

#include "fastrnn_simd.h"

/* Whether `isa` ("avx512", "avx2", "neon", "generic") was built and both the processor and the
 * operating system support it. */
FR_HIDDEN int fr_supported(const char *isa);

/* The ways of an instruction set to multiply 8 bits that this machine has, the best first: that of
 * this number, or NULL. */
FR_HIDDEN const fr_int8_kernels *fr_int8_way(const char *isa, int number);

/* Treats denormal numbers as zero in the calling thread; returns the mode to restore. */
FR_HIDDEN unsigned fr_flush_denormals(void);
FR_HIDDEN void fr_restore_mode(unsigned mode);
