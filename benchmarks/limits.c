/* What the bare machine can do: multiply-adds on registers, reads of a block of memory. */

#if defined(__AVX512F__)
#define VECTOR_BYTES 64
#elif defined(__AVX__)
#define VECTOR_BYTES 32
#else
#define VECTOR_BYTES 16
#endif

typedef float vector __attribute__((vector_size(VECTOR_BYTES)));

/* Independent sums: enough to hide the latency of an addition, few enough for 16 registers. */
enum { SUMS = 12, LANES = VECTOR_BYTES / sizeof(float) };

/* Operations of one round of `multiply_add`. */
long round_flops(void) { return 2L * SUMS * LANES; }

/* `sum = sum * a + b` on all sums, over and over; a < 1 keeps them ordinary numbers. */
float multiply_add(long rounds) {
    vector sums[SUMS], a, b, total = {0};
    for (int lane = 0; lane < LANES; lane++) {
        a[lane] = 0.5f + 0.01f * (float)lane;
        b[lane] = 1.0f;
    }
    __asm__ volatile("" : "+m"(a), "+m"(b)); /* The compiler must not know them. */
    for (int k = 0; k < SUMS; k++) sums[k] = b * (float)k;
    for (long round = 0; round < rounds; round++)
        for (int k = 0; k < SUMS; k++) sums[k] = sums[k] * a + b;
    for (int k = 0; k < SUMS; k++) total += sums[k];
    return total[0];
}

/* Read the whole vectors of `size` floats, `rounds` times. */
float read_block(const float *block, long size, long rounds) {
    const long chunk = SUMS * LANES;
    vector sums[SUMS] = {{0}}, total = {0};
    for (long round = 0; round < rounds; round++) {
        long at = 0;
        for (; at + chunk <= size; at += chunk)
            for (int k = 0; k < SUMS; k++) sums[k] += *(const vector *)(block + at + k * LANES);
        for (; at + LANES <= size; at += LANES) sums[0] += *(const vector *)(block + at);
        __asm__ volatile("" : : : "memory"); /* The next round reads again. */
    }
    for (int k = 0; k < SUMS; k++) total += sums[k];
    return total[0];
}
