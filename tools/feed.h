/* SPDX-License-Identifier: Apache-2.0 */
/* What a model is fed: its image input from a set of images or an array, its other inputs from
 * arrays, all of them n samples. Functions return an exit status. */
#ifndef ADJ_TOOLS_FEED_H
#define ADJ_TOOLS_FEED_H

#include "tools/array.h"
#include "tools/images.h"

enum { FEED_INPUTS = 16 };

typedef struct Feed {
    Arrays arrays;
    DataRange range;
    bool has_images;
    Images images;
    int64_t n;
    /* once bound: the model's inputs */
    int nin;
    int io[FEED_INPUTS];           /* tensor of the entry */
    AdjTensor tensor[FEED_INPUTS]; /* as it is fed */
    void *data[FEED_INPUTS];       /* all samples; NULL: read from the images */
} Feed;

/* Reads --input's arrays, and opens the images (a path, or NULL). */
int feed_open(Feed *, const char *images, const DataRange *);
void feed_close(Feed *);
/* True if neither images nor arrays were named. */
bool feed_empty(const Feed *);

/* Finds the model's inputs among the entry's tensors and settles n. wide: floats are fed as f64,
 * integers as i64. An empty feed gets no data. */
int feed_bind(Feed *, const Harness *, const AdjEntry *, bool wide);

/* Samples at .. at+n-1 of input i: where they lie, or read into `buffer`. */
int feed_samples(Feed *, int i, int64_t at, int64_t n, void *buffer, void **out);

#endif
