/* SPDX-License-Identifier: Apache-2.0 */
/* Making nodes. Every node passes through put_node(), which finds an equal one first: no two nodes
 * of a graph are equal. Inputs and parameters are hashed by name alone, so that a second one of
 * that name with another type is found, and refused. */
#include "graph_impl.h"

#include <math.h>
#include <string.h>

Graph *graph_new(Arena *arena, const char *name)
{
    Graph *g = NEW(arena, Graph);
    g->arena = arena;
    g->name = arena_strdup(arena, name);
    return g;
}

static _Noreturn void fail(Graph *g, Op op, const char *message)
{
    Node last = {0};
    Origin none = g->current;
    Graph view = {.node = &last, .n = 1, .origin = &none, .names = g->names};
    Str where = {0};
    graph_origin_text(&view, 0, &where);
    const char *kept = arena_strdup(g->arena, where.s);
    str_free(&where);
    err(kept, "%s: %s", op_info[op].name, message);
}

/* ---- attributes ---- */

static const void *attr_bytes(AttrKind kind, const Attr *a, size_t *n)
{
    if (kind == ATTR_STR) {
        *n = strlen(a->s);
        return a->s;
    }
    *n = kind == ATTR_INTS ? sizeof a->i[0] * (size_t)a->n : sizeof(int64_t);
    return kind == ATTR_FLOAT ? (const void *)&a->f : a->i;
}

static bool attr_eq(AttrKind kind, const Attr *a, const Attr *b)
{
    size_t na, nb;
    const void *pa = attr_bytes(kind, a, &na), *pb = attr_bytes(kind, b, &nb);
    return na == nb && !memcmp(pa, pb, na);
}

/* Only the live member, so that equal attributes are equal bytes; one NaN for all. */
static Attr attr_canon(AttrKind kind, const Attr *a)
{
    Attr c = {0};
    switch (kind) {
    case ATTR_STR: c.s = a->s; break;
    case ATTR_FLOAT: c.f = isnan(a->f) ? (double)NAN : a->f; break;
    case ATTR_INTS:
        c.n = a->n;
        memcpy(c.i, a->i, sizeof a->i[0] * (size_t)a->n);
        break;
    default: c.i[0] = a->i[0];
    }
    return c;
}

/* ---- the table of equal nodes ---- */

static bool is_named(const Node *n)
{
    const OpInfo *info = &op_info[n->op];
    return info->nattr && info->attr[0].kind == ATTR_STR;
}

static uint64_t name_hash(const char *name)
{
    return hash_bytes(name, strlen(name), 1);
}

uint64_t node_attrs_hash(const Node *n, uint64_t seed)
{
    for (int i = 0; i < op_info[n->op].nattr; i++) {
        size_t size;
        const void *p = attr_bytes(op_info[n->op].attr[i].kind, &n->attr[i], &size);
        seed = hash_bytes(p, size, seed);
    }
    return seed;
}

static uint64_t node_hash(const Node *n)
{
    if (is_named(n)) return name_hash(n->attr[0].s);
    uint64_t h = hash_bytes(n->args, sizeof(Ref) * (size_t)n->nargs, 2 + (uint64_t)n->op);
    h = node_attrs_hash(n, h);
    return n->value ? h ^ n->value->hash : h;
}

static bool const_eq(const Const *a, const Const *b)
{
    if (a == b) return true;
    if (!a || !b || a->hash != b->hash || a->splat != b->splat || !type_eq(a->type, b->type))
        return false;
    if (a->id || b->id) return a->id == b->id;
    int64_t n = a->splat ? dtype_bytes(a->type.dtype) : type_bytes(a->type);
    return !memcmp(a->data, b->data, (size_t)n);
}

static bool node_eq(const Node *a, const Node *b)
{
    if (a->op != b->op || a->nargs != b->nargs || !const_eq(a->value, b->value)) return false;
    if (a->nargs && memcmp(a->args, b->args, sizeof(Ref) * (size_t)a->nargs)) return false;
    for (int i = 0; i < op_info[a->op].nattr; i++)
        if (!attr_eq(op_info[a->op].attr[i].kind, &a->attr[i], &b->attr[i])) return false;
    return true;
}

static bool same_key(const Node *a, const Node *b)
{
    if (is_named(a) && is_named(b)) return !strcmp(a->attr[0].s, b->attr[0].s);
    return node_eq(a, b);
}

/* The slot of the node with n's key, or the empty slot where it belongs. */
static uint32_t *slot_of(const Graph *g, const Node *n)
{
    uint32_t mask = g->table_size - 1, i = (uint32_t)node_hash(n) & mask;
    while (g->table[i] && !same_key(&g->node[g->table[i] - 1], n)) i = (i + 1) & mask;
    return &g->table[i];
}

