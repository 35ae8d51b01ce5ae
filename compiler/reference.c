/* SPDX-License-Identifier: Apache-2.0 */
/* Programs run by the evaluator, slot by slot the same steps as the compiled machine takes when all
 * samples start together and none leaves early. */
#include "compiler/reference.h"

#include <string.h>

Named *env_find(Env *e, const char *name)
{
    for (int i = 0; i < e->n; i++)
        if (!strcmp(e->v[i].name, name)) return &e->v[i];
    return NULL;
}

void *env_set(Env *e, const char *name, Type t, const void *data)
{
    Named *v = env_find(e, name);
    if (!v) {
        check(e->n < MAX_NAMED);
        v = &e->v[e->n++];
        *v = (Named){arena_strdup(e->arena, name), t, NULL};
    }
    if (!v->data || !type_eq(v->type, t))
        v->data = arena_alloc(e->arena, (size_t)type_bytes(t) + 1);
    v->type = t;
    if (data) memcpy(v->data, data, (size_t)type_bytes(t));
    return v->data;
}

static Type with_batch(const ProgIO *io, int64_t b)
{
    Type t = {.dtype = io->dtype, .rank = io->rank + 1, .dim = {b}};
    memcpy(t.dim + 1, io->dim, sizeof io->dim[0] * (size_t)io->rank);
    return t;
}

static void fill_samples(void *to, Type t, const void *data, int64_t n)
{
    int64_t each = type_count(t) / t.dim[0];
    for (int64_t s = 0; s < t.dim[0]; s++) {
        int64_t from = s < n ? s : n - 1;
        for (int64_t i = 0; i < each; i++) {
            if (dtype_is_float(t.dtype))
                elem_set(t.dtype, to, s * each + i, ((const double *)data)[from * each + i]);
            else
                elem_set_int(t.dtype, to, s * each + i, ((const int64_t *)data)[from * each + i]);
        }
    }
}

static const AdjSamples *find_samples(const AdjSamples *in, int nin, const char *name)
{
    for (int i = 0; i < nin; i++)
        if (!strcmp(in[i].name, name)) return &in[i];
    return NULL;
}

/* A sample larger than those that there are, such as a batch: these again and again. */
static void fill_round(void *to, Type t, const void *data, int64_t n)
{
    for (int64_t i = 0; i < type_count(t); i++) {
        if (dtype_is_float(t.dtype))
            elem_set(t.dtype, to, i, ((const double *)data)[i % n]);
        else
            elem_set_int(t.dtype, to, i, ((const int64_t *)data)[i % n]);
    }
}

/* Inputs of a program's own get the numbers of x, or of y, whatever their size. */
static void fill_own(void *to, Type t, const AdjSamples *from, const AdjCompiled *c, int64_t n)
{
    Type image = c->model.g->node[c->model.x].type;
    bool real = dtype_is_float(t.dtype);
    int64_t each = real ? type_count(image) / image.dim[0] : 1;
    if (type_count(t) / t.dim[0] > each)
        fill_round(to, t, from->data, n * each);
    else
        fill_samples(to, t, from->data, n);
}

static void set_inputs(Env *e, const AdjCompiled *c, const ProgramSpec *s, const AdjSamples *in,
                       int nin, int64_t n)
{
    for (int k = 0; k < s->nio; k++) {
        if (s->io[k].output) continue;
        Type t = with_batch(&s->io[k], s->slots);
        void *data = env_set(e, s->io[k].name, t, NULL);
        const AdjSamples *from = find_samples(in, nin, s->io[k].name);
        if (!from) from = find_samples(in, nin, dtype_is_float(t.dtype) ? "x" : "y");
        if (from) fill_own(data, t, from, c, n);
    }
}

static void set_vector(Env *e, const char *name, DType d, int64_t b, double first, double step)
{
    void *data = env_set(e, name, type_of(d, 1, &b), NULL);
    for (int64_t i = 0; i < b; i++) elem_set(d, data, i, first + step * (double)i);
}

void reference_env(Env *e, const AdjCompiled *c, const ProgramSpec *s, const AdjSamples *in,
                   int nin, int64_t n, int steps)
{
    int64_t b = s->slots, seed = 0;
    *e = (Env){.arena = c->arena};
    set_inputs(e, c, s, in, nin, n);
    for (int k = 0; k < s->nhyper; k++)
        set_vector(e, s->hyper[k].name, s->hyper[k].dtype, b, s->hyper[k].value, 0);
    env_set(e, "seed", type_scalar(DT_I64), &seed);
    set_vector(e, "id", DT_I64, b, 0, 1);
    set_vector(e, "t", DT_I32, b, 0, 0);
    set_vector(e, "limit", DT_I32, b, steps, 0);
    set_vector(e, "done", DT_I32, b, 0, 0);
}

static void bind_inputs(Env *e, Eval *ev, const Graph *g)
{
    for (Ref r = 0; r < g->n; r++) {
        if (g->node[r].op != OP_input) continue;
        Named *v = env_find(e, node_attr(&g->node[r], "name")->s);
        if (v && type_eq(v->type, g->node[r].type)) eval_bind(ev, r, v->data);
    }
}

void reference_phase(Env *e, const Graph *g)
{
    if (!g) return;
    Eval *ev = eval_new(g);
    Ref want[MAX_NAMED];
    check(g->nout <= MAX_NAMED);
    bind_inputs(e, ev, g);
    for (uint32_t i = 0; i < g->nout; i++) want[i] = g->out[i].ref;
    eval_run(ev, want, (int)g->nout);
    for (uint32_t i = 0; i < g->nout; i++) {
        const Tensor *t = eval_get(ev, want[i]);
        env_set(e, g->out[i].name, t->type, t->data);
    }
    eval_free(ev);
}

/* What init or a step made of call->steps. All samples are taken to have the same. */
static int64_t limit_now(Env *e)
{
    return elem_get_int(DT_I32, env_find(e, "limit")->data, 0);
}

void reference_run(Env *e, const ProgramSpec *s)
{
    reference_phase(e, s->init);
    for (int i = 0; i < (s->loop ? limit_now(e) : 1); i++) {
        reference_phase(e, s->step);
        set_vector(e, "t", DT_I32, s->slots, i + 1, 0);
    }
    reference_phase(e, s->judge);
    reference_phase(e, s->finish);
}
