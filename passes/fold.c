/* SPDX-License-Identifier: Apache-2.0 */
/* Constant folding through the evaluator. Keeps true: a constant is not blown up (a broadcast
 * stays a view, and a larger result than its sources is stored only up to FOLD_SMALL elements),
 * and neither memory nor time exceeds the budget, whatever the file says. */
#include "passes/fold.h"
#include "passes/passes.h"
#include "passes/rewrite.h"

#include <string.h>

static void release(void *arena)
{
    arena_free(arena);
}

/* ---- what is constant ---- */

static const bool is_discontinuous[OP_COUNT] = {
    [OP_sign] = true, [OP_floor] = true, [OP_round] = true,  [OP_cast] = true,    [OP_lt] = true,
    [OP_le] = true,   [OP_eq] = true,    [OP_argmax] = true, [OP_argsort] = true,
};

static const bool is_foldable_class[] = {
    [CL_SOURCE] = false, [CL_ELEMENTWISE] = true, [CL_VIEW] = true,  [CL_JOIN] = true,
    [CL_REDUCE] = true,  [CL_CONTRACT] = true,    [CL_INDEX] = true, [CL_META] = false,
};

static Known *known_of(Fold *f, Ref r)
{
    GROW(f->temp, f->known, r, f->known_cap);
    return &f->known[r];
}

uint32_t *fold_uses(Fold *f, Ref r)
{
    GROW(f->temp, f->uses, r, f->uses_cap);
    return &f->uses[r];
}

static Type wide_type(Type t)
{
    return dtype_is_float(t.dtype) ? type_with(t, DT_F64) : t;
}

static int64_t stored_bytes(const Node *n)
{
    return n->value->splat ? dtype_bytes(n->type.dtype) : type_bytes(n->type);
}

static bool within_bytes(const Node *n)
{
    return type_bytes(wide_type(n->type)) <= FOLD_VALUE_BYTES;
}

static void know_const(Known *k, const Const *c)
{
    k->key = c->hash;
    k->weight = c->id != 0;
}

static void know_arg(Known *k, const Known *arg)
{
    k->key = hash_bytes(&arg->key, sizeof arg->key, k->key);
    k->weight = k->weight || arg->weight;
    if (arg->source > k->source) k->source = arg->source;
    if (arg->depth >= k->depth) k->depth = arg->depth + 1;
}

/* Arguments come first in the graph and are asked first, so this does not recurse deeply. */
bool fold_known(Fold *f, Ref r)
{
    Known k = *known_of(f, r);
    const Node *n = &f->g->node[r];
    if (k.state) return k.state > 0;
    bool yes = n->op == OP_const || n->op == OP_iota || is_foldable_class[op_info[n->op].cls];
    k.key = node_attrs_hash(n, (uint64_t)n->op);
    if (n->op == OP_const) k.source = stored_bytes(n), know_const(&k, n->value);
    for (int i = 0; yes && i < n->nargs; i++) {
        yes = fold_known(f, n->args[i]);
        Known arg = *known_of(f, n->args[i]);
        know_arg(&k, &arg);
    }
    k.state = yes && within_bytes(n) && k.depth <= FOLD_DEPTH ? 1 : -1;
    *known_of(f, r) = k;
    return k.state > 0;
}

/* ---- values ---- */

static Tensor tensor_new(Fold *f, Type t)
{
    return (Tensor){t, arena_alloc(f->scratch, (size_t)type_bytes(t))};
}

static Tensor convert(Fold *f, Tensor x, DType to)
{
    Tensor y = tensor_new(f, type_with(x.type, to));
    int64_t n = type_count(x.type);
    for (int64_t i = 0; i < n; i++) elem_set(to, y.data, i, elem_get(x.type.dtype, x.data, i));
    return y;
}

static Tensor widen(Fold *f, Tensor x)
{
    bool narrow = dtype_is_float(x.type.dtype) && x.type.dtype != DT_F64;
    return narrow ? convert(f, x, DT_F64) : x;
}

