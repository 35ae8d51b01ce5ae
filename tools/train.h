/* SPDX-License-Identifier: Apache-2.0 */
/* Training a model: the recipe, batches, the state with its checkpoint, the run. Functions return
 * an exit status, 0 if fine. */
#ifndef ADJ_TOOLS_TRAIN_H
#define ADJ_TOOLS_TRAIN_H

#include "tools/images.h"

/* ---- recipes (train_recipe.c) ---- */

typedef struct Recipe {
#define KEY(name, value, lo, hi, help) double name;
#include "tools/train_recipe.def"
#undef KEY
} Recipe;

/* The name of a recipe, or a file of `key = value` lines. */
int recipe_take(Recipe *, const char *name_or_file);
int recipe_set(Recipe *, const char *where, const char *line); /* "key = value" */
void recipe_help(void);
void recipe_text(const Recipe *, char *out, size_t size);       /* all of it, in one line */
double recipe_lr(const Recipe *, int64_t epoch, double passed); /* passed: of the epoch, in [0,1) */

/* ---- the plan ---- */

typedef struct TrainPlan {
    const char *model, *data, *test, *test_labels, *folder;
    char net[4096], csv[4096], checkpoint[4096]; /* files in the folder */
    Recipe recipe;
    DataRange range;
    RunChoice run;
    bool resume;
    int64_t every; /* steps between checkpoints, besides those of epochs; 0: none */
} TrainPlan;

/* ---- state (train_state.c): what a checkpoint holds ---- */

enum { VEC_PARAMS, VEC_VELOCITY, VEC_STATS, VECS };

typedef struct TrainState {
    char key[2048]; /* of the run that it belongs to */
    int64_t epoch, step;
    double control;                   /* of psi */
    double loss, penalty, psi, slope; /* sums of this epoch's steps */
    int64_t correct;
    char *csv; /* text so far; heap */
    void *vec[VECS];
    size_t bytes[VECS];
} TrainState;

int state_save(const char *path, const TrainState *);
/* Vectors have room. *found is false, and nothing changes, if there is no such file. */
int state_load(const char *path, TrainState *, bool *found);

/* ---- batches (train_batch.c) ---- */

/* order[0..n): a permutation for the epoch. */
void batch_order(uint64_t seed, int64_t epoch, int64_t n, int64_t *order);
typedef struct Augment {
    uint64_t seed;
    int64_t epoch, id;
    int crop;
    bool flip;
} Augment;
/* [C, H, W] of `size` bytes an element, moved and mirrored. */
void batch_augment(const Augment *, const AdjTensor *, const void *in, void *out);
/* The logit whose gradient is made small, or -1: the margin. */
int64_t batch_pick(uint64_t seed, int64_t epoch, int64_t id, int64_t classes, double tandem);

int train_run(TrainPlan *, AdjOptions *);

#endif
