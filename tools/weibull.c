/* SPDX-License-Identifier: Apache-2.0 */
/* Maximum likelihood in three parameters: for a location, shape and scale have closed equations
 * (Cohen 1965); the location is searched on a logarithmic grid of its distance to the largest
 * number, then by golden section. Shapes are kept within [1, 20]: below 1 the likelihood has no
 * bound (Smith 1985); numbers of a Gumbel distribution, which has no end, would have it grow with
 * the shape for ever, and the location with it. At 20 the end is some 3 spreads off. */
#include "tools/weibull.h"

#include <math.h>

enum { GRID = 60 };
#define LEAST_SHAPE 1.0
#define MOST_SHAPE 20.0

typedef struct Fit {
    const double *x;
    int64_t n;
    double most, spread;
} Fit;

/* y_i = loc - x_i in units of the largest, so that powers do not overflow. */
static double distance(const Fit *f, double loc, int64_t i)
{
    return (loc - f->x[i]) / (loc - f->most + f->spread);
}

/* sum y^c log y / sum y^c - 1 / c - mean log y: grows with c, 0 at the likeliest shape. */
static double shape_equation(const Fit *f, double loc, double c, double *mean_power)
{
    double power = 0, logged = 0, logs = 0;
    for (int64_t i = 0; i < f->n; i++) {
        double l = log(distance(f, loc, i)), p = exp(c * l);
        power += p;
        logged += p * l;
        logs += l;
    }
    *mean_power = power / (double)f->n;
    return logged / power - 1 / c - logs / (double)f->n;
}

static Weibull fit_at(const Fit *f, double loc)
{
    double low = LEAST_SHAPE, high = MOST_SHAPE, power;
    for (int i = 0; i < 60; i++) {
        double c = (low + high) / 2;
        if (shape_equation(f, loc, c, &power) < 0)
            low = c;
        else
            high = c;
    }
    shape_equation(f, loc, low, &power);
    return (Weibull){loc, pow(power, 1 / low) * (loc - f->most + f->spread), low};
}

/* The mean log-likelihood at the best shape and scale. */
static double likelihood(const Fit *f, double loc)
{
    Weibull w = fit_at(f, loc);
    double sum = 0;
    for (int64_t i = 0; i < f->n; i++) {
        double r = (loc - f->x[i]) / w.scale;
        sum += (w.shape - 1) * log(r) - pow(r, w.shape);
    }
    return log(w.shape / w.scale) + sum / (double)f->n;
}

/* Grid point i: a distance from the largest number. */
static double location(const Fit *f, double i)
{
    return f->most + f->spread * pow(10, -6 + 8 * i / GRID);
}

static double search(const Fit *f)
{
    const double golden = 0.6180339887498949;
    int best = 0;
    double most = -INFINITY;
    for (int i = 0; i <= GRID; i++) {
        double value = likelihood(f, location(f, i));
        if (value > most) most = value, best = i;
    }
    double low = best ? best - 1 : 0, high = best < GRID ? best + 1 : GRID;
    for (int i = 0; i < 60; i++) {
        double a = high - golden * (high - low), b = low + golden * (high - low);
        if (likelihood(f, location(f, a)) < likelihood(f, location(f, b)))
            low = a;
        else
            high = b;
    }
    return location(f, (low + high) / 2);
}

Weibull weibull_fit(const double *x, int64_t n)
{
    Fit f = {x, n, x[0], 0};
    double least = x[0];
    for (int64_t i = 1; i < n; i++) {
        f.most = fmax(f.most, x[i]);
        least = fmin(least, x[i]);
    }
    f.spread = f.most - least;
    if (!(f.spread > 1e-9 * fabs(f.most))) return (Weibull){f.most, 0, LEAST_SHAPE};
    return fit_at(&f, search(&f));
}
