/* SPDX-License-Identifier: Apache-2.0 */
/* vjp, jvp, hvp and jacobian of the example network, compiled in f64: <u, J v> = <u^T J, v> to
 * rounding, both products against central differences of what they differentiate, rows of the
 * Jacobian against vjp. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "e2e.h"

enum { N = 5, PIXELS = 28 * 28, CLASSES = 10 };
static const double step = 1e-6;

typedef struct Case {
    Net net;
    double x[N * PIXELS], v[N * PIXELS], u[N * CLASSES];
    int64_t y[N];
} Case;

static double uniform(uint32_t *s)
{
    *s = *s * 1664525u + 1013904223u;
    return (double)(*s >> 8) / 16777216.0;
}

static void fill(Case *c)
{
    uint32_t s = 5;
    for (int i = 0; i < N * PIXELS; i++) {
        c->x[i] = uniform(&s);
        c->v[i] = uniform(&s) - 0.5;
    }
    for (int i = 0; i < N * CLASSES; i++) c->u[i] = uniform(&s) - 0.5;
    for (int i = 0; i < N; i++) c->y[i] = i;
}

static void call(Case *c, const char *entry, void *a, void *b, void *p, void *q, void *r)
{
    Run run = {.n = N, .workers = 2};
    memcpy(run.io, (void *[]){a, b, p, q, r}, 5 * sizeof(void *));
    net_run(&c->net, entry, &run);
}

static double dot(const double *a, const double *b, int n)
{
    double s = 0;
    for (int i = 0; i < n; i++) s += a[i] * b[i];
    return s;
}

static void moved(const Case *c, double by, double *x)
{
    for (int i = 0; i < N * PIXELS; i++) x[i] = c->x[i] + by * c->v[i];
}

static void check_adjoint(Count *k, Case *c)
{
    static double z[N * CLASSES], g[N * PIXELS], dz[N * CLASSES];
    call(c, "vjp", c->x, c->u, z, g, NULL);
    call(c, "jvp", c->x, c->v, z, dz, NULL);
    for (int i = 0; i < N; i++) {
        double a = dot(c->u + i * CLASSES, dz + i * CLASSES, CLASSES);
        double b = dot(g + i * PIXELS, c->v + i * PIXELS, PIXELS);
        count_check(k, fabs(a - b) <= 1e-12 * fmax(1, fabs(a)), "<u, J v> - <u J, v>: %.2e of %g",
                    a - b, a);
    }
}

/* Each row is u^T J for a unit vector u. */
static void check_jacobian(Count *k, Case *c)
{
    static double z[N * CLASSES], g[N * PIXELS], u[N * CLASSES], all[N * CLASSES * PIXELS];
    double worst = 0, big = 0;
    call(c, "jacobian", c->x, z, all, NULL, NULL);
    for (int r = 0; r < CLASSES; r++) {
        for (int i = 0; i < N * CLASSES; i++) u[i] = i % CLASSES == r;
        call(c, "vjp", c->x, u, NULL, g, NULL);
        for (int i = 0; i < N * PIXELS; i++) {
            int at = (i / PIXELS * CLASSES + r) * PIXELS + i % PIXELS;
            worst = fmax(worst, fabs(all[at] - g[i]));
            big = fmax(big, fabs(g[i]));
        }
    }
    count_check(k, worst <= 1e-12 * big && big > 0, "jacobian against vjp: %.1e of %.1e", worst,
                big);
}

/* Piecewise linear or smooth, but for kinks within a step: the median over outputs is judged. */
static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median_error(const double *got, const double *lo, const double *hi, int n)
{
    double *e = malloc(sizeof *e * (size_t)n), big = 0, m;
    for (int i = 0; i < n; i++) big = fmax(big, fabs(got[i]));
    for (int i = 0; i < n; i++) e[i] = fabs(got[i] - (hi[i] - lo[i]) / (2 * step)) / big;
    qsort(e, (size_t)n, sizeof *e, by_value);
    m = e[n / 2];
    free(e);
    return m;
}

static void check_jvp(Count *k, Case *c)
{
    static double x[N * PIXELS], lo[N * CLASSES], hi[N * CLASSES], z[N * CLASSES], dz[N * CLASSES],
        g[N * PIXELS];
    call(c, "jvp", c->x, c->v, z, dz, NULL);
    moved(c, -step, x);
    call(c, "vjp", x, c->u, lo, g, NULL);
    moved(c, step, x);
    call(c, "vjp", x, c->u, hi, g, NULL);
    double e = median_error(dz, lo, hi, N * CLASSES);
    count_check(k, e <= 1e-7, "jvp against central differences: median %.1e", e);
}

static void check_hvp(Count *k, Case *c)
{
    static double x[N * PIXELS], lo[N * PIXELS], hi[N * PIXELS], g[N * PIXELS], h[N * PIXELS];
    call(c, "hvp", c->x, c->y, c->v, g, h);
    moved(c, -step, x);
    call(c, "gradient", x, c->y, NULL, NULL, lo);
    moved(c, step, x);
    call(c, "gradient", x, c->y, NULL, NULL, hi);
    double e = median_error(h, lo, hi, N * PIXELS);
    count_check(k, e <= 1e-5, "hvp against central differences: median %.1e", e);
}

int main(int argc, char **argv)
{
    static Case c;
    Count k = {.name = "products"};
    AdjOptions o = {.model = argc > 1 ? argv[1] : "tests/e2e/fashion.onnx",
                    .f64 = true,
                    .entries = "gradient,vjp,jvp,hvp,jacobian"};
    fill(&c);
    c.net = net_open(&o);
    check_adjoint(&k, &c);
    check_jvp(&k, &c);
    check_hvp(&k, &c);
    check_jacobian(&k, &c);
    net_close(&c.net);
    return count_close(&k);
}
