/* SPDX-License-Identifier: Apache-2.0 */
/* What the samples of an attack come to together. Quantiles are of order statistics with linear
 * interpolation between them, as NumPy's default. */
#include <math.h>
#include <stdlib.h>

#include "tools/attack.h"

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* v is sorted. */
static double quantile(const double *v, int64_t n, double q)
{
    double at = q * (double)(n - 1), below = floor(at);
    int64_t i = (int64_t)below;
    return i + 1 < n ? v[i] + (at - below) * (v[i + 1] - v[i]) : v[i];
}

static Spread spread(double *v, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += v[i];
    qsort(v, (size_t)n, sizeof *v, ascending);
    return (Spread){sum / (double)n, quantile(v, n, 0.25), quantile(v, n, 0.5),
                    quantile(v, n, 0.75), v[n - 1]};
}

static void count(AttackResult *r, const AttackSample *s)
{
    bool right = s->before == s->label;
    r->correct += right;
    r->robust += right && s->after == s->label;
    r->robust8 += right && s->after8 == s->label;
    r->reached += s->success;
}

void attack_stats(AttackResult *r, double *scratch)
{
    for (int64_t i = 0; i < r->n; i++) count(r, &r->sample[i]);
    if (!r->n) return;
    for (int64_t i = 0; i < r->n; i++) scratch[i] = r->sample[i].distance.linf;
    r->linf = spread(scratch, r->n);
    for (int64_t i = 0; i < r->n; i++) scratch[i] = r->sample[i].distance.l2;
    r->l2 = spread(scratch, r->n);
    for (int64_t i = 0; i < r->n; i++) scratch[i] = r->sample[i].distance.rmse;
    r->rmse = spread(scratch, r->n);
}
