/* SPDX-License-Identifier: Apache-2.0 */
/* Where each group's values go: temporaries for values that other groups read, the caller's
 * tensors, and states. A state is overwritten in place when nobody can still want its old value:
 * every reader runs before the writer, and the writer itself reads it only at the index that it
 * writes. Otherwise the new value waits in a temporary and is copied after the last kernel.
 *
 * A temporary whose last reader reads it so gives its place to what that reader stores: the sum of
 * a residual block to the next block's. Less memory, and half the lines. */
#include <string.h>

#include "lowering.h"

static void add_dest(Lowering *l, Dests *d, Ref node, int buffer)
{
    GROW(l->arena, d->dest, d->n, d->cap);
    d->dest[d->n++] = (Dest){node, buffer};
}

static int temp_buffer(Lowering *l, Ref r)
{
    Type t = l->g->node[r].type;
    Str name = {0};
    graph_origin_text(l->g, r, &name);
    Buffer b = {.kind = BUF_TEMP,
                .dtype = t.dtype,
                .layout = value_layout(l, r),
                .sample = l->batched[r],
                .name = arena_strdup(l->arena, name.s ? name.s : "")};
    str_free(&name);
    memcpy(b.dim, t.dim, sizeof b.dim);
    b.bytes = layout_bytes(&b.layout, b.dtype);
    b.first = b.last = -1;
    return buffer_add(l->module->arena, l->prog, b);
}

/* Weights as a claim wants them, or a value computed again, beside the value's own place if it has
 * one. */
static void place_packed(Lowering *l, Group *gr)
{
    if (gr->again) gr->packed = value_layout(l, gr->root);
    Buffer b = {.kind = BUF_TEMP,
                .dtype = l->g->node[gr->root].type.dtype,
                .layout = gr->packed,
                .first = -1,
                .last = -1,
                .sample = gr->again && l->batched[gr->root],
                .name = gr->again ? "computed again" : "packed weights"};
    memcpy(b.dim, l->g->node[gr->root].type.dim, sizeof b.dim);
    b.bytes = layout_bytes(&b.layout, b.dtype);
    gr->packed_to = buffer_add(l->module->arena, l->prog, b);
}

/* ---- may a state be overwritten in place? ---- */

typedef struct Seen {
    Ref what;
    bool yes;
} Seen;

static void see(void *arg, Ref r)
{
    Seen *s = arg;
    s->yes |= r == s->what;
}

static bool reads(const Lowering *l, Ref from, int group, Ref what)
{
    Seen s = {what, false};
    if (from == what && group != l->group_of[what]) return true;
    fuse_leaves(l, from, group, see, &s);
    return s.yes;
}

static bool group_reads(const Lowering *l, int group, Ref state)
{
    const Group *gr = &l->group[group];
    for (uint32_t m = 0; m < gr->nmember; m++)
        if (reads(l, gr->member[m], group, state)) return true;
    return false;
}

/* Does the writing group read the state anywhere but at its own index? */
static bool reads_elsewhere(const Lowering *l, int group, Ref state)
{
    const Group *gr = &l->group[group];
    if (gr->copy) return gr->member[0] != state && group_reads(l, group, state);
    for (uint32_t m = 0; m < gr->nmember; m++) {
        const Node *n = &l->g->node[gr->member[m]];
        for (int a = 0; a < n->nargs; a++) {
            Ref arg = n->args[a];
            if (arg == state && gr->member[m] != gr->heavy) continue; /* elementwise, same index */
            if (l->group_of[arg] == group) continue;
            if (reads(l, arg, group, state)) return true;
        }
    }
    return false;
}

static bool in_place(const Lowering *l, int writer, Ref state)
{
    if (state == NOREF) return true;
    for (uint32_t i = (uint32_t)writer + 1; i < l->ngroup; i++)
        if (!l->group[i].melted && group_reads(l, (int)i, state)) return false;
    return !reads_elsewhere(l, writer, state);
}

/* ---- may a temporary be? ---- */

/* Can later groups read r there, with the halo that their claims want? */
static bool serves_readers(const Lowering *l, int buffer, Ref r)
{
    Layout need = value_layout(l, r);
    return layout_covers(&l->prog->buffer[buffer].layout, &need);
}

typedef struct Last { /* reader of each value in memory */
    int *group, now;
} Last;

static void see_last(void *arg, Ref r)
{
    Last *s = arg;
    s->group[r] = s->now;
}

/* The last group that reads each value, and those that are copied at the end: after all. */
static int *last_readers(const Lowering *l, const StateCopy *late, int nlate)
{
    Last s = {.group = NEW_N(l->arena, int, l->g->n + 1)};
    for (Ref r = 0; r < l->g->n; r++) s.group[r] = -1;
    for (s.now = 0; s.now < (int)l->ngroup; s.now++) {
        const Group *gr = &l->group[s.now];
        for (uint32_t m = 0; m < gr->nmember && !gr->melted; m++) {
            Ref r = gr->member[m];
            if (l->group_of[r] != s.now) see_last(&s, r);
            fuse_leaves(l, r, s.now, see_last, &s);
        }
    }
    for (int i = 0; i < nlate; i++) s.group[late[i].node] = (int)l->ngroup;
    return s.group;
}