static void table_grow(Graph *g)
{
    if (g->n >= UINT32_MAX / 4) err(NULL, "the graph %s has too many nodes", g->name);
    g->table_size = g->table_size ? g->table_size * 2 : 64;
    g->table = NEW_N(g->arena, uint32_t, g->table_size);
    for (Ref r = 0; r < g->n; r++) *slot_of(g, &g->node[r]) = r + 1;
}

Ref graph_lookup(const Graph *g, const Node *n)
{
    uint32_t found = g->table_size ? *slot_of(g, n) : 0;
    return found ? found - 1 : NOREF;
}

/* ---- making nodes ---- */

static const Attr *keep_attrs(Graph *g, Op op, const Attr *attr)
{
    const OpInfo *info = &op_info[op];
    Attr *kept = NEW_N(g->arena, Attr, info->nattr);
    for (int i = 0; i < info->nattr; i++) {
        kept[i] = attr[i];
        if (info->attr[i].kind == ATTR_STR) kept[i].s = arena_strdup(g->arena, attr[i].s);
    }
    return kept;
}

static const Const *keep_const(Graph *g, const Const *c, bool owned)
{
    Const *kept = arena_dup(g->arena, c, sizeof *c);
    int64_t n = c->splat ? dtype_bytes(c->type.dtype) : type_bytes(c->type);
    if (!owned) kept->data = arena_dup(g->arena, c->data, (size_t)n);
    return kept;
}

static Ref append(Graph *g, Node n, bool owned)
{
    GROW(g->arena, g->node, g->n, g->cap);
    GROW(g->arena, g->origin, g->n, g->origin_cap);
    if (n.nargs) n.args = arena_dup(g->arena, n.args, sizeof(Ref) * (size_t)n.nargs);
    n.attr = op_info[n.op].nattr ? keep_attrs(g, n.op, n.attr) : NULL;
    if (n.value) n.value = keep_const(g, n.value, owned);
    g->node[g->n] = n;
    g->origin[g->n] = g->current;
    return g->n++;
}

/* n's contents may be anyone's; they are copied if kept, but for an owned constant's data. */
static Ref put_node(Graph *g, const Node *n, bool owned)
{
    if (2 * (g->n + 1) > g->table_size) table_grow(g);
    uint32_t *slot = slot_of(g, n);
    if (*slot) {
        Ref r = *slot - 1;
        if (!node_eq(&g->node[r], n))
            fail(g, n->op,
                 arena_printf(g->arena, "\"%s\" exists with another type or kind", n->attr[0].s));
        origin_join(g, r, g->current);
        return r;
    }
    Ref r = append(g, *n, owned);
    *slot = r + 1;
    return r;
}

Ref graph_node(Graph *g, Op op, int nargs, const Ref *args, const Attr *attr)
{
    check((unsigned)op < OP_COUNT && op != OP_const);
    const OpInfo *info = &op_info[op];
    Type types[MAX_ARGS];
    Attr canon[MAX_ATTRS];
    for (int i = 0; i < nargs && i < MAX_ARGS; i++) {
        check(args[i] < g->n);
        types[i] = g->node[args[i]].type;
    }
    Node n = {.op = op, .nargs = nargs, .args = args, .attr = info->nattr ? canon : NULL};
    const char *fault = op_infer(op, nargs, types, attr, NULL, &n.type, g->arena);
    if (fault) fail(g, op, fault);
    for (int i = 0; i < info->nattr; i++) canon[i] = attr_canon(info->attr[i].kind, &attr[i]);
    return put_node(g, &n, false);
}

/* ---- constants ---- */

uint64_t const_hash(Type t, bool splat, const void *data)
{
    int64_t n = splat ? dtype_bytes(t.dtype) : type_bytes(t);
    uint64_t h = hash_bytes(t.dim, sizeof t.dim[0] * (size_t)t.rank, (uint64_t)t.dtype);
    return hash_bytes(data, (size_t)n, h + splat);
}

uint64_t const_key(const Const *c)
{
    if (!c->id) return const_hash(c->type, c->splat, c->data);
    uint64_t seed = hash_bytes(&c->id, sizeof c->id, 3 + (uint64_t)c->type.dtype);
    return hash_bytes(c->type.dim, sizeof c->type.dim[0] * (size_t)c->type.rank, seed);
}

bool const_is_large(const Const *c)
{
    return c->id || (!c->splat && type_count(c->type) > SMALL_CONST);
}

