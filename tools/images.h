/* SPDX-License-Identifier: Apache-2.0 */
/* A data set as a model wants it: a range of samples, NCHW, in the element type of the model's
 * image input. Samples are numbered within the range; `first` + number is the identity of a sample.
 * All functions return an exit status, 0 if fine. */
#ifndef ADJ_TOOLS_IMAGES_H
#define ADJ_TOOLS_IMAGES_H

#include "tools/data/data.h"
#include "tools/harness.h"
#include "tools/options.h"

typedef struct Images {
    Data *data;
    const char *path, *labels; /* files; the labels' is the images' unless one was named */
    int64_t first, n;
    const AdjTensor *x; /* the image input */
    const char *model;  /* file, for messages */
    bool channels_last; /* the samples are transposed while reading */
    void *row;          /* one sample as stored */
} Images;

/* Opens the set and settles the range. */
int images_open(Images *, const char *path, const DataRange *);
/* The model is known: its image input must have the samples' shape. Grey images may lack their
 * channel axis, and the channels may come last; nothing else is converted. */
int images_bind(Images *, const Harness *, const AdjTensor *x);
void images_close(Images *);

int images_read(Images *, int64_t at, int64_t n, void *out);
bool images_have_labels(const Images *);
/* Labels must lie in [0, classes). */
int images_labels(Images *, int64_t at, int64_t n, int64_t classes, int64_t *out);
/* Pixels that were read must lie in [0, 1]. */
int images_check_pixels(const Images *, int64_t at, int64_t n, const void *pixels);

#endif
