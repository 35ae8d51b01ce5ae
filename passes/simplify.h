/* SPDX-License-Identifier: Apache-2.0 */
/* What a simplification rule sees: the graph being built and a copy of a node whose arguments are
 * already simplified. See simplify.def. */
#ifndef ADJ_PASSES_SIMPLIFY_H
#define ADJ_PASSES_SIMPLIFY_H

#include "ir/build.h"
#include "passes/rewrite.h"

typedef Ref SimplifyRule(Graph *, const Node *);

#define RULE(op, fn, law) SimplifyRule simp_##fn;
#define CLASS_RULE(cls, fn, law) SimplifyRule simp_##fn;
#include "passes/simplify.def"
#undef RULE
#undef CLASS_RULE

/* For nodes that a rule makes below its result: the result itself is taken care of. */
Ref simplify(Graph *, Ref);

/* Operand i as a node: valid until the next node is built, so copy what is needed after that. */
static inline const Node *operand(const Graph *g, const Node *n, int i)
{
    return &g->node[n->args[i]];
}

static inline bool operand_is(const Graph *g, const Node *n, int i, Op op)
{
    return operand(g, n, i)->op == op;
}

#endif
