/* SPDX-License-Identifier: Apache-2.0 */
/* The incomplete beta function by its continued fraction (DLMF 8.17.22), evaluated as Lentz does;
 * its inverse and that of the normal distribution by bisection, which needs no care. */
#include "tools/binomial.h"

#include <float.h>
#include <math.h>

static double away_from_zero(double v)
{
    return fabs(v) < DBL_MIN ? DBL_MIN : v;
}

/* Coefficient m of the fraction 1 / (1 + d_1 / (1 + d_2 / ...)). */
static double coefficient(int m, double a, double b, double x)
{
    int h = m / 2;
    if (m % 2) return -(a + h) * (a + b + h) * x / ((a + 2 * h) * (a + 2 * h + 1));
    return h * (b - h) * x / ((a + 2 * h - 1) * (a + 2 * h));
}

static double fraction(double a, double b, double x)
{
    double c = 1, d = 0, f = 1;
    for (int m = 1; m < 100000; m++) {
        double k = coefficient(m, a, b, x);
        d = 1 / away_from_zero(1 + k * d);
        c = away_from_zero(1 + k / c);
        f *= c * d;
        if (fabs(c * d - 1) < 1e-15) break;
    }
    return f;
}

double incomplete_beta(double a, double b, double x)
{
    if (x <= 0 || x >= 1) return x >= 1;
    if (x > (a + 1) / (a + b + 2)) return 1 - incomplete_beta(b, a, 1 - x);
    double log_beta = lgamma(a) + lgamma(b) - lgamma(a + b);
    double front = exp(a * log(x) + b * log1p(-x) - log_beta);
    return front / (a * fraction(a, b, x));
}

/* P(X >= k) = I_p(k, n - k + 1) grows with p. */
double binomial_lower(int64_t k, int64_t n, double alpha)
{
    double low = 0, high = 1;
    if (k <= 0) return 0;
    if (k >= n) return pow(alpha, 1 / (double)n);
    for (int i = 0; i < 100; i++) {
        double p = (low + high) / 2;
        if (incomplete_beta((double)k, (double)(n - k + 1), p) < alpha)
            low = p;
        else
            high = p;
    }
    return low;
}

double binomial_even(int64_t k, int64_t n)
{
    int64_t most = k < n - k ? n - k : k;
    if (2 * most == n || n == 0) return 1;
    return fmin(1, 2 * incomplete_beta((double)most, (double)(n - most + 1), 0.5));
}

double normal_quantile(double p)
{
    double low = -40, high = 40;
    for (int i = 0; i < 100; i++) {
        double x = (low + high) / 2;
        if (0.5 * erfc(-x / sqrt(2)) < p)
            low = x;
        else
            high = x;
    }
    return (low + high) / 2;
}
