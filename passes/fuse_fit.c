/* SPDX-License-Identifier: Apache-2.0 */
/* A kernel has room for MAX_STORES results and MAX_PARAMS buffers. A group that needs more is made
 * smaller, and fusion starts anew: half of its members at most, or, if there is but one, one of
 * the joined values that it reads (a concatenation of many) is copied to memory first. */
#include "lowering.h"

enum { CLAIM_PARAMS = 4, ENOUGH = 2 * MAX_PARAMS };

typedef struct Needs {
    int n;
    Ref leaf[ENOUGH]; /* the distinct ones, or as many as fit */
} Needs;

static void need_leaf(void *arg, Ref r)
{
    Needs *s = arg;
    for (int i = 0; i < s->n; i++)
        if (s->leaf[i] == r) return;
    if (s->n < ENOUGH) s->leaf[s->n++] = r;
}

/* Of the kernels that copy a concatenation part by part: of the one that needs most. */
static int loads_of_runs(const Lowering *l, int group, const Run *run, uint32_t n)
{
    int most = 0;
    for (uint32_t i = 0; i < n; i++) {
        Needs s = {0};
        for (uint32_t p = 0; p < run[i].nparts; p++)
            fuse_leaves(l, run[i].part[p].r, group, need_leaf, &s);
        if (s.n > most) most = s.n;
    }
    return most;
}

static int loads_of(const Lowering *l, int group)
{
    const Group *gr = &l->group[group];
    Needs s = {0};
    Run *run;
    uint32_t runs = lower_runs(l, group, &run);
    if (runs) return loads_of_runs(l, group, run, runs);
    for (uint32_t m = 0; m < gr->nmember; m++) fuse_leaves(l, gr->member[m], group, need_leaf, &s);
    return s.n + (gr->claimed ? CLAIM_PARAMS : 0);
}

static int stores_of(const Lowering *l, int group)
{
    const Group *gr = &l->group[group];
    int n = 0;
    for (uint32_t m = 0; m < gr->nmember; m++) n += l->stored[gr->member[m]];
    for (uint32_t i = 0; i < l->g->nout; i++) n += l->out_group[i] == group;
    return n;
}

/* A concatenation inside what r computes for this group; NOREF if there is none. */
static Ref inner_join(const Lowering *l, Ref r, int group, bool top)
{
    const Node *n = &l->g->node[r];
    if (fuse_in_memory(l, r, group)) return NOREF;
    if (n->op == OP_concat && !top && l->group_of[r] < 0) return r;
    for (int a = 0; a < n->nargs; a++) {
        bool outer = top && (op_info[n->op].cls == CL_ELEMENTWISE || n->op == OP_allreduce);
        Ref found = inner_join(l, n->args[a], group, outer);
        if (found != NOREF) return found;
    }
    return NOREF;
}

static bool narrow(Lowering *l, int group)
{
    const Group *gr = &l->group[group];
    if (gr->nmember > 1) {
        l->most[gr->root] = gr->nmember / 2;
        return true;
    }
    Ref join = inner_join(l, gr->member[0], group, true);
    if (join == NOREF) return false; /* lowering it says what is too many */
    l->apart[join] = true;
    return true;
}

bool fuse_narrow(Lowering *l)
{
    bool any = false;
    for (uint32_t i = 0; i < l->ngroup; i++) {
        if (l->group[i].melted) continue;
        int stores = stores_of(l, (int)i);
        if (stores > MAX_STORES || (loads_of(l, (int)i) + stores > MAX_PARAMS))
            any |= narrow(l, (int)i);
    }
    return any;
}
