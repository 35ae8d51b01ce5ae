/* SPDX-License-Identifier: Apache-2.0 */
/* A training that is going on, known to train.c (epochs), train_open.c and train_step.c. Functions
 * return an exit status, 0 if fine. */
#ifndef ADJ_TOOLS_TRAIN_RUN_H
#define ADJ_TOOLS_TRAIN_RUN_H

#include "tools/progress.h"
#include "tools/train.h"

enum { NUM_LOSS, NUM_PENALTY, NUM_PSI, NUMS };

typedef struct Train {
    TrainPlan *p;
    Harness h;
    /* Ranks with statistics of their own: train-gradient, and train-update behind it. One rank, or
     * synchronised: train-step, and no update. */
    const AdjEntry *step, *update, *logits;
    AdjTrain list;
    AdjTensor image; /* one image of the batch */
    Images data, test;
    int64_t b, ranks;                   /* images a step of one rank */
    int64_t steps, classes;             /* images a step, steps an epoch */
    int64_t *labels, *order;            /* of the whole set */
    int64_t *y, *pick, *attacked, *ids; /* of the batch */
    char *pixels, *raw;                 /* of the batch; one image as it is read */
    void *scores, *grad;
    double num[NUMS]; /* room for one element each */
    void *io[ENTRY_TENSORS], *update_io[ENTRY_TENSORS], *eval_io[ENTRY_TENSORS];
    TrainState st;
    int signal; /* that a rank has seen */
    Progress progress;
    char what[128]; /* for the progress */
} Train;

int train_open(Train *, AdjOptions *);
void train_close(Train *);
/* Vectors that have changed places are lent to the entries again. */
void train_bind(Train *);
/* What a user gets: the averages where there are some. */
TrainVector *train_result(Train *, const char *params_or_stats);

int train_step(Train *);
int train_test(Train *, double *accuracy); /* NAN if there is no test set */

/* ---- ranks (train_ranks.c): all are collective ---- */
int train_mean(const Train *, void *vector, int64_t n); /* over ranks */
int train_bring_together(Train *);                      /* what train-gradient gave, if it did */
int train_allreduce(void *, void *, size_t, int);       /* AdjEnv.allreduce */
int train_save(const Train *);                          /* the checkpoint */
int train_spread(Train *, int status);

double train_number(const Train *, const void *, int64_t i);

#endif
