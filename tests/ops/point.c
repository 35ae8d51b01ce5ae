/* SPDX-License-Identifier: Apache-2.0 */
/* Values of inputs: given, random, or those that a slot machine has. */
#include "point.h"

#include <math.h>
#include <string.h>

double point_uniform(double lo, double hi)
{
    static uint64_t state = 42;
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return lo + (hi - lo) * (double)(state >> 11) * 0x1p-53;
}

bool is_slot_name(const char *name)
{
    return !strcmp(name, "seed") || !strcmp(name, "id") || !strcmp(name, "t");
}

static void fill_slots(const char *name, Type t, void *data)
{
    if (!strcmp(name, "seed")) elem_set_int(t.dtype, data, 0, SEED);
    for (int i = 0; i < SAMPLES && !strcmp(name, "id"); i++)
        elem_set_int(t.dtype, data, i, FIRST_ID + i);
}

static void fill_random(const OpCase *c, Type t, void *data)
{
    bool real = dtype_is_float(t.dtype);
    double lo = c->ranged ? c->lo : real ? -1 : 0, hi = c->ranged ? c->hi : real ? 1 : 3;
    if (t.dtype == DT_BOOL) lo = 0, hi = 1;
    for (int64_t i = 0; i < type_count(t) * SAMPLES; i++)
        elem_set(t.dtype, data, i, real ? point_uniform(lo, hi) : floor(point_uniform(lo, hi + 1)));
}

static void fill_given(const void *one, Type t, uint8_t *data)
{
    int64_t n = type_count(t), each = dtype_bytes(t.dtype);
    for (int64_t s = 0; s < SAMPLES; s++)
        for (int64_t i = 0; i < n; i++)
            memcpy(data + (s * n + i) * each, (const uint8_t *)one + (i + s) % n * each,
                   (size_t)each);
}

Point point_new(Arena *a, const OpCase *c, const Graph *g)
{
    Point p = {0};
    for (Ref r = 0; r < g->n; r++) {
        const Node *n = &g->node[r];
        if (n->op != OP_input && n->op != OP_param) continue;
        check(p.n < MAX_VALUES);
        PointInput *in = &p.in[p.n++];
        *in = (PointInput){.name = node_attr(n, "name")->s, .type = n->type};
        in->data = arena_alloc(a, (size_t)type_bytes(n->type) * SAMPLES + 8);
        const OpValue *given = opcase_find(c->in, c->nin, in->name);
        if (is_slot_name(in->name))
            fill_slots(in->name, n->type, in->data);
        else if (given)
            fill_given(opcase_value(a, c, given, n->type), n->type, in->data);
        else
            fill_random(c, n->type, in->data);
    }
    return p;
}

const PointInput *point_find(const Point *p, const char *name)
{
    for (int i = 0; i < p->n; i++)
        if (!strcmp(p->in[i].name, name)) return &p->in[i];
    die("no input %s", name);
}

Eval *point_bind(const Point *p, const Graph *g)
{
    Eval *ev = eval_new(g);
    for (Ref r = 0; r < g->n; r++)
        if (g->node[r].op == OP_input || g->node[r].op == OP_param)
            eval_bind(ev, r, point_find(p, node_attr(&g->node[r], "name")->s)->data);
    return ev;
}
