/* SPDX-License-Identifier: Apache-2.0 */
/* The copy of a concatenation to memory, part by part. One kernel for all of it would have to ask,
 * for each element, which part it lies in. So each large part is a kernel's own, whose stores begin
 * where the part does, and small ones that follow each other share one, which asks. A
 * concatenation of concatenations counts as one.
 *
 * Of a flat vector a part's kernel takes whole vectors and leaves the rest to the next. A part that
 * is a reshape of a value in blocks is copied in the order of that value, and one of a row-major
 * value is read as what it is: no index is divided, and loads are whole vectors. */
#include <string.h>

#include "lowering.h"

enum {
    LARGE = 512,     /* elements that are worth a kernel */
    FLAT = 4096,     /* elements of a flat vector that is worth memory of its own */
    WHOLE = 16,      /* elements: whole vectors */
    MOST_LEAVES = 12 /* values in memory that the small parts of one kernel read */
};

/* ---- parts ---- */

typedef struct Parts {
    const Lowering *l;
    int group, axis;
    Part *part;
    uint32_t n, cap;
} Parts;

static void add_parts(Parts *p, Ref r, bool root, int64_t from)
{
    const Node *n = &p->l->g->node[r];
    bool joins = n->op == OP_concat && node_int(n, "axis") == p->axis;
    if (!joins || (!root && fuse_in_memory(p->l, r, p->group))) {
        GROW(p->l->arena, p->part, p->n, p->cap);
        p->part[p->n++] = (Part){r, from, from + n->type.dim[p->axis]};
        return;
    }
    for (int i = 0; i < n->nargs; i++) {
        add_parts(p, n->args[i], false, from);
        from += p->l->g->node[n->args[i]].type.dim[p->axis];
    }
}

static void one_leaf(void *count, Ref r)
{
    (void)r;
    ++*(int *)count;
}

static int leaves_of(const Lowering *l, Ref r, int group)
{
    int n = 0;
    fuse_leaves(l, r, group, one_leaf, &n);
    return n;
}

/* ---- runs ---- */

typedef struct Runs {
    Arena *arena;
    Run *run;
    uint32_t n, cap;
    Run open; /* of small parts, so far */
    int leaves;
} Runs;

static void add_run(Runs *s, Run r)
{
    if (r.from == r.to) return;
    GROW(s->arena, s->run, s->n, s->cap);
    s->run[s->n++] = r;
}

static void close_run(Runs *s, const Part *next, int64_t from)
{
    add_run(s, s->open);
    s->open = (Run){.from = from, .to = from, .part = next, .of = NOREF, .flat = NOREF};
    s->leaves = 0;
}

/* What the part is a reshape of, if that is in memory; with the same samples. */
static Ref source_of(const Parts *p, Ref part)
{
    const Lowering *l = p->l;
    const Node *n = &l->g->node[part];
    if (n->op != OP_reshape || fuse_in_memory(l, part, p->group)) return NOREF;
    Ref src = n->args[0];
    bool samples = n->type.rank > 1 && l->g->node[src].type.dim[0] != n->type.dim[0];
    if (samples || !fuse_in_memory(l, src, p->group) || l->buffer_of[src] < 0) return NOREF;
    return src;
}

static bool is_row_major(const Lowering *l, Ref stored)
{
    Layout plain = layout_plain(l->g->node[stored].type);
    return layout_eq(&l->prog->buffer[l->buffer_of[stored]].layout, &plain);
}

/* All of a large part but what is no whole vector; of a small one nothing. */
static Run own_run(const Parts *p, const Part *t)
{
    const Lowering *l = p->l;
    Type all = l->g->node[l->group[p->group].root].type, own = l->g->node[t->r].type;
    Run r = {.from = t->from, .to = t->to, .part = t, .nparts = 1, .of = NOREF, .flat = NOREF};
    if (type_count(own) < LARGE) {
        r.to = r.from;
        return r;
    }
    Ref src = source_of(p, t->r);
    if (src != NOREF && !is_row_major(l, src))
        r.of = src;
    else if (type_count(all) == all.dim[p->axis])
        r.to -= (t->to - t->from) % WHOLE;
    if (src != NOREF && r.of == NOREF) r.flat = t->r;
    return r;
}

static void cut_part(const Parts *p, Runs *s, const Part *t)
{
    Run own = own_run(p, t);
    int leaves = leaves_of(p->l, t->r, p->group);
    bool full = s->leaves && s->leaves + leaves > MOST_LEAVES;
    if (own.to > own.from || full) close_run(s, t, own.to);
    add_run(s, own);
    if (own.to == t->to) return;
    s->open.to = t->to;
    s->open.nparts++;
    s->leaves += leaves;
}

/* Bits of booleans are not cut, for two kernels may share a byte. */
static bool goes_by_parts(const Lowering *l, const Group *gr)
{
    const Node *n = &l->g->node[gr->root];
    if (!gr->copy || gr->pack || n->op != OP_concat || n->type.dtype == DT_BOOL) return false;
    return !(l->batched[gr->root] && node_int(n, "axis") == 0);
}

uint32_t lower_runs(const Lowering *l, int group, Run **run)
{
    const Group *gr = &l->group[group];
    Runs s = {.arena = l->arena};
    if (goes_by_parts(l, gr)) {
        Parts p = {.l = l, .group = group, .axis = (int)node_int(&l->g->node[gr->root], "axis")};
        add_parts(&p, gr->root, true, 0);
        s.open = (Run){.part = p.part, .of = NOREF, .flat = NOREF};
        for (uint32_t i = 0; i < p.n; i++) cut_part(&p, &s, &p.part[i]);
        close_run(&s, NULL, 0);
    }
    *run = s.run;
    return s.n < 2 ? 0 : s.n;
}

/* ---- before fusion ---- */

/* A flat vector is made once, wherever it is read: its readers would ask for each element where it
 * lies. What it is made of is not. */
void lower_flat_joins(Lowering *l)
{
    bool *inside = NEW_N(l->arena, bool, l->g->n + 1);
    for (Ref r = l->g->n; r-- > 0;) {
        const Node *n = &l->g->node[r];
        if (!l->live[r] || n->op != OP_concat || n->type.rank != 1) continue;
        if (!inside[r]) l->apart[r] = type_count(n->type) >= FLAT;
        for (int i = 0; i < n->nargs; i++) inside[n->args[i]] = true;
    }
}
