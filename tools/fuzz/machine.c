/* SPDX-License-Identifier: Apache-2.0 */
/* A graph as a program, and its values: what is in and out, inputs filled from the seed, the
 * evaluator's results, and how far others may be from them. */
#include <math.h>
#include <string.h>

#include "check.h"
#include "ir/build.h"

bool is_state(const char *name)
{
    return !strncmp(name, "state.", 6);
}

static bool is_table(const char *name)
{
    return !strcmp(name, "seed") || !strcmp(name, "id") || !strcmp(name, "t");
}

const char *input_name(const Graph *g, Ref r)
{
    return node_attr(&g->node[r], "name")->s;
}

/* ---- specs ---- */

static void add_io(ProgramSpec *s, const char *name, Type t, bool output)
{
    if (!t.rank)
        err(NULL, "skip: %s is a scalar, and what a program takes or gives has samples", name);
    if (s->nio == MAX_IO) err(NULL, "skip: more than %d inputs and outputs", MAX_IO);
    ProgIO *io = &s->io[s->nio++];
    *io = (ProgIO){.name = name,
                   .dtype = t.dtype,
                   .rank = t.rank - 1,
                   .output = output,
                   .alias = -1,
                   .help = ""};
    memcpy(io->dim, t.dim + 1, sizeof io->dim[0] * (size_t)io->rank);
}

static void add_state(Check *c, ProgramSpec *s, const char *name, Type t)
{
    const char *in = arena_printf(c->a, "%s.in", name + 6),
               *out = arena_printf(c->a, "%s.out", name + 6);
    if (!s->init) {
        s->init = graph_new(c->a, "init");
        s->finish = graph_new(c->a, "finish");
        s->loop = true;
    }
    graph_output(s->init, name, b_input(s->init, in, t));
    graph_output(s->finish, out, b_input(s->finish, name, t));
    add_io(s, in, t, false);
    add_io(s, out, t, true);
}

ProgramSpec spec_of(Check *c, Graph *g, int slots)
{
    ProgramSpec s = {.name = "fuzz", .slots = slots, .step = g};
    for (Ref r = 0; r < g->n; r++) {
        if (g->node[r].op != OP_input) continue;
        const char *name = input_name(g, r);
        if (is_state(name))
            add_state(c, &s, name, g->node[r].type);
        else if (!is_table(name))
            add_io(&s, name, g->node[r].type, false);
    }
    for (uint32_t i = 0; i < g->nout; i++)
        if (!is_state(g->out[i].name))
            add_io(&s, g->out[i].name, g->node[g->out[i].ref].type, true);
    return s;
}

/* ---- values ---- */

Type io_type(const ProgIO *io, int64_t n)
{
    Type t = {.dtype = io->dtype, .rank = io->rank + 1, .dim = {n}};
    memcpy(t.dim + 1, io->dim, sizeof io->dim[0] * (size_t)io->rank);
    return t;
}

/* Sample `at` of an input. Some values are equal, so that ties occur. */
static void fill_sample(const Check *c, const char *name, DType d, void *data, int64_t at,
                        int64_t each)
{
    Rng r = {c->seed ^ hash_bytes(name, strlen(name), 5) ^ (uint64_t)at * 0x9e3779b97f4a7c15u};
    for (int64_t i = 0; i < each; i++) {
        double u = rng_uniform(&r, -1, 1);
        if (dtype_is_float(d))
            elem_set(d, data, at * each + i, rng_below(&r, 16) ? (double)(float)u : 0.25);
        else
            elem_set_int(d, data, at * each + i, d == DT_BOOL ? u > 0 : (int64_t)((u + 1) * 2));
    }
}

void fill(const Check *c, const char *name, Type t, void *data)
{
    for (int64_t i = 0; i < t.dim[0]; i++)
        fill_sample(c, name, t.dtype, data, i, type_count(t) / t.dim[0]);
}

void set_tables(Env *e, int64_t n)
{
    int64_t seed = CALL_SEED;
    env_set(e, "seed", type_scalar(DT_I64), &seed);
    int64_t *id = env_set(e, "id", type_of(DT_I64, 1, &n), NULL);
    for (int64_t i = 0; i < n; i++) id[i] = FIRST_ID + i;
    env_set(e, "t", type_of(DT_I32, 1, &n), NULL);
    int32_t *limit = env_set(e, "limit", type_of(DT_I32, 1, &n), NULL);
    for (int64_t i = 0; i < n; i++) limit[i] = STEPS;
}

Env evaluate(Check *c, const ProgramSpec *s)
{
    Env e = {.arena = c->a};
    set_tables(&e, s->slots);
    for (int k = 0; k < s->nio; k++) {
        Type t = io_type(&s->io[k], s->slots);
        if (!s->io[k].output) fill(c, s->io[k].name, t, env_set(&e, s->io[k].name, t, NULL));
    }
    reference_run(&e, s);
    return e;
}

static double difference(const ProgIO *io, const void *got, const void *want, int64_t n)
{
    double worst = 0;
    DType d = io->dtype;
    for (int64_t i = 0; i < type_count(io_type(io, n)); i++) {
        double x = elem_get(d, got, i), y = elem_get(d, want, i);
        double off = x == y || (isnan(x) && isnan(y)) ? 0 : fabs(x - y);
        if (isnan(off) || off > worst) worst = isnan(off) ? INFINITY : off;
    }
    return worst;
}

void compare(const Check *c, const char *what, const ProgIO *io, const void *got, const void *want,
             int64_t n)
{
    double d = difference(io, got, want, n);
    if (d > c->tol) err(NULL, "%s: %s is off by %.3g, allowed %.3g", what, io->name, d, c->tol);
}
