/* SPDX-License-Identifier: Apache-2.0 */
/* What logits and images amount to: predictions, distances. */
#ifndef ADJ_TOOLS_SCORE_H
#define ADJ_TOOLS_SCORE_H

#include <stdbool.h>

#include "tools/harness.h"

/* The class with the largest logit of sample i; the first one of several, -1 if a logit is NaN. */
int64_t score_class(const AdjTensor *logits, const void *data, int64_t i);

/* True if all n rows look like probabilities: none below 0, the sum 1. Attacks want logits. */
bool score_probabilities(const AdjTensor *logits, const void *data, int64_t n);

/* Of sample i between two arrays of images, pixels in [0,1]. rmse = l2 / sqrt(elements). */
typedef struct Distance {
    double linf, l2, rmse;
} Distance;
Distance score_distance(const AdjTensor *x, const void *a, const void *b, int64_t i);

#endif