static bool has_dest(const Dests *d, int buffer)
{
    for (uint32_t i = 0; i < d->n; i++)
        if (d->dest[i].buffer == buffer) return true;
    return false;
}

/* May r, which the group stores, take the place of `old`, which it reads? */
static bool takes_place(const Lowering *l, int group, Ref r, Ref old, const int *last,
                        const Dests *d)
{
    int buffer = l->buffer_of[old];
    if (l->group_of[old] == group || buffer < 0 || last[old] != group) return false;
    const Buffer *b = &l->prog->buffer[buffer];
    Type t = l->g->node[r].type, space = l->g->node[l->group[group].root].type;
    if (b->kind != BUF_TEMP || has_dest(d, buffer) || l->batched[r] != l->batched[old])
        return false;
    if (!type_eq(t, l->g->node[old].type) || !type_same_dims(t, space)) return false;
    return serves_readers(l, buffer, r) && !reads_elsewhere(l, group, old);
}

/* The buffer of a value that gives its place to r; -1: none. */
static int place_taken(const Lowering *l, int group, Ref r, const int *last, const Dests *d)
{
    const Group *gr = &l->group[group];
    for (uint32_t m = 0; m < gr->nmember && !gr->copy; m++) {
        const Node *n = &l->g->node[gr->member[m]];
        for (int a = 0; a < n->nargs && gr->member[m] != gr->heavy; a++)
            if (takes_place(l, group, r, n->args[a], last, d)) return l->buffer_of[n->args[a]];
    }
    return -1;
}

/* ---- outputs ---- */

/* A buffer whose layout is still open takes that of the value first stored in it. */
static void fix_layout(Lowering *l, int buffer, Ref r)
{
    Buffer *b = &l->prog->buffer[buffer];
    if (b->layout.ndigit || b->layout.rank) return;
    b->layout = value_layout(l, r);
    b->bytes = layout_bytes(&b->layout, b->dtype);
}

static void check_output(const Lowering *l, const GraphOutput *o, int buffer)
{
    if (buffer < 0) die("%s: no tensor or state named %s", l->prog->name, o->name);
    if (l->prog->buffer[buffer].dtype != l->g->node[o->ref].type.dtype)
        die("%s: %s is stored with another element type", l->prog->name, o->name);
}

static void place_output(Lowering *l, uint32_t i, Dests *dests, StateCopy *late, int *nlate)
{
    const GraphOutput *o = &l->g->out[i];
    int group = l->out_group[i];
    int to = buffer_bind(l->module, l->prog, o->name, l->g->node[o->ref].type, true);
    check_output(l, o, to);
    if (group < 0) return;
    bool state = l->prog->buffer[to].kind == BUF_STATE;
    if (!state || in_place(l, group, graph_find_input(l->g, o->name))) {
        fix_layout(l, to, o->ref);
        add_dest(l, &dests[group], o->ref, to);
        if (state && l->group_of[o->ref] == group && l->buffer_of[o->ref] < 0 &&
            serves_readers(l, to, o->ref))
            l->buffer_of[o->ref] = to; /* later readers find the new value there */
        return;
    }
    int temp = l->group_of[o->ref] >= 0 ? l->buffer_of[o->ref] : -1;
    if (temp < 0) {
        temp = temp_buffer(l, o->ref);
        add_dest(l, &dests[group], o->ref, temp);
        if (l->group_of[o->ref] == group) l->buffer_of[o->ref] = temp;
    }
    late[(*nlate)++] = (StateCopy){temp, to, o->ref};
}

/* Outputs first: a value that has a home there needs no temporary. */
Dests *lower_dests(Lowering *l, StateCopy *late, int *nlate)
{
    Dests *dests = NEW_N(l->arena, Dests, l->ngroup + 1);
    for (uint32_t i = 0; i < l->g->nout; i++) place_output(l, i, dests, late, nlate);
    const int *last = last_readers(l, late, *nlate);
    for (uint32_t i = 0; i < l->ngroup; i++) {
        Group *gr = &l->group[i];
        if (gr->pack || gr->transform || gr->again) place_packed(l, gr);
        if (gr->pack || gr->again) add_dest(l, &dests[i], gr->root, gr->packed_to);
        for (uint32_t m = 0; m < l->group[i].nmember && !l->group[i].melted; m++) {
            Ref r = l->group[i].member[m];
            if (!l->stored[r] || l->group_of[r] != (int)i || l->buffer_of[r] >= 0) continue;
            int taken = place_taken(l, (int)i, r, last, &dests[i]);
            l->buffer_of[r] = taken >= 0 ? taken : temp_buffer(l, r);
            add_dest(l, &dests[i], r, l->buffer_of[r]);
        }
    }
    return dests;
}
