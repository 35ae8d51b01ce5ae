/* SPDX-License-Identifier: Apache-2.0 */
/* What this machine can do right now: multiply-adds and reading memory, in small loops that a
 * benchmark runs between its own measurements. Shares of a peak then compare like with like, also
 * where clock rates move or something else is running. */
#ifndef ADJ_TOOLS_BENCH_PEAK_H
#define ADJ_TOOLS_BENCH_PEAK_H

#include <stdbool.h>
#include <stddef.h>

#include "runtime/pool.h"

typedef struct PeakKernel { /* one instruction set and element type */
    const char *name;       /* "AVX-512 fma f32" */
    int bytes;              /* of a vector */
    bool f64, fma;
    bool (*usable)(void);
    void (*multiply_add)(long rounds);
    void (*read)(const void *, size_t bytes);
    double flops; /* of one round */
} PeakKernel;

typedef struct PeakMeter {
    const PeakKernel *k;
    double (*clock)(void); /* seconds_now; with one worker it may be thread_seconds */
    AdjPool *pool;
    int chunks;
    long rounds; /* a chunk */
    void *memory;
    size_t bytes;
} PeakMeter;

/* The widest kernel that this machine has, with vectors of at most vec_bytes; without `fma` one
 * that multiplies and adds apart. False if memory runs out. */
bool peak_open(PeakMeter *, AdjPool *, int vec_bytes, bool fma, bool f64);
void peak_close(PeakMeter *);

double peak_flops(const PeakMeter *); /* a second, all workers; takes a few milliseconds */
double peak_read(const PeakMeter *);  /* bytes a second, from beyond the last cache */

#endif
