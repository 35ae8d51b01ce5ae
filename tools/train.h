/* SPDX-License-Identifier: Apache-2.0 */
/* Training a model: the recipe, batches, the state with its checkpoint, the run. Functions return
 * an exit status, 0 if fine. */
#ifndef ADJ_TOOLS_TRAIN_H
#define ADJ_TOOLS_TRAIN_H

#include "tools/images.h"

/* ---- recipes (train_recipe.c) ---- */

enum { WORD_SCHEDULE, MAX_WORDS = 16 }; /* keys that are words: first the schedule, then parts */

typedef struct Recipe {
#define KEY(name, value, lo, hi, help) double name;
#define WHOLE KEY
#include "tools/train_recipe.def"
#undef KEY
#undef WHOLE
    int word[MAX_WORDS];
} Recipe;

/* The name of a recipe, or a file of `key = value` lines. */
int recipe_take(Recipe *, const char *name_or_file);
int recipe_set(Recipe *, const char *where, const char *line); /* "key = value" */
void recipe_help(void);
void recipe_text(const Recipe *, char *out, size_t size);  /* all of it, in one line */
void recipe_parts(const Recipe *, char *out, size_t size); /* for AdjOptions.train */
bool recipe_has(const Recipe *, const char *kind);         /* another part than the standard's */
/* Every number that is not left to a part. */
void recipe_each(const Recipe *, void (*take)(void *, const char *key, double), void *user);

/* ---- schedules (train_schedule.c) ---- */

typedef struct Place {
    int64_t epoch, step, steps; /* step of `steps` in an epoch, from 0 */
} Place;
typedef struct Pace {
    double lr, momentum, beta1;
} Pace;
typedef struct Schedule {
    const char *name;
    Pace (*pace)(const Recipe *, const Place *);
    const char *help;
} Schedule;
extern const Schedule schedules[]; /* the last one has no name */
Pace recipe_pace(const Recipe *, const Place *);

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

enum { MAX_STATES = 16 };

/* What the entry reads as `name` and writes as new_<name>. */
typedef struct TrainVector {
    const char *name;
    void *now, *next;
    size_t bytes;
    int64_t n;
    bool late; /* written behind the gradient */
} TrainVector;

typedef struct TrainState {
    char key[4096]; /* of the run that it belongs to */
    int64_t epoch, step;
    double loss, penalty, psi, slope; /* sums of this epoch's steps */
    int64_t correct;
    char *csv; /* text so far; heap */
    int nvec;
    TrainVector vec[MAX_STATES];
} TrainState;

TrainVector *state_vector(TrainState *, const char *name); /* or NULL */
/* The one that was there stays as PATH.1, so that there is always a whole one. */
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
/* 1, with the probability `share`: the image is attacked. */
int64_t batch_attacked(uint64_t seed, int64_t epoch, int64_t id, double share);

int train_run(TrainPlan *, AdjOptions *);

#endif
