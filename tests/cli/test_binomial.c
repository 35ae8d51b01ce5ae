/* SPDX-License-Identifier: Apache-2.0 */
/* Bounds of probabilities, tests and normal quantiles against values of SciPy (beta.ppf, binomtest,
 * norm.ppf). */
#include "tools/binomial.h"

#include <math.h>
#include <stdio.h>

static int passed, failed;

static void check(const char *what, double got, double want)
{
    double off = fabs(got - want) / fmax(fabs(want), 1e-3);
    int ok = off < 1e-9; /* false for NaN */
    passed += ok;
    failed += !ok;
    if (!ok) printf("FAIL %s: %.17g, not %.17g\n", what, got, want);
}

static const struct {
    int64_t k, n;
    double alpha, bound;
} lower[] = {
    {1, 10, 0.05, 0.005116196891823701},
    {9, 10, 0.001, 0.37627691091117454},
    {0, 5, 0.1, 0},
    {5, 5, 0.01, 0.39810717055349726},
    {51, 100, 0.001, 0.3541501986578039},
    {990, 1000, 0.001, 0.9760361871553114},
    {99000, 100000, 0.001, 0.9889893403774748},
    {99999, 100000, 0.001, 0.9999076696662654},
    {100000, 100000, 0.001, 0.9999309248330094},
    {50321, 100000, 0.001, 0.4983189282264597},
    {7, 16000000, 0.001, 9.5021029576872e-08},
    {8388000, 8388608, 1e-06, 0.9999125507312093},
};

static const struct {
    int64_t k, n;
    double p;
} even[] = {
    {5, 10, 1},
    {10, 10, 0.001953125},
    {0, 10, 0.001953125},
    {60, 100, 0.05688793364098089},
    {4870, 10000, 0.009594158125835934},
    {50600, 100000, 0.00014967191091437408},
    {3, 7, 1},
    {0, 0, 1},
};

static const struct {
    double p, x;
} quantile[] = {
    {0.5, 0},
    {0.75, 0.6744897501960817},
    {0.975, 1.959963984540054},
    {0.999, 3.090232306167813},
    {0.9999309, 3.811367727714914},
    {1e-09, -5.9978070150076865},
    {0.1, -1.2815515655446004},
};

int main(void)
{
    for (size_t i = 0; i < sizeof lower / sizeof lower[0]; i++)
        check("bound", binomial_lower(lower[i].k, lower[i].n, lower[i].alpha), lower[i].bound);
    for (size_t i = 0; i < sizeof even / sizeof even[0]; i++)
        check("p value", binomial_even(even[i].k, even[i].n), even[i].p);
    for (size_t i = 0; i < sizeof quantile / sizeof quantile[0]; i++)
        check("quantile", normal_quantile(quantile[i].p), quantile[i].x);
    printf("binomial: %d passed, %d failed\n", passed, failed);
    return failed != 0;
}
