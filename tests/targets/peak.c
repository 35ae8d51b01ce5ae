/* SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L
#include "peak.h"

#include <time.h>

double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#if defined(__AVX512F__)
enum { LANES = 16 };
#elif defined(__AVX__)
enum { LANES = 8 };
#else
enum { LANES = 4 };
#endif
#if defined(__x86_64__)
#    define IN_REGISTER "v"
#else
#    define IN_REGISTER "w"
#endif
typedef float Vec __attribute__((vector_size(4 * LANES)));
enum { CHAINS = 12, TURNS = 20000 };

double peak_flops(void)
{
    Vec a[CHAINS] = {0}, x = {0}, y = {0};
#pragma GCC unroll 12
    for (int j = 0; j < CHAINS; j++)
        __asm__ volatile("" : "+" IN_REGISTER(a[j])); /* else they are one chain */
    double t = cpu_seconds();
    for (int i = 0; i < TURNS; i++) {
        __asm__ volatile("" : "+" IN_REGISTER(x), "+" IN_REGISTER(y));
#pragma GCC unroll 12
        for (int j = 0; j < CHAINS; j++) a[j] = a[j] * x + y;
    }
    t = cpu_seconds() - t;
#pragma GCC unroll 12
    for (int j = 0; j < CHAINS; j++) __asm__ volatile("" : : IN_REGISTER(a[j]));
    return 2.0 * LANES * CHAINS * TURNS / t;
}
