/* SPDX-License-Identifier: Apache-2.0 */
/* Measurements of compiled entries: what was asked for, what came out, and how it is told. All
 * functions that return int return an exit status. */
#ifndef ADJ_TOOLS_BENCH_MEASURE_H
#define ADJ_TOOLS_BENCH_MEASURE_H

#include <jansson.h>

#include "tools/bench_peak.h"
#include "tools/commands.h"
#include "tools/harness.h"

CommandFn cmd_bench;

enum { BENCH_LIST = 8 };

typedef struct BenchPlan {
    const char *model, *entries; /* with commas */
    int nthreads, nbatch;
    int threads[BENCH_LIST];
    int64_t batch[BENCH_LIST];
    int64_t n;       /* samples a call */
    int32_t steps;   /* of an attack */
    int64_t repeats; /* measured calls, after one to warm up */
    bool profile;
    const char *vs, *python; /* peers, with commas, or NULL; what runs them */
} BenchPlan;

typedef struct Spread { /* quartiles */
    double low, median, high;
} Spread;
Spread spread_of(double *values, int64_t n); /* sorts them */

/* ---- one entry, ready to be called ---- */

typedef struct BenchEntry {
    Harness *h;
    const AdjEntry *entry;
    const json_t *facts; /* of the manifest */
    void *io[ENTRY_TENSORS];
    int64_t n;
    int32_t steps;
    double macs,
        bytes; /* of one sample and step: multiply-adds, bytes that kernels read and write */
} BenchEntry;

/* n random images with random labels; every output is asked for. */
int bench_entry_open(BenchEntry *, Harness *, const json_t *manifest, const AdjEntry *,
                     const BenchPlan *);
void bench_entry_close(BenchEntry *);
/* One call, without judging last iterates. units: samples, of an attack samples times steps. */
int bench_call(BenchEntry *, double *seconds, double *units);

/* The harness's calls run on this pool from now on. */
void bench_use_pool(Harness *, AdjPool *);
/* Vectors and multiply-adds as the compiled model's CPU row has them. */
int bench_peak_open(PeakMeter *, const Harness *, AdjPool *, bool f64);

typedef struct BenchResult {
    const char *entry, *peak_name;
    bool steps; /* units are samples times steps */
    int threads;
    int64_t batch, n;
    Spread seconds, rate;           /* of a call; units a second */
    Spread flops_share, read_share; /* of the peaks measured around the same call */
    double gflops, peak_gflops, gbytes, read_gbytes; /* medians, a second */
    double unrest; /* quartile range of the peak over its median: above 0.05, measure again */
    uint64_t arena_bytes;
} BenchResult;

/* Calls the entry and measures the peaks in turn. */
int bench_measure(BenchEntry *, const PeakMeter *, const BenchPlan *, BenchResult *);

/* ---- peers (bench_vs.c) ---- */

/* Every name of the list is a peer that bench/run.py knows; NULL is fine. */
int bench_vs_check(const char *list);
/* Measures each peer of the plan in turn with the entry, prints and appends to `out`. A peer that
 * is not installed, or fails, is a row that says so. */
int bench_vs(BenchEntry *, const BenchPlan *, json_t *out);

/* ---- kernels (bench_profile.c) ---- */

/* Compiles the model again with tracing, and for each entry prints and appends to `out` its
 * kernels by time. */
int bench_profile(const BenchPlan *, const AdjOptions *, json_t *out);

/* ---- reports (bench_report.c) ---- */

void bench_print_machine(void);
void bench_print_compiled(const Harness *, const json_t *manifest, int64_t batch);
void bench_print_head(void);
void bench_print(const BenchResult *);
json_t *bench_result_json(const BenchResult *);
json_t *bench_compiled_json(const Harness *, const json_t *manifest, int64_t batch);
json_t *bench_machine_json(void);

#endif
