/* SPDX-License-Identifier: Apache-2.0 */
/* What must agree about a graph: its text read again, its rewritings, its batches, its lowering
 * interpreted, its compiled code; and its gradient with differences. A check that fails is an
 * err() that opens with the check's name. */
#include <math.h>
#include <string.h>

#include "check.h"
#include "passes/passes.h"

/* ---- text, passes, batches ---- */

static const char *text_of(Check *c, const Graph *g)
{
    Str s = {0};
    graph_print(&s, g);
    const char *text = arena_strdup(c->a, s.s);
    str_free(&s);
    return text;
}

static void check_text(Check *c, const Graph *g, const char *text)
{
    if (strcmp(text_of(c, g), text)) err(NULL, "text: printing what was read differs");
}

Graph *settle(Check *c, const Graph *g)
{
    Graph *s = pass_fold(c->a, pass_simplify(c->a, g));
    return pass_fold(c->a, pass_simplify(c->a, s));
}

static void compare_env(const Check *c, const char *what, const ProgramSpec *s, Env *got, Env *want)
{
    for (int k = 0; k < s->nio; k++)
        if (s->io[k].output)
            compare(c, what, &s->io[k], env_find(got, s->io[k].name)->data,
                    env_find(want, s->io[k].name)->data, s->slots);
}

static void check_pass(Check *c, const char *name, Graph *g, Env *want)
{
    graph_verify(g, name);
    ProgramSpec s = spec_of(c, g, 1);
    Env got = evaluate(c, &s);
    compare_env(c, name, &s, &got, want);
}

static void check_passes(Check *c, const Graph *g, Env *want)
{
    c->tol = 1e-12 * c->scale + 1e-6 * c->drift;
    check_pass(c, "simplify", pass_simplify(c->a, g), want);
    check_pass(c, "fold", pass_fold(c->a, g), want);
    check_pass(c, "channels", pass_channels(c->a, g, 4, &(double *){NULL}), want);
    check_pass(c, "simplify and fold", settle(c, g), want);
}

typedef struct BatchTry {
    Check *c;
    const Graph *g;
    Graph *out;
    int64_t b;
} BatchTry;

static void try_batch(void *arg)
{
    BatchTry *t = arg;
    t->out = pass_batch(t->c->a, t->g, t->b);
}

/* NULL if samples are not independent, as far as the pass can see. */
Graph *batched(Check *c, const Graph *g, int64_t b)
{
    BatchTry t = {c, g, NULL, b};
    char msg[FUZZ_MESSAGE];
    return err_guard(try_batch, &t, msg, sizeof msg) ? t.out : NULL;
}

static void check_batch(Check *c, const Graph *g, Env *one)
{
    Graph *b = batched(c, g, SLOTS);
    if (!b) return;
    graph_verify(b, "batch");
    ProgramSpec s = spec_of(c, b, SLOTS);
    Env got = evaluate(c, &s);
    c->tol = 1e-12 * c->scale + 1e-6 * c->drift;
    for (int k = 0; k < s.nio; k++)
        if (s.io[k].output)
            compare(c, "batch", &s.io[k], env_find(&got, s.io[k].name)->data,
                    env_find(one, s.io[k].name)->data, 1);
}
/* ---- a case ---- */

static double largest(Check *c, const Graph *g)
{
    Eval *ev = bind(c, g, NOREF, 0, 0);
    Ref *all = NEW_N(c->a, Ref, g->n + 1);
    double m = 1;
    for (Ref r = 0; r < g->n; r++) all[r] = r;
    eval_run(ev, all, (int)g->n);
    for (Ref r = 0; r < g->n; r++) {
        const Tensor *t = eval_get(ev, r);
        for (int64_t i = 0; i < type_count(t->type) && dtype_is_float(t->type.dtype); i++) {
            double v = fabs(elem_get(t->type.dtype, t->data, i));
            if (!(v <= m)) m = v;
        }
    }
    eval_free(ev);
    return m;
}

static double drift(Check *c, const Graph *g)
{
    Graph *narrow = pass_retype(c->a, g, DT_F64, DT_F32);
    ProgramSpec s = spec_of(c, pass_dce(c->a, g), 1), n = spec_of(c, narrow, 1);
    Env exact = evaluate(c, &s), rounded = evaluate(c, &n);
    double worst = 0;
    for (int k = 0; k < s.nio; k++) {
        const void *x = env_find(&exact, s.io[k].name)->data;
        const void *y = env_find(&rounded, n.io[k].name)->data;
        for (int64_t i = 0; i < type_count(io_type(&s.io[k], 1)); i++) {
            double d = fabs(elem_get(s.io[k].dtype, x, i) - elem_get(n.io[k].dtype, y, i));
            if (!(d <= worst)) worst = d;
        }
    }
    return worst;
}

void check_all(Check *c, const char *text)
{
    Graph *g = graph_read(c->a, text, "fuzz", NULL);
    graph_verify(g, "reading");
    c->scale = largest(c, g);
    if (!(c->scale < 1e4)) err(NULL, "skip: values up to %g", c->scale);
    c->drift = drift(c, g);
    if (!(c->drift < 1e-2 * c->scale)) err(NULL, "skip: ill-conditioned");
    check_text(c, g, text);
    ProgramSpec s = spec_of(c, pass_dce(c->a, g), 1);
    Env want = evaluate(c, &s);
    check_passes(c, g, &want);
    check_batch(c, g, &want);
    Derive d = derive(c, g);
    check_gradient(c, &d);
    const Graph *code = rng_below(&c->choice, 2) ? g : d.g;
    if (code == d.g) {
        c->scale = largest(c, code);
        c->drift = drift(c, code);
    }
    if (!(c->scale < 1e4) || !(c->drift < 1e-2 * c->scale)) return;
    c->tol = 1e-9 * c->scale + 1e-6 * c->drift;
    check_code(c, code, DT_F64);
    c->tol = 1e-5 * c->scale + 32 * c->drift;
    check_code(c, pass_retype(c->a, code, DT_F64, DT_F32), DT_F32);
}