static Tensor value_of(Fold *f, Ref r);

/* The operand as the op must see it. */
static Tensor operand_value(Fold *f, const Node *n, int i)
{
    Tensor x = value_of(f, n->args[i]);
    DType own = f->g->node[n->args[i]].type.dtype;
    return is_discontinuous[n->op] && x.type.dtype != own ? convert(f, x, own) : x;
}

/* Sources, casts and the discontinuous compute in their own dtype, all others in f64. */
static Tensor compute(Fold *f, Ref r)
{
    const Node *n = &f->g->node[r];
    Tensor args[MAX_ARGS];
    for (int i = 0; i < n->nargs; i++) args[i] = operand_value(f, n, i);
    bool own = n->nargs == 0 || is_discontinuous[n->op];
    Tensor out = tensor_new(f, own ? n->type : wide_type(n->type));
    eval_node(n->op, n->attr, n->value, n->nargs, args, &out);
    return widen(f, out);
}

static Tensor value_of(Fold *f, Ref r)
{
    Known *k = known_of(f, r);
    if (!k->wide.data) {
        Tensor wide = compute(f, r);
        k = known_of(f, r);
        k->wide = wide;
        GROW(f->temp, f->computed, f->ncomputed, f->computed_cap);
        f->computed[f->ncomputed++] = r;
    }
    return k->wide;
}

/* ---- what it costs, and whether it is worth it ---- */

typedef struct Cost {
    int64_t bytes, work;
} Cost;

static int64_t times(int64_t a, int64_t b)
{
    int64_t out;
    return mul_ok(a, b, &out) ? out : FOLD_MULTIPLY_ADDS + 1;
}

/* A convolution of any kind multiplies each element of y by a filter of w: O filters in w. */
static int64_t contract_work(const Node *n, Type a, Type b)
{
    Type y = n->op == OP_conv ? n->type : n->op == OP_conv_dx ? a : b;
    Type w = n->op == OP_conv_dw ? n->type : b;
    if (n->op == OP_matmul) return times(type_count(n->type), a.dim[a.rank - 1]);
    return times(type_count(y), type_count(w) / w.dim[0]);
}

static int64_t node_work(const Graph *g, const Node *n)
{
    if (!n->nargs) return type_count(n->type);
    Type a = g->node[n->args[0]].type;
    OpClass cls = op_info[n->op].cls;
    if (cls == CL_CONTRACT) return contract_work(n, a, g->node[n->args[1]].type);
    return type_count(cls == CL_REDUCE ? a : n->type);
}

/* A value used twice below r counts twice: an upper bound, and one that ends early. */
static Cost cost_of(Fold *f, Ref r)
{
    const Node *n = &f->g->node[r];
    Cost c = {0};
    if (known_of(f, r)->wide.data) return c;
    c = (Cost){type_bytes(wide_type(n->type)), node_work(f->g, n)};
    for (int i = 0; i < n->nargs && c.work <= f->work && c.bytes <= FOLD_SCRATCH_BYTES; i++) {
        Cost arg = cost_of(f, n->args[i]);
        c.bytes += arg.bytes;
        c.work += arg.work;
    }
    return c;
}

static bool worth_storing(Fold *f, Ref r)
{
    const Node *n = &f->g->node[r];
    if (n->op == OP_const || n->op == OP_iota || n->op == OP_broadcast) return false;
    return type_count(n->type) <= FOLD_SMALL || type_bytes(n->type) <= known_of(f, r)->source;
}

/* The wide value stays with the constant, so that the next operation does not see the rounding. */
static void keep_wide(Fold *f, Ref made, Tensor wide, int64_t source)
{
    Known *k = known_of(f, made);
    int64_t bytes = type_bytes(wide.type);
    if (k->state) return;
    *k = (Known){.state = 1, .source = source};
    know_const(k, f->g->node[made].value);
    if (bytes > f->kept) return;
    f->kept -= bytes;
    k->wide = (Tensor){wide.type, arena_dup(f->temp, wide.data, (size_t)bytes)};
}

