/* SPDX-License-Identifier: Apache-2.0 */
/* Elementwise values that are computed anew wherever they are read, instead of being stored. A
 * value larger than caches costs as much to load as dozens of operations do, and twice that to
 * store, for the line is read first. So such values are chosen by what kernels then read and write
 * in all. A value made anew has the bits that a stored one has; to fusion it is what a view is, an
 * expression in the loads of who reads it.
 *
 * The model of a kernel's traffic: each large value that it reads once, each that others read from
 * it STORE times, and a little for each operation. Kernels are those of the fusion before; a group
 * of values is turned if the sum falls. */
#include <string.h>

#include "lowering.h"

enum {
    LARGE = 1 << 17,  /* elements a slot: caches do not hold several of them */
    MOST_PATHS = 512, /* of an expression down to its loads: fuse_leaves walks them all */
    MOST_ROUNDS = 4
};
static const double STORE = 2, OPERATION = 1.0 / 32; /* in loads of the same size */

typedef struct Remake {
    Lowering *l;
    double *size;    /* bytes of a large value, 0 of others */
    bool *may;       /* elementwise, large, and only read at the reader's own index */
    bool *pinned;    /* stored whoever else reads it */
    bool *stored;    /* in the state as it is */
    uint32_t *paths; /* from a value down to what is not remade */
    uint32_t *seen, turn;
    Ref *flipped;
    int nflipped;
} Remake;

/* ---- which values ---- */

static bool is_large(const Lowering *l, Ref r)
{
    Type t = l->g->node[r].type;
    int64_t slots = l->batched[r] ? l->prog->slots : 1;
    return type_count(t) / slots >= LARGE;
}

static bool reads_own_index(const Lowering *l, Ref user, Ref r)
{
    const Node *n = &l->g->node[user];
    OpClass c = op_info[n->op].cls;
    if (c == CL_REDUCE) return n->op != OP_scan && n->op != OP_fold;
    if (fuse_melts(l, user)) return false; /* a contraction may be behind it */
    return c == CL_ELEMENTWISE && n->op != OP_rng && type_same_dims(n->type, l->g->node[r].type);
}

static void note_users(Remake *m)
{
    const Graph *g = m->l->g;
    for (Ref r = 0; r < g->n; r++) {
        const Node *n = &g->node[r];
        for (int a = 0; a < n->nargs && m->l->live[r]; a++) {
            Ref x = n->args[a];
            if (reads_own_index(m->l, r, x)) continue;
            m->may[x] = false;
            m->pinned[x] |= op_info[n->op].cls != CL_CONTRACT;
        }
    }
    for (uint32_t i = 0; i < g->nout; i++) {
        m->may[g->out[i].ref] = false;
        m->pinned[g->out[i].ref] = true;
    }
}

static bool find_candidates(Remake *m)
{
    const Graph *g = m->l->g;
    bool any = false;
    for (Ref r = 0; r < g->n; r++) {
        const Node *n = &g->node[r];
        bool large = m->l->live[r] && is_large(m->l, r);
        m->size[r] = large ? (double)type_bytes(n->type) : 0;
        if (n->type.dtype == DT_BOOL) m->size[r] /= 8;
        m->may[r] = large && op_info[n->op].cls == CL_ELEMENTWISE && !fuse_costly(n->op) &&
                    !fuse_melts(m->l, r);
        any |= m->may[r];
    }
    return any;
}

/* ---- what kernels read and write ---- */

/* The kernel that r is computed in; -1: in those that read it. */
static int home(const Remake *m, Ref r)
{
    int gr = m->l->group_of[r];
    return gr < 0 || m->l->remade[r] || m->l->group[gr].melted ? -1 : gr;
}

static double visit(Remake *m, Ref r, int own)
{
    const Node *n = &m->l->g->node[r];
    int at = home(m, r);
    if (m->seen[r] == m->turn || !m->size[r]) return 0;
    m->seen[r] = m->turn;
    if ((at >= 0 && at != own) || n->op == OP_input) {
        m->stored[r] = true;
        return m->size[r];
    }
    double sum = op_info[n->op].cls == CL_ELEMENTWISE ? OPERATION * m->size[r] : 0;
    for (int a = 0; a < n->nargs; a++) sum += visit(m, n->args[a], own);
    return sum;
}

