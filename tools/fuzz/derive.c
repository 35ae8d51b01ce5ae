/* SPDX-License-Identifier: Apache-2.0 */
/* The gradient of a random linear functional of the outputs, against differences. */
#include <math.h>

#include "check.h"
#include "ir/build.h"
#include "passes/passes.h"

enum { POINTS = 6 };

/* As many inputs as a program has room for gradients of, from a random one on. */
static void choose_inputs(Check *c, Derive *d)
{
    int room = MAX_IO - spec_of(c, d->g, 1).nio, n = 0;
    if (room > MAX_WRT) room = MAX_WRT;
    Ref all[MAX_IO];
    for (Ref r = 0; r < d->g->n && n < MAX_IO; r++)
        if (d->g->node[r].op == OP_input && d->g->node[r].type.dtype == DT_F64) all[n++] = r;
    int first = n ? rng_below(&c->rng, n) : 0;
    for (int i = 0; d->nwrt < n && d->nwrt < room; i++) d->wrt[d->nwrt++] = all[(first + i) % n];
}

Derive derive(Check *c, const Graph *src)
{
    Derive d = {.g = pass_dce(c->a, src)};
    for (uint32_t i = 0; i < d.g->nout && d.nout < MAX_WRT; i++) {
        Ref r = d.g->out[i].ref;
        Type t = d.g->node[r].type;
        if (!dtype_is_float(t.dtype) || is_state(d.g->out[i].name)) continue;
        double *w = NEW_N(c->a, double, type_count(t) + 1);
        for (int64_t k = 0; k < type_count(t); k++) w[k] = rng_uniform(&c->rng, -1, 1);
        d.out[d.nout] = r;
        d.cot[d.nout++] = graph_const(d.g, t, w);
    }
    choose_inputs(c, &d);
    grad_append(d.g, d.nout, d.out, d.cot, d.nwrt, d.wrt, d.grad);
    for (int i = 0; i < d.nwrt; i++)
        graph_output(d.g, arena_printf(c->a, "d_%s", input_name(d.g, d.wrt[i])), d.grad[i]);
    graph_verify(d.g, "gradient");
    return d;
}

Eval *bind(Check *c, const Graph *g, Ref at, int64_t element, double by)
{
    Eval *ev = eval_new(g);
    Env tables = {.arena = c->a};
    set_tables(&tables, 1);
    for (Ref r = 0; r < g->n; r++) {
        if (g->node[r].op != OP_input) continue;
        Named *known = env_find(&tables, input_name(g, r));
        Type t = g->node[r].type;
        void *data = known ? known->data : arena_alloc(c->a, (size_t)type_bytes(t) + 8);
        if (!known) fill(c, input_name(g, r), t, data);
        if (r == at) ((double *)data)[element] += by;
        eval_bind(ev, r, data);
    }
    return ev;
}

static double functional(Check *c, const Derive *d, Ref at, int64_t element, double by)
{
    Eval *ev = bind(c, d->g, at, element, by);
    double sum = 0;
    eval_run(ev, d->out, d->nout);
    for (int i = 0; i < d->nout; i++) {
        const Tensor *t = eval_get(ev, d->out[i]);
        const Const *w = d->g->node[d->cot[i]].value;
        for (int64_t k = 0; k < type_count(t->type); k++)
            sum += elem_get(DT_F64, t->data, k) * elem_get(DT_F64, w->data, w->splat ? 0 : k);
    }
    eval_free(ev);
    return sum;
}

typedef struct Slope {
    double central, gap; /* gap: forward less backward difference */
} Slope;

static Slope slope(Check *c, const Derive *d, Ref at, int64_t element, double h)
{
    double up = functional(c, d, at, element, h), down = functional(c, d, at, element, -h);
    double here = functional(c, d, at, element, 0);
    return (Slope){(up - down) / (2 * h), (up - 2 * here + down) / h};
}

/* Two step sizes disagree, or the one-sided slopes do not approach each other with the step: there
 * is a kink, such as a tie of a maximum, and nothing to compare with. */
static bool smooth(const Slope *wide, const Slope *fine, double tol)
{
    if (fabs(wide->central - fine->central) > 0.1 * tol) return false;
    return fabs(fine->gap) <= tol || fabs(fine->gap) < 0.5 * fabs(wide->gap);
}

static void check_slope(Check *c, const Derive *d, int i, int64_t element, double got)
{
    Slope wide = slope(c, d, d->wrt[i], element, 1e-5),
          fine = slope(c, d, d->wrt[i], element, 2.5e-6);
    double want = fine.central, size = fmax(1, fmax(fabs(want), 1e-3 * c->scale));
    double tol = 1e-5 * size;
    if (!smooth(&wide, &fine, tol) || fabs(got - want) <= tol) return;
    err(NULL, "gradient: element %lld of input %s: %.9g, and by differences %.9g",
        (long long)element, input_name(d->g, d->wrt[i]), got, want);
}

void check_gradient(Check *c, const Derive *d)
{
    if (!d->nwrt || !d->nout) return;
    Eval *ev = bind(c, d->g, NOREF, 0, 0);
    eval_run(ev, d->grad, d->nwrt);
    for (int i = 0; i < d->nwrt; i++) {
        const Tensor *t = eval_get(ev, d->grad[i]);
        for (int k = 0; k < POINTS; k++) {
            int64_t element = rng_below(&c->rng, (int)type_count(t->type));
            check_slope(c, d, i, element, elem_get(DT_F64, t->data, element));
        }
    }
    eval_free(ev);
}
