/* SPDX-License-Identifier: Apache-2.0 */
/* What must hold of every graph between passes: topological order, types as inferred, no two equal
 * nodes, constants that still have their hash, outputs and origins in range. A breach is a bug of
 * the pass. */
#include "graph_impl.h"

#include <string.h>

typedef struct Check {
    const Graph *g;
    const char *after;
    Arena *scratch;
} Check;

static _Noreturn void broken(const Check *c, Ref r, const char *what)
{
    Str s = {0};
    graph_origin_text(c->g, r, &s);
    die("after %s: graph %s: %%%u = %s (%s): %s", c->after, c->g->name, r,
        op_info[c->g->node[r].op].name, s.n ? s.s : "no origin", what);
}

static void check_type(const Check *c, Ref r)
{
    const Node *n = &c->g->node[r];
    Type args[MAX_ARGS], t;
    if (n->nargs < 0 || n->nargs > MAX_ARGS) broken(c, r, "operand count");
    for (int i = 0; i < n->nargs; i++)
        if (n->args[i] >= r)
            broken(c, r, "an operand does not stand above");
        else
            args[i] = c->g->node[n->args[i]].type;
    const char *fault = op_infer(n->op, n->nargs, args, n->attr, n->value, &t, c->scratch);
    if (fault) broken(c, r, fault);
    if (!type_eq(t, n->type)) broken(c, r, "the type is not the inferred one");
}

static void check_node(const Check *c, Ref r)
{
    const Node *n = &c->g->node[r];
    if ((unsigned)n->op >= OP_COUNT)
        die("after %s: graph %s: %%%u has no op", c->after, c->g->name, r);
    if ((n->op == OP_const) != (n->value != NULL))
        broken(c, r, "constants have values, others have not");
    check_type(c, r);
    if (n->value && const_key(n->value) != n->value->hash)
        broken(c, r, "the constant's contents were changed");
    if (graph_lookup(c->g, n) != r) broken(c, r, "an equal node exists, or the node was changed");
}

static void check_origin(const Check *c, Ref r)
{
    Origin o = c->g->origin[r];
    for (uint32_t i = 0; i < o.n; i++)
        if ((o.id[i] & ~ORIGIN_GRAD) >= c->g->nnames || (i && o.id[i] <= o.id[i - 1]))
            die("after %s: graph %s: %%%u has a bad origin", c->after, c->g->name, r);
}

void graph_verify(const Graph *g, const char *after)
{
    Check c = {g, after ? after : "building", arena_new()};
    for (Ref r = 0; r < g->n; r++) {
        check_origin(&c, r);
        check_node(&c, r);
    }
    for (uint32_t i = 0; i < g->nout; i++)
        if (g->out[i].ref >= g->n || !g->out[i].name)
            die("after %s: graph %s: output %u is not a node", c.after, g->name, i);
    arena_free(c.scratch);
}