static void scratch_drop(Fold *f)
{
    while (f->ncomputed) known_of(f, f->computed[--f->ncomputed])->wide.data = NULL;
    err_keep(f->scratch);
    arena_free(f->scratch);
}

static Ref store(Fold *f, Ref r)
{
    f->scratch = arena_new();
    err_defer(release, f->scratch);
    Type t = f->g->node[r].type;
    Tensor wide = value_of(f, r);
    Tensor narrow = wide.type.dtype == t.dtype ? wide : convert(f, wide, t.dtype);
    Known k = *known_of(f, r);
    Ref made = k.weight ? graph_weight(f->g, t, narrow.data, k.key | 1)
                        : graph_const(f->g, t, narrow.data);
    keep_wide(f, made, wide, known_of(f, r)->source);
    scratch_drop(f);
    return made;
}

/* An elementwise operation on splats is one scalar, whatever the extents. */
static Ref fold_splats(Fold *f, Ref r)
{
    Node n = f->g->node[r];
    Tensor args[MAX_ARGS];
    if (op_info[n.op].cls != CL_ELEMENTWISE) return NOREF;
    for (int i = 0; i < n.nargs; i++) {
        const Node *a = &f->g->node[n.args[i]];
        if (!splat_value(f->g, n.args[i], NULL)) return NOREF;
        args[i] = (Tensor){type_scalar(a->type.dtype), (void *)(uintptr_t)a->value->data};
    }
    int64_t buffer = 0;
    Tensor out = {type_scalar(n.type.dtype), &buffer};
    eval_node(n.op, n.attr, NULL, n.nargs, args, &out);
    return splat_resize(f->g, graph_const(f->g, out.type, &buffer), n.type);
}

Ref fold_settle(Fold *f, Ref r)
{
    if (!fold_known(f, r)) return r;
    Ref splat = fold_splats(f, r);
    if (splat != NOREF) return splat;
    if (!worth_storing(f, r)) return r;
    Cost c = cost_of(f, r);
    if (c.bytes > FOLD_SCRATCH_BYTES || c.work > f->work) return r;
    f->work -= c.work;
    return store(f, r);
}

/* ---- the pass ---- */

static void count_uses(const Graph *src, const bool *live, uint32_t *uses)
{
    for (Ref r = 0; r < src->n; r++)
        for (int i = 0; live[r] && i < src->node[r].nargs; i++) uses[src->node[r].args[i]]++;
    for (uint32_t i = 0; i < src->nout; i++) uses[src->out[i].ref]++;
}

static Ref fold_one(Fold *f, const Graph *src, Ref r, const Ref *map)
{
    Ref made = graph_copy(f->g, src, r, map);
    graph_take_origin(f->g, src, r);
    made = fold_settle(f, made);
    for (Ref better = made; better != NOREF; better = fold_scale(f, made)) made = better;
    return made;
}

Graph *pass_fold(Arena *a, const Graph *src)
{
    Ref *map;
    Fold f = {.g = rebuild_start(a, src, &map), .temp = arena_new()};
    f.kept = FOLD_KEPT_BYTES;
    f.work = FOLD_MULTIPLY_ADDS;
    err_defer(release, f.temp);
    const bool *live = live_nodes(a, src);
    uint32_t *uses = NEW_N(f.temp, uint32_t, src->n + 1);
    count_uses(src, live, uses);
    for (Ref r = 0; r < src->n; r++) {
        if (!live[r]) continue;
        map[r] = fold_one(&f, src, r, map);
        *fold_uses(&f, map[r]) += uses[r];
    }
    rebuild_outputs(f.g, src, map);
    Graph *out = pass_dce(a, f.g);
    err_keep(f.temp);
    arena_free(f.temp);
    return out;
}
