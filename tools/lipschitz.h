/* SPDX-License-Identifier: Apache-2.0 */
/* Local measures of a data set: how steep the model is around each image. Pixels in [0,1]. */
#ifndef ADJ_TOOLS_LIPSCHITZ_H
#define ADJ_TOOLS_LIPSCHITZ_H

#include "tools/images.h"

enum { MEASURE_VALUES = 3 };

typedef struct LipschitzPlan {
    const char *model, *images;
    int measure;               /* of lipschitz_measures */
    const char *norm;          /* "l2", "linf", "l1" */
    const char *radius, *step; /* as given, or NULL: the entry's default */
    int32_t steps;             /* of the ascent */
    int64_t batches, points;   /* of CLEVER: N_b, N_s */
    int64_t target;            /* of CLEVER; -1: the nearest of all */
    const char *csv, *json;
    DataRange range;
    RunChoice run;
} LipschitzPlan;

typedef struct LipschitzRow {
    int64_t class, target; /* -1: the measure has none */
    double value[MEASURE_VALUES];
} LipschitzRow;

typedef struct LipschitzResult {
    int64_t n; /* images done */
    LipschitzRow *row;
    double radius, step; /* as used; NaN: there is none */
    uint64_t forwards, backwards;
    double seconds, compile_seconds;
    char entry[32], target[64], cpu[64];
    uint64_t hash;
    bool f64;
    const char *precision; /* "f32", "f64", "bf16" */
} LipschitzResult;

typedef struct LipschitzMeasure {
    const char *name;
    const char *entry;   /* "clever-" and the norm, if it ends so */
    const char *classes; /* columns before the values: "", "class,", "class,target," */
    const char *value[MEASURE_VALUES + 1]; /* their names, NULL at the end */
} LipschitzMeasure;
extern const LipschitzMeasure lipschitz_measures[];
enum { MEASURE_GRADIENT, MEASURE_ASCENT, MEASURE_CLEVER, MEASURES };

/* An exit status. After a signal the images done are in the result and in its files. */
int lipschitz_run(const LipschitzPlan *, const AdjOptions *, LipschitzResult *);
void lipschitz_free(LipschitzResult *);

/* The compiled entry that a plan needs; NULL if the measure does not have that norm. */
const char *lipschitz_entry(int measure, const char *norm, char *out, size_t size);

int lipschitz_print(const LipschitzPlan *, const LipschitzResult *);
int lipschitz_write_csv(const char *path, const LipschitzPlan *, const LipschitzResult *);
int lipschitz_write_json(const char *path, const LipschitzPlan *, const LipschitzResult *);

#endif
