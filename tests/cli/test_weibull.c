/* SPDX-License-Identifier: Apache-2.0 */
/* End points of maxima against the maximum of SciPy's weibull_min likelihood (Nelder-Mead from
 * several starts), for quantiles of reverse Weibull distributions rounded to 6 digits; and numbers
 * that are all the same. */
#include "tools/weibull.h"

#include <math.h>
#include <stdio.h>

enum { MOST = 100 };

static const struct {
    double shape, loc, scale; /* of the quantiles */
    int n;
    Weibull want;
} cases[] = {
    {3, 5, 2, 40, {4.884608482, 1.874795229, 2.837150424}},
    {1.8, 1, 0.3, 60, {0.991591778, 0.289229597, 1.739515231}},
    {6, 10, 4, 100, {9.829926543, 3.826731049, 5.766234790}},
};

static int passed, failed;

static void check(const char *what, double got, double want)
{
    int ok = fabs(got - want) <= 1e-6 * fmax(fabs(want), 1);
    passed += ok;
    failed += !ok;
    if (!ok) printf("FAIL %s: %.9f, not %.9f\n", what, got, want);
}

int main(void)
{
    double x[MOST];
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        for (int i = 0; i < cases[k].n; i++) {
            double p = (i + 0.5) / cases[k].n;
            double q = cases[k].loc - cases[k].scale * pow(-log(p), 1 / cases[k].shape);
            x[i] = round(1e6 * q) / 1e6;
        }
        Weibull w = weibull_fit(x, cases[k].n);
        check("location", w.loc, cases[k].want.loc);
        check("scale", w.scale, cases[k].want.scale);
        check("shape", w.shape, cases[k].want.shape);
    }
    for (int i = 0; i < MOST; i++) x[i] = -log(-log((i + 0.5) / MOST));
    double most = x[MOST - 1], spread = most - x[0];
    Weibull gumbel = weibull_fit(x, MOST);
    check("a Gumbel distribution: end above", gumbel.loc > most, 1);
    check("a Gumbel distribution: end near", gumbel.loc < most + 4 * spread, 1);
    for (int i = 0; i < MOST; i++) x[i] = 0.125;
    check("all the same", weibull_fit(x, MOST).loc, 0.125);
    check("one number", weibull_fit(x, 1).loc, 0.125);
    x[3] = 0.25;
    check("an end point is no less than the largest", weibull_fit(x, MOST).loc >= 0.25, 1);
    printf("weibull: %d passed, %d failed\n", passed, failed);
    return failed != 0;
}
