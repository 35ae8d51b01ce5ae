/* SPDX-License-Identifier: Apache-2.0 */
/* Reverse differentiation. One loop down the primal nodes; every node that depends on wrt and
 * has received a cotangent hands it on through its VJP rule. Keeps true: nodes that do not lead
 * from wrt to an output get no cotangent, and a cotangent known to be zero is absent rather
 * than a zero tensor. */
#include "passes/passes.h"
#include "passes/rewrite.h"
#include "passes/vjp.h"

#include <string.h>

/* No rule at all: derivative zero almost everywhere, or no float operand. stop is a rule that adds
 * nothing, so that dependence itself ends there. */
#define vjp_none NULL
#define vjp_stop NULL
static VjpRule *const rules[OP_COUNT] = {
#define OP(name, nargs, cls, shape, vjp, eval, ...) [OP_##name] = vjp_##vjp,
#include "ir/ops.def"
#undef OP
};

Ref arg_of(const Vjp *v, int arg)
{
    return v->node.args[arg];
}

Type type_of_arg(const Vjp *v, int arg)
{
    return v->g->node[v->node.args[arg]].type;
}

bool wants(const Vjp *v, int arg)
{
    return v->wanted[v->node.args[arg]];
}

static void add_adjoint(Graph *g, Ref *slot, Ref cot)
{
    *slot = *slot == NOREF ? cot : b_binary(g, OP_add, *slot, cot);
}

void accumulate(Vjp *v, int arg, Ref cot)
{
    if (!wants(v, arg)) return;
    check(type_eq(v->g->node[cot].type, type_of_arg(v, arg)));
    add_adjoint(v->g, &v->adjoint[arg_of(v, arg)], cot);
}

static bool any_wanted(const Node *n, const bool *wanted)
{
    for (int i = 0; i < n->nargs; i++)
        if (wanted[n->args[i]]) return true;
    return false;
}

static bool *find_wanted(const Graph *g, int nwrt, const Ref *wrt)
{
    bool *wanted = NEW_N(g->arena, bool, g->n + 1);
    for (int i = 0; i < nwrt; i++) {
        check(dtype_is_float(g->node[wrt[i]].type.dtype));
        wanted[wrt[i]] = true;
    }
    for (Ref r = 0; r < g->n; r++) {
        const Node *n = &g->node[r];
        if (rules[n->op] && dtype_is_float(n->type.dtype) && any_wanted(n, wanted))
            wanted[r] = true;
    }
    return wanted;
}

/* ---- no derivative at all ---- */

/* Where what depends on wrt stops doing so with a derivative, in a node of the user's: rows without
 * a rule that gradients brought along, masks say, are theirs. */
static bool blocks(const Graph *g, Ref r, const bool *wanted)
{
    const Node *n = &g->node[r];
    Origin o = g->origin[r];
    if (wanted[r] || n->op == OP_stop || !any_wanted(n, wanted)) return false;
    for (uint32_t i = 0; i < o.n; i++)
        if (o.id[i] & ORIGIN_GRAD) return false;
    return o.n > 0;
}

_Noreturn static void refuse(const Graph *g, Ref r)
{
    Str s = {0};
    graph_origin_text(g, r, &s);
    const char *name = arena_strdup(g->arena, s.s);
    str_free(&s);
    err(name,
        "has no derivative (%s: zero almost everywhere, or no number), and there is no way from "
        "the input to the result but through such nodes",
        op_info[g->node[r].op].name);
}

void grad_check(const Graph *g, Ref out, Ref wrt)
{
    const bool *wanted = find_wanted(g, 1, &wrt);
    bool *leads = NEW_N(g->arena, bool, g->n + 1);
    Ref first = NOREF;
    leads[out] = true;
    for (Ref r = wanted[out] ? 0 : g->n; r-- > 0;) {
        if (!leads[r]) continue;
        for (int i = 0; i < g->node[r].nargs; i++) leads[g->node[r].args[i]] = true;
        if (blocks(g, r, wanted)) first = r;
    }
    if (first != NOREF) refuse(g, first);
}

static void seed(Graph *g, const bool *wanted, Ref *adjoint, Ref out, Ref cot)
{
    if (!wanted[out] || (cot != NOREF && is_splat_of(g, cot, 0))) return;
    if (cot == NOREF) cot = b_like(g, out, 1);
    check(type_eq(g->node[cot].type, g->node[out].type));
    add_adjoint(g, &adjoint[out], cot);
}

static void pull_back(Graph *g, Ref r, const bool *wanted, Ref *adjoint)
{
    Vjp v = {g, g->node[r], r, adjoint[r], wanted, adjoint};
    if (!any_wanted(&v.node, wanted)) return; /* r is in wrt, and nothing before it */
    graph_take_origin(g, g, r);
    graph_mark_grad(g);
    rules[v.node.op](&v);
}

void grad_append(Graph *g, int nout, const Ref *out, const Ref *cot, int nwrt, const Ref *wrt,
                 Ref *result)
{
    uint32_t n = g->n;
    Origin current = g->current;
    const bool *wanted = find_wanted(g, nwrt, wrt);
    Ref *adjoint = NEW_N(g->arena, Ref, n + 1);
    memset(adjoint, 0xff, sizeof(Ref) * (n + 1));
    for (int i = 0; i < nout; i++) seed(g, wanted, adjoint, out[i], cot ? cot[i] : NOREF);
    for (Ref r = n; r-- > 0;)
        if (wanted[r] && adjoint[r] != NOREF) pull_back(g, r, wanted, adjoint);
    for (int i = 0; i < nwrt; i++) {
        Ref d = adjoint[wrt[i]];
        result[i] = d == NOREF ? b_like(g, wrt[i], 0) : d;
    }
    g->current = current;
}