/* Bool becomes 0/1, and constants printed whole have one NaN: reading gives the same back. */
static void normalise(Type t, void *data, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (!dtype_is_float(t.dtype))
            elem_set_int(t.dtype, data, i, elem_get_int(t.dtype, data, i));
        else if (isnan(elem_get(t.dtype, data, i)))
            elem_set(t.dtype, data, i, (double)NAN);
}

static bool all_equal(Type t, const void *data)
{
    size_t one = (size_t)dtype_bytes(t.dtype), all = (size_t)type_bytes(t);
    return !memcmp(data, (const char *)data + one, all - one);
}

static Ref put_const(Graph *g, Const *c, bool owned)
{
    c->hash = const_key(c);
    Node n = {.op = OP_const, .value = c, .type = c->type};
    return put_node(g, &n, owned);
}

static Ref add_const(Graph *g, Type t, const void *dense, bool owned)
{
    const char *fault = type_check(t);
    if (fault) fail(g, OP_const, fault);
    t = type_of(t.dtype, t.rank, t.dim);
    int64_t n = type_count(t);
    if (n <= SMALL_CONST || t.dtype == DT_BOOL) {
        owned = true;
        void *copy = arena_dup(g->arena, dense, (size_t)type_bytes(t));
        normalise(t, copy, n);
        dense = copy;
    }
    Const c = {.type = t, .splat = all_equal(t, dense), .data = dense};
    uint64_t one[1] = {0};
    if (!c.splat) return put_const(g, &c, owned);
    memcpy(one, dense, (size_t)dtype_bytes(t.dtype));
    return graph_splat_bits(g, t, one);
}

Ref graph_const(Graph *g, Type t, const void *dense)
{
    return add_const(g, t, dense, false);
}

Ref graph_const_at(Graph *g, Type t, const void *dense)
{
    return add_const(g, t, dense, true);
}

static Ref add_weight(Graph *g, Type t, const void *dense, uint64_t id, bool owned)
{
    const char *fault = type_check(t);
    if (fault) fail(g, OP_const, fault);
    check(id);
    Const c = {.type = type_of(t.dtype, t.rank, t.dim), .id = id, .data = dense};
    return put_const(g, &c, owned);
}

Ref graph_weight(Graph *g, Type t, const void *dense, uint64_t id)
{
    return add_weight(g, t, dense, id, false);
}

Ref graph_weight_at(Graph *g, Type t, const void *dense, uint64_t id)
{
    return add_weight(g, t, dense, id, true);
}

Ref graph_splat_bits(Graph *g, Type t, void *one)
{
    const char *fault = type_check(t);
    if (fault) fail(g, OP_const, fault);
    normalise(t, one, 1);
    Const c = {.type = type_of(t.dtype, t.rank, t.dim), .splat = true, .data = one};
    return put_const(g, &c, false);
}

Ref graph_splat(Graph *g, Type t, double value)
{
    uint64_t one[1] = {0};
    if ((unsigned)t.dtype < DT_COUNT) elem_set(t.dtype, one, 0, value);
    return graph_splat_bits(g, t, one);
}

/* ---- outputs and finding ---- */

void graph_output(Graph *g, const char *name, Ref r)
{
    check(r < g->n);
    if (graph_find_output(g, name) != NOREF)
        err(NULL, "graph %s has two outputs named \"%s\"", g->name, name);
    GROW(g->arena, g->out, g->nout, g->out_cap);
    g->out[g->nout++] = (GraphOutput){arena_strdup(g->arena, name), r};
}

Ref graph_find_input(const Graph *g, const char *name)
{
    Attr attr[MAX_ATTRS] = {{.s = name}};
    Node n = {.op = OP_input, .attr = attr};
    return graph_lookup(g, &n);
}

Ref graph_find_output(const Graph *g, const char *name)
{
    for (uint32_t i = 0; i < g->nout; i++)
        if (!strcmp(g->out[i].name, name)) return g->out[i].ref;
    return NOREF;
}

/* ---- copying between graphs ---- */

static Ref copy_node(Graph *dst, const Graph *src, const Node *n, const Ref *map)
{
    Ref args[MAX_ARGS];
    if (n->value) {
        Node c = {.op = OP_const, .value = n->value, .type = n->type};
        return put_node(dst, &c, dst->arena == src->arena);
    }
    for (int i = 0; i < n->nargs; i++) args[i] = map[n->args[i]];
    return graph_node(dst, n->op, n->nargs, args, n->attr);
}

Ref graph_copy(Graph *dst, const Graph *src, Ref r, const Ref *map)
{
    check(r < src->n);
    Origin before = dst->current;
    graph_take_origin(dst, src, r);
    Ref made = copy_node(dst, src, &src->node[r], map);
    dst->current = before;
    return made;
}
