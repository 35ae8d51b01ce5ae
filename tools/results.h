/* SPDX-License-Identifier: Apache-2.0 */
/* Outputs into files: -o FILE.npy for a model of one output, -o FILE.npz for all of them, -o
 * NAME=FILE.npy for some, repeated. Functions return an exit status. */
#ifndef ADJ_TOOLS_RESULTS_H
#define ADJ_TOOLS_RESULTS_H

#include "tools/harness.h"

enum { RESULTS = 16 };

typedef struct Results {
    const Harness *h;
    const AdjEntry *entry;
    char *const *texts;  /* as given to -o; NULL at the end, or NULL */
    void *data[RESULTS]; /* by tensor of the entry: all samples of a wanted output, else NULL */
} Results;

/* What can be said of the options before there is a model. */
int results_check(char *const *texts);
/* Finds the outputs that are wanted, the first one always, and gets memory for n samples. */
int results_bind(Results *, const Harness *, const AdjEntry *, char *const *texts, int64_t n);
int results_save(const Results *, int64_t n);
void results_free(Results *);

/* The entry's first output, or -1. */
int results_first(const AdjEntry *);

#endif
