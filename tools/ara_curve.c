/* SPDX-License-Identifier: Apache-2.0 */
/* The area in two forms. The published one is that of the paper's code: with D the largest size and
 * 1000 bins of width D/1000, the accuracy behind each bin, less chance, where that is above 0. The
 * exact one takes each size as a step of the curve; it is above the other by less than a bin. */
#include <math.h>
#include <stdlib.h>

#include "tools/ara.h"
#include "tools/say.h"

enum { BINS = 1000 };

static double above(double accuracy, double chance)
{
    return accuracy > chance ? accuracy - chance : 0;
}

static double exact(const double *size, int64_t n, double chance)
{
    double area = 0, before = 0;
    for (int64_t i = 0; i < n; i++) {
        area += (size[i] - before) * above((double)(n - i) / (double)n, chance);
        before = size[i];
    }
    return area;
}

static double by_histogram(const double *size, int64_t n, double chance)
{
    double most = size[n - 1], area = 0;
    int64_t within = 0;
    for (int bin = 0; bin < BINS; bin++) {
        while (within < n && (bin == BINS - 1 || (int)(size[within] / most * BINS) <= bin))
            within++;
        area += above(1 - (double)within / (double)n, chance);
    }
    return area * most / BINS;
}

AraArea ara_area(const double *size, int64_t n, double chance)
{
    if (!n || !(size[n - 1] > 0)) return (AraArea){0};
    return (AraArea){by_histogram(size, n, chance), exact(size, n, chance)};
}

double ara_accuracy(const double *size, int64_t n, double rmse)
{
    int64_t within = 0;
    while (within < n && size[within] <= rmse) within++;
    return (double)(n - within) / (double)n;
}

bool ara_late(const AraRow *r, int32_t steps)
{
    return r->first > steps / 2;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int ara_summarise(const AraPlan *p, AraResult *r)
{
    r->size = calloc((size_t)r->total, sizeof *r->size);
    if (!r->size) return fail_input("no memory for %lld sizes", (long long)r->total);
    for (int64_t i = 0; i < r->total; i++) {
        const AraRow *row = &r->row[i];
        r->size[i] = row->rmse;
        r->correct += row->predicted == row->label;
        r->late += ara_late(row, p->steps);
        r->never += row->first == ARA_NEVER;
    }
    qsort(r->size, (size_t)r->total, sizeof *r->size, by_size);
    r->area = ara_area(r->size, r->total, 1 / (double)r->classes);
    return 0;
}
