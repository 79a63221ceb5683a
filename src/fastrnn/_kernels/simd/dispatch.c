#include "dispatch.h"

#include <string.h>

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#include <xmmintrin.h>
#define FLUSH_BITS 0x8040u /* MXCSR: flush to zero, denormals are zero */
#endif

FR_HIDDEN extern const fr_kernels fr_table_avx512_4, fr_table_avx512_8, fr_table_avx2_4,
    fr_table_avx2_8, fr_table_neon_4, fr_table_neon_8, fr_table_generic_4,
    fr_table_generic_8; /* those that were built exist */

static const fr_kernels *const tables[] = {
#ifdef FR_HAVE_AVX512
    &fr_table_avx512_4,  &fr_table_avx512_8,
#endif
#ifdef FR_HAVE_AVX2
    &fr_table_avx2_4,    &fr_table_avx2_8,
#endif
#ifdef FR_HAVE_NEON
    &fr_table_neon_4,    &fr_table_neon_8,
#endif
    &fr_table_generic_4, &fr_table_generic_8,
};

const fr_kernels *fr_find(const char *isa, int real_bytes) {
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++)
        if (tables[i]->itemsize == real_bytes && strcmp(tables[i]->isa, isa) == 0) return tables[i];
    return NULL;
}

FR_HIDDEN extern const fr_int8_kernels fr_int8_avx512_vnni, fr_int8_avx512, fr_int8_avx_vnni,
    fr_int8_avx2, fr_int8_neon, fr_int8_generic; /* likewise */

static const fr_int8_kernels *const int8_tables[] = {
#ifdef FR_HAVE_INT8_AVX512_VNNI
    &fr_int8_avx512_vnni,
#endif
#ifdef FR_HAVE_INT8_AVX512
    &fr_int8_avx512,
#endif
#ifdef FR_HAVE_INT8_AVX_VNNI
    &fr_int8_avx_vnni,
#endif
#ifdef FR_HAVE_INT8_AVX2
    &fr_int8_avx2,
#endif
#ifdef FR_HAVE_INT8_NEON
    &fr_int8_neon,
#endif
    &fr_int8_generic,
};

/* Both tests read CPUID and, for the register state that the operating system must save, XGETBV.
 * That of the compiler is in its runtime library, which is not linked on Windows. */
#if defined(FLUSH_BITS) && defined(_WIN32)
static int cpu_supports(const char *isa) {
    unsigned a, b, c, d, low, high;
    const int avx512 = strcmp(isa, "avx512") == 0;
    if (strcmp(isa, "generic") == 0) return 1;
    if (!avx512 && strcmp(isa, "avx2") != 0) return 0;
    const unsigned state = avx512 ? 0xe6 : 0x06;
    const unsigned wanted = avx512 ? 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31 : 1u << 5;
    const unsigned fma_and_xgetbv = 1u << 12 | 1u << 27;
    if (!__get_cpuid(1, &a, &b, &c, &d) || (c & fma_and_xgetbv) != fma_and_xgetbv) return 0;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (b & wanted) != wanted) return 0;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (low & state) == state;
}
#else
static int cpu_supports(const char *isa) {
#ifdef FLUSH_BITS
    if (strcmp(isa, "avx512") == 0)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
               __builtin_cpu_supports("fma");
    if (strcmp(isa, "avx2") == 0)
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif
    /* Every 64-bit ARM has NEON. */
    return strcmp(isa, "neon") == 0 || strcmp(isa, "generic") == 0;
}
#endif

int fr_supported(const char *isa) { return fr_find(isa, 4) != NULL && cpu_supports(isa); }

/* What the ways of 8 bits need beside their instruction sets. */
static int cpu_has(const char *int8) {
#ifdef FLUSH_BITS
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (strcmp(int8, "avx512_vnni") == 0)
        return __get_cpuid_count(7, 0, &a, &b, &c, &d) && c >> 11 & 1;
    if (strcmp(int8, "avx_vnni") == 0) return __get_cpuid_count(7, 1, &a, &b, &c, &d) && a >> 4 & 1;
#endif
    (void)int8;
    return 1;
}

const fr_int8_kernels *fr_int8_way(const char *isa, int number) {
    for (size_t i = 0; i < sizeof int8_tables / sizeof *int8_tables; i++)
        if (strcmp(int8_tables[i]->isa, isa) == 0 && cpu_has(int8_tables[i]->name) && number-- == 0)
            return int8_tables[i];
    return NULL;
}

#if defined(FLUSH_BITS)
unsigned fr_flush_denormals(void) {
    const unsigned mode = _mm_getcsr();
    _mm_setcsr(mode | FLUSH_BITS);
    return mode;
}

void fr_restore_mode(unsigned mode) { _mm_setcsr(mode); }
#elif defined(__aarch64__)
unsigned fr_flush_denormals(void) {
    unsigned long mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    __asm__ volatile("msr fpcr, %0" : : "r"(mode | 1ul << 24));
    return (unsigned)mode;
}

void fr_restore_mode(unsigned mode) {
    __asm__ volatile("msr fpcr, %0" : : "r"((unsigned long)mode));
}
#else
unsigned fr_flush_denormals(void) { return 0; }

void fr_restore_mode(unsigned mode) { (void)mode; }
#endif
