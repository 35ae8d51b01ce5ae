/* SPDX-License-Identifier: Apache-2.0 */
/* A sequence of attacks over the images that survive, such as AutoAttack. Every stage is compiled
 * once, in one artefact; a stage is one pass for each restart and target. An image's result depends
 * on the seed and its index in the data set alone: not on chunks, threads, interruptions. */
#ifndef ADJ_TOOLS_SEQUENCE_H
#define ADJ_TOOLS_SEQUENCE_H

#include "tools/images.h"
#include "tools/score.h"

typedef struct Stage { /* a row of sequence.def */
    const char *sequence, *norm;
    const char *name, *entry;
    int steps, restarts, targets, gradients;
} Stage;

enum { MAX_STAGES = 8, UNBROKEN = -1, WRONG_BEFORE = -2 };

typedef struct SequenceRow {      /* an image */
    int64_t label, before, after; /* classes: true, predicted before and after */
    int passes;                   /* that it has been through */
    int broken;                   /* the pass that broke it, or one of the above */
    Distance distance;
    uint32_t crc; /* of its pixels and label */
} SequenceRow;

typedef struct StageCost { /* over all runs of a resumed sequence */
    double seconds;        /* in compiled code */
    uint64_t forwards, backwards;
} StageCost;

typedef struct SequencePlan {
    const char *sequence, *norm;
    const char *model, *images;
    double eps;
    const char *out, *csv, *json, *checkpoint; /* files or NULL */
    bool resume;
    DataRange range;
    RunChoice run;
} SequencePlan;

typedef struct SequenceResult {
    int nstages;
    Stage stage[MAX_STAGES];
    StageCost cost[MAX_STAGES];
    int64_t robust[MAX_STAGES]; /* images left after it */
    int64_t n, correct;
    bool random;      /* the model's outputs differ from call to call */
    SequenceRow *row; /* n of them, from the first of the range */
    int64_t first;
    double compile_seconds;
    char target[64], cpu[64];
    uint64_t hash;
    bool f64;
    const char *precision; /* "f32", "f64", "bf16" */
    int slots;
} SequenceResult;

/* ---- sequence.c ---- */

bool sequence_exists(const char *name);
/* The stages, their number; 0 if there are none of that name and norm. */
int sequence_stages(const char *name, const char *norm, Stage *out);
/* Of the stage: one for each target and restart. */
int stage_passes(const Stage *);
/* The stage that a pass belongs to, from 0. */
int sequence_stage_of(const SequenceResult *, int pass);
/* An exit status, 0 if fine; 128 + signal if it was stopped. Release it in any case. */
int sequence_run(const SequencePlan *, const AdjOptions *, SequenceResult *);
void sequence_release(SequenceResult *);

/* ---- sequence_checks.c: warnings, after AutoAttack's ---- */

/* Of a few images, of which x and y hold n: outputs that differ from call to call, or look like
 * probabilities; gradients of zero. Sets `random`. */
int sequence_check_model(Harness *, SequenceResult *, void *x, int64_t *y, int64_t n,
                         uint64_t seed);
/* Fewer classes than targets: takes the rest away. */
void sequence_check_classes(SequenceResult *, int64_t classes);
/* Random search that finds what gradients do not. */
void sequence_check_search(const SequenceResult *);

/* ---- sequence_state.c: the checkpoint ---- */

int sequence_load(const SequencePlan *, SequenceResult *);
int sequence_save(const SequencePlan *, const SequenceResult *);

/* ---- sequence_report.c ---- */

void sequence_print(const SequencePlan *, const SequenceResult *);
int sequence_write_csv(const char *path, const SequencePlan *, const SequenceResult *);
int sequence_write_json(const char *path, const SequencePlan *, const SequenceResult *);

#endif
