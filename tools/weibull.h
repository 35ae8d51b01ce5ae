/* SPDX-License-Identifier: Apache-2.0 */
/* The end point of maxima: the location of a reverse Weibull distribution, P(X <= x) =
 * exp(-((loc - x) / scale)^shape) for x below loc, by maximum likelihood. */
#ifndef ADJ_TOOLS_WEIBULL_H
#define ADJ_TOOLS_WEIBULL_H

#include <stdint.h>

typedef struct Weibull {
    double loc, scale, shape;
} Weibull;

/* Of n >= 1 finite numbers. Numbers that are all the same are their own end point (scale 0). */
Weibull weibull_fit(const double *x, int64_t n);

#endif
