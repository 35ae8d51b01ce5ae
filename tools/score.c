/* SPDX-License-Identifier: Apache-2.0 */
/* Sums are in double whatever the precision of the model. */
#include "tools/score.h"

#include <math.h>

int64_t score_class(const AdjTensor *t, const void *data, int64_t i)
{
    int64_t classes = tensor_elements(t), best = 0;
    double top = tensor_value(t, data, i * classes);
    for (int64_t c = 0; c < classes; c++) {
        double v = tensor_value(t, data, i * classes + c);
        if (isnan(v)) return -1;
        if (v > top) {
            top = v;
            best = c;
        }
    }
    return best;
}

bool score_probabilities(const AdjTensor *t, const void *data, int64_t n)
{
    int64_t classes = tensor_elements(t);
    for (int64_t i = 0; i < n; i++) {
        double sum = 0;
        for (int64_t c = 0; c < classes; c++) {
            double v = tensor_value(t, data, i * classes + c);
            if (!(v >= 0)) return false;
            sum += v;
        }
        if (fabs(sum - 1) > 1e-3) return false;
    }
    return n > 0;
}

Distance score_distance(const AdjTensor *x, const void *a, const void *b, int64_t i)
{
    int64_t n = tensor_elements(x);
    double top = 0, squares = 0;
    for (int64_t k = i * n; k < (i + 1) * n; k++) {
        double d = fabs(tensor_value(x, a, k) - tensor_value(x, b, k));
        if (d > top) top = d;
        squares += d * d;
    }
    return (Distance){top, sqrt(squares), sqrt(squares / (double)n)};
}
