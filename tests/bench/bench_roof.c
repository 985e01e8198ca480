/* The most that one thread of this machine can do: integer and float arithmetic
 * in registers, and reading memory.
 *
 * bench_engine.py compiles it for the machine it runs on and scales the
 * peer's published figures by it: a slower machine makes both slower, and
 * only what is left below that says that a peer was built badly.  Processor
 * time, best of many, because others may run next to it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if defined(__AVX512VNNI__)
#include <immintrin.h>

enum { ROUNDS = 30, STEPS = 1000000, CHAINS = 16, READ_BYTES = 256 << 20 };

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double integers(void) /* operations, two in a multiply-add */
{
    __m512i sums[CHAINS] = {0}, a = _mm512_set1_epi8(3);
    double started_s = now_s();

    for (int i = 0; i < STEPS; i++) {
#pragma GCC unroll 16
        for (int k = 0; k < CHAINS; k++) {
            sums[k] = _mm512_dpbusd_epi32(sums[k], a, a);
            __asm__ volatile("" : "+v"(sums[k]));
        }
    }
    return 128.0 * CHAINS * STEPS / (now_s() - started_s);
}

static double floats(void)
{
    __m512 sums[CHAINS] = {0}, a = _mm512_set1_ps(0.5f);
    double started_s = now_s();

    for (int i = 0; i < STEPS; i++) {
#pragma GCC unroll 16
        for (int k = 0; k < CHAINS; k++) {
            sums[k] = _mm512_fmadd_ps(sums[k], a, a);
            __asm__ volatile("" : "+v"(sums[k]));
        }
    }
    return 32.0 * CHAINS * STEPS / (now_s() - started_s);
}

static double reading(const char *bytes)
{
    __m512i sum = _mm512_setzero_si512();
    double started_s = now_s();

    for (size_t i = 0; i < READ_BYTES; i += 256) {
        for (size_t k = 0; k < 256; k += 64) {
            _mm_prefetch(bytes + i + k + 4096, _MM_HINT_T0);
            sum = _mm512_add_epi32(sum, _mm512_load_si512(bytes + i + k));
        }
    }
    __asm__ volatile("" : : "v"(sum));
    return READ_BYTES / (now_s() - started_s);
}

int main(void)
{
    char *bytes = aligned_alloc(1 << 21, READ_BYTES + (1 << 21));
    double best[3] = {0};

    if (bytes == NULL) {
        return 1;
    }
    memset(bytes, 1, READ_BYTES + (1 << 21));
    for (int i = 0; i < ROUNDS; i++) {
        double got[3] = {integers(), floats(), reading(bytes)};

        for (int k = 0; k < 3; k++) {
            best[k] = got[k] > best[k] ? got[k] : best[k];
        }
    }
    printf("{\"integer_gops\":%.0f,\"float_gflops\":%.0f,"
           "\"read_gbytes\":%.1f}\n",
           best[0] / 1e9, best[1] / 1e9, best[2] / 1e9);
    free(bytes);
    return 0;
}
#else
int main(void)
{
    puts("{}"); /* the figures are of a machine with AVX-512 */
    return 0;
}
#endif
