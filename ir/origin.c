/* SPDX-License-Identifier: Apache-2.0 */
/* Provenance: which of the user's nodes a value came from. A set of ids into the graph's names,
 * sorted, shared between nodes and never changed in place. A set stops growing at MAX_ORIGINS: a
 * zero that everything uses need not name everything. */
#include "graph_impl.h"

#include <string.h>

enum { MAX_ORIGINS = 32, SHOWN = 3 };

static uint32_t *name_slot(const Graph *g, const char *name)
{
    uint32_t mask = g->name_table_size - 1, i = (uint32_t)hash_bytes(name, strlen(name), 0) & mask;
    while (g->name_table[i] && strcmp(g->names[g->name_table[i] - 1], name)) i = (i + 1) & mask;
    return &g->name_table[i];
}

/* Entries are ids plus one. Of equal names the first keeps the place. */
static void name_table_grow(Graph *g)
{
    g->name_table_size = g->name_table_size ? 2 * g->name_table_size : 64;
    g->name_table = NEW_N(g->arena, uint32_t, g->name_table_size);
    for (uint32_t i = 0; i < g->nnames; i++) {
        uint32_t *slot = name_slot(g, g->names[i]);
        if (!*slot) *slot = i + 1;
    }
}

static uint32_t name_add(Graph *g, const char *name)
{
    GROW(g->arena, g->names, g->nnames, g->names_cap);
    g->names[g->nnames++] = arena_strdup(g->arena, name);
    if (2 * g->nnames >= g->name_table_size) name_table_grow(g);
    uint32_t *slot = name_slot(g, name);
    if (!*slot) *slot = g->nnames;
    return g->nnames - 1;
}

/* `guess` is looked at first: graphs that follow one another have mostly equal ids. */
static uint32_t name_id(Graph *g, const char *name, uint32_t guess)
{
    if (guess < g->nnames && !strcmp(g->names[guess], name)) return guess;
    uint32_t known = g->name_table_size ? *name_slot(g, name) : 0;
    return known ? known - 1 : name_add(g, name);
}

/* Inserts into a sorted set of distinct ids. */
static uint32_t insert(uint32_t *set, uint32_t n, uint32_t id)
{
    uint32_t at = n;
    while (at && set[at - 1] > id) at--;
    if (at && set[at - 1] == id) return n;
    memmove(set + at + 1, set + at, sizeof *set * (n - at));
    set[at] = id;
    return n + 1;
}

static Origin make_origin(Graph *g, const uint32_t *id, uint32_t n)
{
    Origin o = {n, n ? arena_dup(g->arena, id, sizeof *id * n) : NULL};
    return o;
}

void origin_join(Graph *g, Ref r, Origin more)
{
    Origin old = g->origin[r];
    if (!old.n) g->origin[r] = more;
    if (!old.n || old.n >= MAX_ORIGINS || old.id == more.id) return;
    uint32_t set[2 * MAX_ORIGINS], n = old.n;
    memcpy(set, old.id, sizeof *set * n);
    for (uint32_t i = 0; i < more.n && n < MAX_ORIGINS; i++) n = insert(set, n, more.id[i]);
    if (n != old.n) g->origin[r] = make_origin(g, set, n);
}

void graph_take_origin(Graph *dst, const Graph *src, Ref r)
{
    check(r < src->n);
    Origin from = src->origin[r];
    uint32_t set[MAX_ORIGINS + 1], n = 0;
    if (!dst->nnames)
        for (uint32_t i = 0; i < src->nnames; i++) name_add(dst, src->names[i]);
    for (uint32_t i = 0; i < from.n; i++) {
        uint32_t id = from.id[i] & ~ORIGIN_GRAD, grad = from.id[i] & ORIGIN_GRAD;
        n = insert(set, n, name_id(dst, src->names[id], id) | grad);
    }
    dst->current = make_origin(dst, set, n);
}

void graph_set_origin(Graph *g, const char *name)
{
    uint32_t id = name ? name_id(g, name, g->nnames - 1) : 0;
    g->current = make_origin(g, &id, name != NULL);
}

void graph_fresh_origin(Graph *g, const char *name)
{
    uint32_t id = name_add(g, name);
    g->current = make_origin(g, &id, 1);
}

void graph_mark_grad(Graph *g)
{
    uint32_t set[MAX_ORIGINS + 1], n = 0;
    for (uint32_t i = 0; i < g->current.n; i++) n = insert(set, n, g->current.id[i] | ORIGIN_GRAD);
    g->current = make_origin(g, set, n);
}

void graph_origin_text(const Graph *g, Ref r, Str *s)
{
    Origin o = g->origin[r];
    str_put(s, "");
    for (uint32_t i = 0; i < o.n && i < SHOWN; i++) {
        str_put(s, i ? ", " : "");
        str_put(s, o.id[i] & ORIGIN_GRAD ? "gradient of " : "");
        str_put(s, g->names[o.id[i] & ~ORIGIN_GRAD]);
    }
    if (o.n > SHOWN) str_fmt(s, " and %u more", o.n - SHOWN);
}
