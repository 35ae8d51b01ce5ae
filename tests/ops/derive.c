/* SPDX-License-Identifier: Apache-2.0 */
/* First and second derivatives by central differences; <A x, y> = <x, A' y> of linear rows, where y
 * is a random functional of the outputs and A' y its gradient. */
#include "derive.h"

#include <math.h>
#include <string.h>

#include "ir/build.h"
#include "passes/passes.h"

typedef struct Probe {
    Arena *arena;
    Graph *g;
    Point p;
    int n; /* f64 inputs */
    Ref wrt[MAX_VALUES];
    double *x[MAX_VALUES]; /* their values, to be varied */
    Ref functional;
} Probe;

/* ---- functionals ---- */

static Ref random_const(Graph *g, Type t)
{
    int64_t n = type_count(t);
    double *x = NEW_N(g->arena, double, n + 1);
    for (int64_t i = 0; i < n; i++) x[i] = point_uniform(-1, 1);
    return graph_const(g, t, x);
}

/* The sum of <r[i], random> as f64[1]. */
static Ref functional(Graph *g, int n, const Ref *r)
{
    int64_t one = 1;
    Ref sum = graph_splat(g, type_of(DT_F64, 1, &one), 0);
    for (int i = 0; i < n; i++) {
        Type t = g->node[r[i]].type;
        int64_t count = type_count(t);
        Ref weight = random_const(g, t), terms = b_binary(g, OP_mul, r[i], weight);
        terms = b_reshape(g, terms, 1, &count);
        sum = b_binary(g, OP_add, sum, b_reduce(g, OP_sum, terms, 1, (int[]){0}));
    }
    return sum;
}

static int outputs(const Graph *g, Ref *out)
{
    int n = 0;
    for (uint32_t i = 0; i < g->nout && n < MAX_VALUES; i++)
        if (g->node[g->out[i].ref].type.dtype == DT_F64) out[n++] = g->out[i].ref;
    return n;
}

static int inputs(const Graph *g, Ref *in)
{
    int n = 0;
    for (Ref r = 0; r < g->n && n < MAX_VALUES; r++)
        if (g->node[r].op == OP_input && g->node[r].type.dtype == DT_F64) in[n++] = r;
    return n;
}

Graph *derive_graph(Arena *a, const Graph *src)
{
    Graph *g = pass_dce(a, src);
    Ref out[MAX_VALUES], in[MAX_VALUES], cot[MAX_VALUES], grad[MAX_VALUES];
    int nout = outputs(g, out), nin = inputs(g, in);
    for (int i = 0; i < nout; i++) cot[i] = random_const(g, g->node[out[i]].type);
    grad_append(g, nout, out, cot, nin, in, grad);
    for (int i = 0; i < nin; i++)
        graph_output(g, arena_printf(a, "d_%s", node_attr(&g->node[in[i]], "name")->s), grad[i]);
    return g;
}

/* ---- values ---- */

static Probe probe_new(Arena *a, const OpCase *c, const Graph *src)
{
    Probe p = {.arena = a, .g = pass_dce(a, src)};
    Ref out[MAX_VALUES];
    p.p = point_new(a, c, p.g);
    p.n = inputs(p.g, p.wrt);
    for (int i = 0; i < p.n; i++)
        p.x[i] = point_find(&p.p, node_attr(&p.g->node[p.wrt[i]], "name")->s)->data;
    int nout = outputs(p.g, out);
    p.functional = functional(p.g, nout, out);
    return p;
}

static double *value(const Probe *p, Ref r)
{
    Eval *ev = point_bind(&p->p, p->g);
    eval_run(ev, &r, 1);
    double *copy =
        arena_dup(p->arena, eval_get(ev, r)->data, (size_t)type_bytes(p->g->node[r].type));
    eval_free(ev);
    return copy;
}

static int64_t count(const Probe *p, int i)
{
    return type_count(p->g->node[p->wrt[i]].type);
}

static const char *differ(const Probe *p, const char *what, int i, int64_t j, double got,
                          double want)
{
    return arena_printf(p->arena, "%s in input %d, element %lld: %.12g, not %.12g", what, i,
                        (long long)j, got, want);
}

/* ---- differences ---- */

static bool near(double got, double want, double tol)
{
    return fabs(got - want) <= tol * fmax(1, fmax(fabs(got), fabs(want)));
}

static const char *compare(Probe *p, Ref scalar, const Ref *grad, double tol, const char *what)
{
    const double h = 1e-5;
    for (int i = 0; i < p->n; i++) {
        const double *got = value(p, grad[i]);
        for (int64_t j = 0; j < count(p, i); j++) {
            double *x = &p->x[i][j], old = *x;
            *x = old + h;
            double up = value(p, scalar)[0];
            *x = old - h;
            double down = value(p, scalar)[0], want = (up - down) / (2 * h);
            *x = old;
            if (!near(got[j], want, tol)) return differ(p, what, i, j, got[j], want);
        }
    }
    return NULL;
}

const char *derive_smooth(Arena *a, const OpCase *c, const Graph *g)
{
    Probe p = probe_new(a, c, g);
    Ref grad[MAX_VALUES], second[MAX_VALUES];
    grad_append(p.g, 1, &p.functional, NULL, p.n, p.wrt, grad);
    const char *wrong = compare(&p, p.functional, grad, 1e-6, "first derivative");
    if (wrong) return wrong;
    Ref s = functional(p.g, p.n, grad);
    grad_append(p.g, 1, &s, NULL, p.n, p.wrt, second);
    return compare(&p, s, second, 1e-5, "second derivative");
}

/* ---- adjoints ---- */

const char *derive_linear(Arena *a, const OpCase *c, const Graph *g)
{
    Probe p = probe_new(a, c, g);
    Ref grad[MAX_VALUES];
    grad_append(p.g, 1, &p.functional, NULL, p.n, p.wrt, grad);
    double image = value(&p, p.functional)[0], total = 0;
    for (int i = 0; i < p.n; i++) {
        const double *d = value(&p, grad[i]);
        double part = 0;
        for (int64_t j = 0; j < count(&p, i); j++) part += d[j] * p.x[i][j];
        total += part;
        if (c->bilinear && !near(part, image, 1e-12))
            return differ(&p, "<A x, y>", i, 0, part, image);
    }
    if (c->linear && !near(total, image, 1e-12)) return differ(&p, "<A x, y>", 0, 0, total, image);
    return NULL;
}
