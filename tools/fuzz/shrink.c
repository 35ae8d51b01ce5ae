/* SPDX-License-Identifier: Apache-2.0 */
/* Reduction of a failing graph. A candidate leaves out an output, puts an operand in the place of
 * a node, or makes the node an input of its own; one that still fails in the same check replaces
 * the graph, until none does. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "ir/build.h"

enum { TRIES = 400 };

typedef struct Shrink {
    uint64_t seed;
    size_t kind; /* length of the message's part that must stay */
    const char *msg;
    char *best; /* heap */
    int tries;
} Shrink;

typedef struct Change {
    uint32_t drop; /* this output; UINT32_MAX: none */
    Ref node;      /* this node becomes ... NOREF: none does */
    int by;        /* ... its operand of this number, or -1: an input */
} Change;

/* ---- one candidate ---- */

static void mark(const Graph *g, Ref r, const Change *c, bool *need)
{
    if (need[r]) return;
    need[r] = true;
    const Node *n = &g->node[r];
    if (r == c->node && c->by < 0) return;
    for (int i = 0; i < n->nargs; i++)
        if (r != c->node || i == c->by) mark(g, n->args[i], c, need);
}

static Ref changed(Graph *to, const Graph *g, Ref r, const Change *c, const Ref *map)
{
    if (r != c->node) return graph_copy(to, g, r, map);
    if (c->by >= 0) return map[g->node[r].args[c->by]];
    return b_input(to, arena_printf(to->arena, "v%u", (unsigned)r), g->node[r].type);
}

typedef struct Job {
    Shrink *s;
    Arena *a;
    const Change *c;
    char *text; /* heap; NULL if the change makes no sense */
} Job;

static bool sensible(const Graph *g, const Change *c)
{
    if (c->node == NOREF) return true;
    const Node *n = &g->node[c->node];
    if (c->by >= 0) return c->by < n->nargs && type_eq(g->node[n->args[c->by]].type, n->type);
    return n->op != OP_input && n->op != OP_const && n->type.rank > 0 && n->type.dim[0] == 1 &&
           n->type.dtype == DT_F64;
}

static void make(void *arg)
{
    Job *j = arg;
    Graph *g = graph_read(j->a, j->s->best, "case", NULL), *to = graph_new(j->a, "fuzz");
    if (!sensible(g, j->c)) return;
    bool *need = NEW_N(j->a, bool, g->n + 1);
    Ref *map = NEW_N(j->a, Ref, g->n + 1);
    for (uint32_t i = 0; i < g->nout; i++)
        if (i != j->c->drop) mark(g, g->out[i].ref, j->c, need);
    for (Ref r = 0; r < g->n; r++)
        if (need[r]) map[r] = changed(to, g, r, j->c, map);
    for (uint32_t i = 0; i < g->nout; i++)
        if (i != j->c->drop) graph_output(to, g->out[i].name, map[g->out[i].ref]);
    if (!to->nout) return;
    Str s = {0};
    graph_print(&s, to);
    j->text = s.s;
}

static bool attempt(Shrink *s, Change c)
{
    char msg[FUZZ_MESSAGE];
    Job j = {s, arena_new(), &c, NULL};
    bool better = err_guard(make, &j, msg, sizeof msg) && j.text && strcmp(j.text, s->best);
    arena_free(j.a);
    if (better && s->tries++ < TRIES)
        better = fuzz_check(j.text, s->seed, msg) == FUZZ_FAIL && !strncmp(msg, s->msg, s->kind);
    else
        better = false;
    if (better) {
        free(s->best);
        s->best = j.text;
    } else {
        free(j.text);
    }
    return better;
}

/* ---- rounds ---- */

static void sizes(const char *text, uint32_t *nodes, uint32_t *outputs)
{
    Arena *a = arena_new();
    Graph *g = graph_read(a, text, "case", NULL);
    *nodes = g->n;
    *outputs = g->nout;
    arena_free(a);
}

static bool round_of(Shrink *s)
{
    uint32_t nodes, outputs;
    sizes(s->best, &nodes, &outputs);
    for (uint32_t i = 0; i < outputs; i++)
        if (attempt(s, (Change){i, NOREF, 0})) return true;
    for (uint32_t r = nodes; r-- > 0;)
        for (int by = -1; by < 3; by++)
            if (attempt(s, (Change){UINT32_MAX, r, by})) return true;
    return false;
}

char *fuzz_shrink(const char *text, uint64_t seed, const char *msg)
{
    Shrink s = {.seed = seed, .kind = strcspn(msg, ":"), .msg = msg};
    s.best = malloc(strlen(text) + 1);
    if (!s.best) die("no memory");
    strcpy(s.best, text);
    while (s.tries < TRIES && round_of(&s)) continue;
    return s.best;
}