static double visit_operands(Remake *m, Ref r, int own)
{
    const Node *n = &m->l->g->node[r];
    double sum = 0;
    for (int a = 0; a < n->nargs; a++) sum += visit(m, n->args[a], own);
    return sum;
}

/* Readers come behind: from the last kernel to the first all that is stored is known in time. */
static double traffic(Remake *m)
{
    const Lowering *l = m->l;
    double sum = 0;
    memcpy(m->stored, m->pinned, l->g->n * sizeof *m->stored);
    for (uint32_t i = l->ngroup; i-- > 0;) {
        const Group *gr = &l->group[i];
        if (gr->melted || gr->pack || gr->transform) continue;
        m->turn++;
        for (uint32_t k = 0; k < gr->nmember; k++) {
            Ref r = gr->member[k];
            bool store = m->stored[r] && !l->remade[r];
            if (store) sum += STORE * m->size[r];
            if (store || r == gr->heavy) sum += visit_operands(m, r, (int)i);
        }
    }
    return sum;
}

/* ---- choosing ---- */

static uint32_t count_paths(const Remake *m, Ref r)
{
    const Node *n = &m->l->g->node[r];
    uint32_t sum = 0;
    for (int a = 0; a < n->nargs; a++) sum += m->paths[n->args[a]];
    return n->nargs && home(m, r) < 0 && m->size[r] && sum < MOST_PATHS ? sum : 1;
}

static bool too_long(const Remake *m, Ref r)
{
    const Node *n = &m->l->g->node[r];
    uint32_t sum = 0;
    for (int a = 0; a < n->nargs; a++) sum += m->paths[n->args[a]];
    return sum >= MOST_PATHS;
}

/* Turns r, and with it what is computed on the way to it and stored by nobody. */
static void flip(Remake *m, Ref r)
{
    const Node *n = &m->l->g->node[r];
    if (!m->may[r] || m->l->remade[r]) return;
    m->l->remade[r] = true;
    m->flipped[m->nflipped++] = r;
    for (int a = 0; a < n->nargs; a++)
        if (!m->stored[n->args[a]]) flip(m, n->args[a]);
}

static bool fits(Remake *m)
{
    for (Ref r = 0; r < m->l->g->n; r++) {
        if (m->l->remade[r] && too_long(m, r)) return false;
        m->paths[r] = count_paths(m, r);
    }
    return true;
}

/* Is it cheaper the other way round? Otherwise leaves all as it was. */
static bool try(Remake *m, Ref r, double *best)
{
    bool had = m->l->remade[r];
    m->nflipped = 0;
    if (had)
        m->l->remade[r] = false;
    else
        flip(m, r);
    double cost = traffic(m);
    if (cost < *best && (had || fits(m))) {
        *best = cost;
        return true;
    }
    if (had) m->l->remade[r] = true;
    for (int i = 0; i < m->nflipped; i++) m->l->remade[m->flipped[i]] = false;
    traffic(m);
    return false;
}

static bool choose(Remake *m)
{
    double stored = traffic(m), best = stored;
    bool better = true;
    for (int round = 0; round < MOST_ROUNDS && better; round++) {
        better = false;
        for (Ref r = m->l->g->n; r-- > 0;)
            if (m->may[r]) better |= try(m, r, &best);
    }
    return best < stored;
}

bool lower_remake(Lowering *l)
{
    uint32_t n = l->g->n + 1;
    Arena *a = l->arena;
    Remake m = {.l = l};
    m.size = NEW_N(a, double, n);
    m.may = NEW_N(a, bool, n);
    m.pinned = NEW_N(a, bool, n);
    m.stored = NEW_N(a, bool, n);
    m.paths = NEW_N(a, uint32_t, n);
    m.seen = NEW_N(a, uint32_t, n);
    m.flipped = NEW_N(a, Ref, n);
    if (!find_candidates(&m)) return false;
    note_users(&m);
    return choose(&m);
}
