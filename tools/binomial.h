/* SPDX-License-Identifier: Apache-2.0 */
/* What counts say of a probability. Absolute errors are below 1e-12. */
#ifndef ADJ_TOOLS_BINOMIAL_H
#define ADJ_TOOLS_BINOMIAL_H

#include <stdint.h>

/* The regularised incomplete beta function I_x(a, b); a, b > 0, x in [0,1]. */
double incomplete_beta(double a, double b, double x);

/* Clopper, Pearson 1934: the one-sided lower bound of a probability, of confidence 1 - alpha, after
 * k successes in n trials. */
double binomial_lower(int64_t k, int64_t n, double alpha);

/* Two-sided p value of k successes in n trials of probability 1/2; 1 for no trials. */
double binomial_even(int64_t k, int64_t n);

/* The x of a standard normal distribution with P(X <= x) = p, p in (0,1). */
double normal_quantile(double p);

#endif
