/* SPDX-License-Identifier: Apache-2.0 */
/* One upward pass: each node is rebuilt on simplified arguments, then rules are tried on it
 * until none applies. A rule sees a node once its arguments are final, so one pass reaches the
 * fixed point. */
#include "passes/simplify.h"
#include "passes/passes.h"

typedef struct Rule {
    Op op; /* OP_COUNT: any op of the class */
    OpClass cls;
    SimplifyRule *fn;
    const char *law;
} Rule;

static const Rule rules[] = {
#define RULE(op, fn, law) {OP_##op, CL_SOURCE, simp_##fn, law},
#define CLASS_RULE(cls, fn, law) {OP_COUNT, cls, simp_##fn, law},
#include "passes/simplify.def"
#undef RULE
#undef CLASS_RULE
};

static bool rule_fits(const Rule *rule, Op op)
{
    return rule->op == op || (rule->op == OP_COUNT && rule->cls == op_info[op].cls);
}

static Ref try_rules(Graph *g, Ref r, const char **law)
{
    for (int i = 0; i < COUNT(rules); i++) {
        Node n = g->node[r];
        Ref better = rule_fits(&rules[i], n.op) ? rules[i].fn(g, &n) : NOREF;
        *law = rules[i].law;
        if (better != NOREF && better != r) return better;
    }
    return NOREF;
}

Ref simplify(Graph *g, Ref r)
{
    const char *law = NULL;
    for (int steps = 0; steps < 1000; steps++) {
        Ref better = try_rules(g, r, &law);
        if (better == NOREF) return r;
        r = better;
    }
    die("simplify does not end at: %s", law);
}

Graph *pass_simplify(Arena *a, const Graph *src)
{
    Ref *map;
    Graph *g = rebuild_start(a, src, &map);
    const bool *live = live_nodes(a, src);
    for (Ref r = 0; r < src->n; r++) {
        if (!live[r]) continue;
        map[r] = graph_copy(g, src, r, map);
        graph_take_origin(g, src, r);
        map[r] = simplify(g, map[r]);
    }
    rebuild_outputs(g, src, map);
    return pass_dce(a, g);
}
