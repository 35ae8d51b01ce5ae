/* SPDX-License-Identifier: Apache-2.0 */
/* What program builders share: the table, splicing a model into a graph, declaring tensors. */
#include "compiler/programs.h"

#include "compiler/random.h"
#include "passes/passes.h"

#include <string.h>

#define PROGRAM(name, builder, help) void program_##builder(const Model *, ProgramSpec *);
#include "compiler/programs.def"
#undef PROGRAM

const ProgramRow program_rows[] = {
#define PROGRAM(name, builder, help) {name, program_##builder, help},
#include "compiler/programs.def"
#undef PROGRAM
};
const int nprogram_rows = COUNT(program_rows);

const ProgramRow *program_find(const char *name)
{
    for (int i = 0; i < nprogram_rows; i++)
        if (!strcmp(program_rows[i].name, name)) return &program_rows[i];
    return NULL;
}

/* What stands for an input of the model, or NOREF: it is one of the program's too. */
static Ref stand_in(Graph *g, const Model *m, Ref r, Ref x, Ref draw)
{
    const Node *n = &m->g->node[r];
    const char *name = n->op == OP_input ? node_attr(n, "name")->s : "";
    if (r == m->x) return x;
    if (!strcmp(name, RNG_SEED)) return b_input(g, "seed", n->type);
    if (!strcmp(name, RNG_ID)) return b_input(g, "id", n->type);
    return strcmp(name, RNG_DRAW) ? NOREF : draw;
}

static Ref *copy(Graph *g, const Model *m, Ref x, Ref draw, ModelSeen *seen, void *user)
{
    Ref *map = NEW_N(m->arena, Ref, m->g->n + 1);
    for (Ref r = 0; r < m->g->n; r++) {
        map[r] = stand_in(g, m, r, x, draw);
        if (map[r] != NOREF) continue;
        graph_take_origin(g, m->g, r);
        map[r] = graph_copy(g, m->g, r, map);
        if (seen) map[r] = seen(user, g, map[r]);
    }
    graph_set_origin(g, NULL);
    return map;
}

Ref *model_copy(Graph *g, const Model *m, Ref x, Ref draw)
{
    return copy(g, m, x, draw, NULL, NULL);
}

const Ref *model_values(Graph *g, const Model *m, Ref x, ModelSeen *seen, void *user)
{
    Ref draw = m->random ? sample_input(g, "t", DT_I32, m->b) : NOREF;
    return copy(g, m, x, draw, seen, user);
}

Ref model_apply(Graph *g, const Model *m, Ref x)
{
    return model_values(g, m, x, NULL, NULL)[m->logits];
}

int64_t model_classes(const Model *m)
{
    Type t = m->g->node[m->logits].type;
    if (t.rank != 2 || t.dim[0] != m->b || t.dim[1] < 2) {
        Str s = {0};
        type_text(&s, t);
        const char *text = arena_strdup(m->arena, s.s);
        str_free(&s);
        err(m->g->out[0].name,
            "is %s; a gradient or attack needs logits [batch, classes]: cut the model there, or "
            "compile --entry forward",
            text);
    }
    return t.dim[1];
}

Ref model_gradient(Graph *g, Ref out, Ref cot, Ref wrt)
{
    Ref grad;
    grad_check(g, out, wrt);
    grad_append(g, 1, &out, cot == NOREF ? NULL : &cot, 1, &wrt, &grad);
    return grad;
}

static ProgIO *add_io(ProgramSpec *s, const char *name, Type t, bool output, const char *help)
{
    if (s->nio == MAX_IO) err(s->name, "more than %d tensors", MAX_IO);
    ProgIO *io = &s->io[s->nio++];
    *io = (ProgIO){.name = name,
                   .dtype = t.dtype,
                   .rank = t.rank - 1,
                   .output = output,
                   .alias = -1,
                   .help = help};
    memcpy(io->dim, t.dim + 1, sizeof t.dim[0] * (size_t)(t.rank - 1));
    return io;
}

void spec_input(ProgramSpec *s, const char *name, Type t, int alias, const char *help)
{
    add_io(s, name, t, false, help)->alias = alias;
}

/* A name may mean one thing in a program. */
static bool name_taken(const ProgramSpec *s, const char *name)
{
    static const char *const tables[] = {"seed", "id", "t", "limit", "done"};
    for (int i = 0; i < COUNT(tables); i++)
        if (!strcmp(name, tables[i])) return true;
    for (int i = 0; i < s->nio; i++)
        if (!strcmp(name, s->io[i].name)) return true;
    for (int i = 0; i < s->nhyper; i++)
        if (!strcmp(name, s->hyper[i].name)) return true;
    return !strncmp(name, "state.", 6);
}

void spec_other_inputs(ProgramSpec *s, const Model *m)
{
    for (Ref r = 0; r < m->g->n; r++) {
        const Node *n = &m->g->node[r];
        if (n->op != OP_input || r == m->x || rng_input(n)) continue;
        const char *name = node_attr(n, "name")->s;
        if (n->type.rank < 1 || n->type.dim[0] != m->b)
            err(name, "this input has no batch axis; give it a constant (--const %s=FILE)", name);
        if (name_taken(s, name))
            err(name,
                "entry %s has a tensor of that name already; give this input a constant "
                "(--const %s=FILE)",
                s->name, name);
        spec_input(s, name, n->type, -1, "input of the model");
    }
}

void spec_output(ProgramSpec *s, const char *name, Type t, const char *help)
{
    add_io(s, name, t, true, help);
}

void spec_hyper(ProgramSpec *s, const char *name, DType d, double value, double lo, double hi,
                const char *help)
{
    check(s->nhyper < MAX_HYPER);
    s->hyper[s->nhyper++] = (ProgHyper){name, d, value, lo, hi, help};
}

const ProgHyper *spec_hyper_find(const ProgramSpec *s, const char *name)
{
    for (int i = 0; i < s->nhyper; i++)
        if (!strcmp(s->hyper[i].name, name)) return &s->hyper[i];
    return NULL;
}

Ref sample_input(Graph *g, const char *name, DType d, int64_t b)
{
    return b_input(g, name, type_of(d, 1, &b));
}

Ref per_sample(Graph *g, Ref v, Type t)
{
    int64_t dim[MAX_RANK] = {t.dim[0], 1, 1, 1, 1, 1, 1, 1};
    return b_broadcast(g, b_reshape(g, v, t.rank, dim), t.rank, t.dim);
}

Ref to_vector(Graph *g, Ref v)
{
    return b_reshape(g, v, 1, g->node[v].type.dim);
}
