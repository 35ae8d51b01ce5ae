/* SPDX-License-Identifier: Apache-2.0 */
/* Values computed a second time, for less memory: what a claim reads long after it was first needed
 * (an activation, when the gradient of the next weights is due) gives up its place after the
 * readers before the longest pause, and is computed once more in front of those behind it. Only
 * values that are elementwise in what is in memory anyway; those that free the most, for the
 * longest, first. */
#include <stdlib.h>
#include <string.h>

#include "lowering.h"

enum { FAR = 8, MOST_STEPS = 256 }; /* kernels of a pause that is worth it; operations, a way */

typedef struct Candidate {
    Ref value, reader; /* the first reader behind the pause */
    double score;      /* bytes times kernels */
} Candidate;

/* ---- what can be computed anew ---- */

/* How many operations from what is in memory; more than MOST_STEPS if that cannot be. */
static int steps_to(const Lowering *l, Ref r, bool top)
{
    const Node *n = &l->g->node[r];
    int sum = 1;
    if (!top && (l->stored[r] || n->op == OP_input || n->op == OP_const || n->op == OP_iota))
        return 0;
    OpClass c = op_info[n->op].cls;
    if (n->op == OP_rng || fuse_costly(n->op) || (c != CL_ELEMENTWISE && c != CL_VIEW))
        return MOST_STEPS + 1;
    for (int a = 0; a < n->nargs && sum <= MOST_STEPS; a++) sum += steps_to(l, n->args[a], false);
    return sum;
}

static void free_operands(Lowering *l, Ref r)
{
    const Node *n = &l->g->node[r];
    for (int a = 0; a < n->nargs; a++) {
        Ref x = n->args[a];
        if (l->stored[x] || op_info[l->g->node[x].op].cls != CL_ELEMENTWISE) continue;
        l->remade[x] = true;
        free_operands(l, x);
    }
}

/* ---- candidates ---- */

static bool reads_as_claim(const Lowering *l, Ref user, Ref r)
{
    int gr = l->group_of[user];
    const Node *n = &l->g->node[user];
    return gr >= 0 && l->group[gr].claimed && l->group[gr].heavy == user &&
           (n->args[0] == r || (n->op == OP_conv_dw && n->args[1] == r));
}

/* The longest pause between readers after which only claims read r. */
static bool longest_pause(const Lowering *l, Ref r, Candidate *c)
{
    const Graph *g = l->g;
    int before = l->group_of[r], longest = 0;
    *c = (Candidate){.value = r, .reader = NOREF};
    for (Ref u = r + 1; u < g->n; u++) {
        bool reads = false;
        for (int a = 0; a < g->node[u].nargs && l->live[u]; a++) reads |= g->node[u].args[a] == r;
        if (!reads) continue;
        int at = l->group_of[u];
        if (!reads_as_claim(l, u, r)) {
            *c = (Candidate){.value = r, .reader = NOREF};
            longest = 0;
        } else if (at - before > longest) {
            longest = at - before;
            c->reader = u;
        }
        if (at > before) before = at;
    }
    c->score = (double)longest * (double)type_bytes(g->node[r].type);
    return c->reader != NOREF && longest >= FAR;
}

static bool is_output(const Graph *g, Ref r)
{
    for (uint32_t i = 0; i < g->nout; i++)
        if (g->out[i].ref == r) return true;
    return false;
}

static int by_score(const void *a, const void *b)
{
    const Candidate *x = a, *y = b;
    if (x->score != y->score) return x->score < y->score ? 1 : -1;
    return x->value < y->value ? -1 : x->value > y->value;
}

int lower_again(Lowering *l, int most)
{
    Candidate *c = NEW_N(l->arena, Candidate, l->g->n + 1);
    int n = 0;
    for (Ref r = 0; r < l->g->n; r++) {
        if (!l->live[r] || !l->stored[r] || is_output(l->g, r)) continue;
        if (op_info[l->g->node[r].op].cls != CL_ELEMENTWISE) continue;
        if (steps_to(l, r, true) > MOST_STEPS) continue;
        n += longest_pause(l, r, &c[n]);
    }
    qsort(c, (size_t)n, sizeof *c, by_score);
    for (int i = 0; i < n && i < most; i++) {
        l->again[c[i].value] = c[i].reader;
        free_operands(l, c[i].value);
    }
    return n;
}
