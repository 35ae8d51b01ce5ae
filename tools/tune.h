/* SPDX-License-Identifier: Apache-2.0 */
/* Tuning: schedules (docs/targets.md) measured layer by layer. A round compiles the model with
 * another plan for every layer at once and measures it in turn with the plans that it began with,
 * so that what else the machine does meets both, and a layer runs among its neighbours, with the
 * caches as they leave them. All functions that return int return an exit status. */
#ifndef ADJ_TOOLS_TUNE_H
#define ADJ_TOOLS_TUNE_H

#include "ir/schedule.h"
#include "tools/bench_measure.h"

typedef struct TuneLayer { /* a convolution; all its calls in all entries */
    char *name;            /* "conv 64x64 k3 p1 56x56 b8" */
    Contract contract;
    const char *base, *best, *trial; /* plans: begun with, best so far, of this round */
    double gain;                     /* base over best, of one round; 1: best is base */
    double macs;                     /* multiply-adds of a call of every entry */
    double cost[2];                  /* of base and best at the end, see TuneCost */
    const struct TargetPlan *near;   /* plans near best, in the order of trying */
    int nnear, at;
    int ntried;
    const char *tried[256];
} TuneLayer;

typedef struct Tune {
    const AdjOptions *options; /* what is tuned; schedule and trace are set here */
    double seconds;
    uint64_t seed;
    bool bits; /* plans that compute other bits are tried too */
    Arena *arena;
    const struct Target *target;
    int nlayer, rounds;
    TuneLayer *layer;
    double whole[2]; /* cost of a call of every entry, base and best */
    double peak;     /* multiply-add FLOP/s, for people */
    bool stopped;    /* by a signal: the end was not measured */
} Tune;

/* Layers and their plans, from the options; then the search. */
int tune_open(Tune *);
int tune_search(Tune *);
void tune_close(Tune *);
/* The schedule with each layer's `base` (0), `best` (1) or `trial` (2). */
void tune_text(const Tune *, int which, Str *);

/* ---- one compiled schedule (tune_trial.c) ---- */

typedef struct Trial Trial;
/* NULL after saying why. */
Trial *trial_open(const Tune *, const char *schedule);
void trial_close(Trial *);
/* One call of every entry. cost[i]: of layer i, cost[nlayer]: of all. A cost is CPU time times the
 * rate of multiply-adds measured around it: what the peak would have done meanwhile, in FLOPs. */
int trial_run(Trial *, const PeakMeter *, double *cost);
/* Multiply-adds of layer i in one call of every entry. */
double trial_macs(const Trial *, int layer);
Harness *trial_harness(Trial *);
double trial_rate(const PeakMeter *); /* multiply-add FLOP/s of this thread, by its CPU time */

#endif
