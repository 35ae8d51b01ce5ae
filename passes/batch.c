/* SPDX-License-Identifier: Apache-2.0 */
/* From one sample to b. Each value is either shared (it does not depend on an input) or
 * sampled: then its first axis, of extent 1 in the graph that is read, is the sample axis, and
 * sample i of it depends on sample i of the inputs only. A rule for each shape rule of ops.def
 * proves this for a result, given that it holds for the operands, and rebinds the attributes
 * that hold the batch extent; a rule that cannot says why. A shared operand that meets a
 * sampled one is broadcast, never copied. */
#include "passes/passes.h"
#include "passes/rewrite.h"

#include "ir/build.h"

#include <string.h>

typedef struct Batch {
    const Graph *src;
    Graph *g;
    int64_t b;
    Ref *map;
    bool *sampled; /* by ref of src */
    Ref at;        /* the node of src at hand */
    const Node *n; /* the same */
    Attr attr[MAX_ATTRS];
} Batch;

static _Noreturn void coupled(const Batch *p, const char *why)
{
    err(origin_name(p->src, p->at), "samples are not independent: %s; use --batch none", why);
}

/* ---- operands ---- */

static bool sampled(const Batch *p, int i)
{
    return p->sampled[p->n->args[i]];
}

static Type old_type(const Batch *p, int i)
{
    return p->src->node[p->n->args[i]].type;
}

static Ref shared_or_sampled(const Batch *p, int i)
{
    return p->map[p->n->args[i]];
}

/* Operand i with the sample axis of extent b, whether or not it depends on the sample. */
static Ref each_sample(const Batch *p, int i)
{
    Ref x = shared_or_sampled(p, i);
    Type t = p->g->node[x].type;
    if (sampled(p, i)) return x;
    if (t.rank == 0 || t.dim[0] != 1) coupled(p, "an operand has other leading extents");
    t.dim[0] = p->b;
    return b_broadcast(p->g, x, t.rank, t.dim);
}

/* The node again with these operands and p->attr. */
static Ref again(const Batch *p, const Ref *args)
{
    return graph_node(p->g, p->n->op, p->n->nargs, args, p->attr);
}

static Ref again_each(const Batch *p)
{
    Ref args[MAX_ARGS];
    for (int i = 0; i < p->n->nargs; i++) args[i] = each_sample(p, i);
    return again(p, args);
}

static Ref again_mixed(const Batch *p)
{
    Ref args[MAX_ARGS];
    for (int i = 0; i < p->n->nargs; i++) args[i] = shared_or_sampled(p, i);
    return again(p, args);
}

/* ---- sources and elementwise ---- */

static Ref batch_typed(Batch *p)
{
    Attr *shape = &p->attr[2];
    if (shape->n && shape->i[0] != 1)
        err(p->attr[0].s, "the leading extent of an input must be 1 to be rebound, not %lld",
            (long long)shape->i[0]);
    if (shape->n) shape->i[0] = p->b;
    return again(p, NULL);
}

static Ref batch_rng(Batch *p)
{
    if (sampled(p, 0)) coupled(p, "the seed of the generator differs by sample");
    return again(p, (Ref[]){shared_or_sampled(p, 0), each_sample(p, 1), each_sample(p, 2)});
}

static Ref batch_elementwise(Batch *p)
{
    if (p->n->op == OP_allreduce) coupled(p, "allreduce adds what other ranks hold");
    return again_each(p);
}

/* ---- views and joins ---- */

static Ref batch_reshape(Batch *p)
{
    Attr *shape = &p->attr[0];
    if (shape->n == 0 || shape->i[0] != 1) coupled(p, "reshape mixes the sample axis with others");
    shape->i[0] = p->b;
    return again_each(p);
}

static Ref batch_transpose(Batch *p)
{
    if (p->attr[0].i[0] != 0) coupled(p, "transpose moves the sample axis");
    return again_each(p);
}

static Ref batch_broadcast(Batch *p)
{
    if (p->attr[0].i[0] != 1) coupled(p, "broadcast repeats the sample axis");
    p->attr[0].i[0] = p->b;
    return again_each(p);
}

static Ref batch_slice(Batch *p)
{
    p->attr[1].i[0] = p->b; /* all that an extent of 1 leaves to choose is the step */
    p->attr[2].i[0] = 1;
    return again_each(p);
}

static Ref batch_pad(Batch *p)
{
    if (p->attr[0].i[0] || p->attr[1].i[0]) coupled(p, "pad adds samples");
    p->attr[2].i[0] = 0;
    return again_each(p);
}

static Ref batch_reverse(Batch *p)
{
    if (has_axis(&p->attr[0], 0)) coupled(p, "reverse of the sample axis");
    return again_each(p);
}

static Ref batch_window(Batch *p)
{
    if (old_type(p, 0).rank == p->attr[0].n) coupled(p, "windows over the sample axis");
    return again_each(p);
}

static Ref batch_fold(Batch *p)
{
    if (old_type(p, 0).rank == 2 * p->attr[0].n) coupled(p, "fold over the sample axis");
    return again_each(p);
}

/* Of the attributes of concat, scan and argsort, axis comes first. */
static Ref batch_concat(Batch *p)
{
    if (p->attr[0].i[0] == 0) coupled(p, "an operation along the sample axis");
    return again_each(p);
}

/* ---- reductions ---- */

static Ref batch_reduce(Batch *p)
{
    if (has_axis(&p->attr[0], 0)) coupled(p, "a reduction over the sample axis");
    return again_each(p);
}

/* ---- contractions ---- */

static Ref batch_matmul(Batch *p)
{
    if (old_type(p, 0).rank > 2) return again_each(p);
    if (sampled(p, 1)) coupled(p, "matmul contracts the sample axis");
    return again_mixed(p);
}

static Ref batch_conv(Batch *p)
{
    if (sampled(p, 1)) coupled(p, "the weights of a convolution depend on the sample");
    return again_mixed(p);
}

static Ref batch_conv_dw(Batch *p)
{
    coupled(p, "a gradient of weights sums over samples");
}

/* ---- index ---- */

/* Without batch axes either the data or, along axis 0, the indices may be sampled, not both. */
static Ref batch_gather(Batch *p)
{
    int64_t axis = p->attr[0].i[0], batch = p->attr[1].i[0];
    if (batch > 0) return again_each(p);
    if (sampled(p, 0) && sampled(p, 1)) coupled(p, "gather picks from other samples");
    if (sampled(p, 0) && axis == 0) coupled(p, "gather along the sample axis");
    if (sampled(p, 1) && axis != 0) coupled(p, "the indices move the sample axis");
    return again_mixed(p);
}

static Ref batch_scatter_add(Batch *p)
{
    int64_t axis = p->attr[0].i[0], batch = p->attr[1].i[0];
    if (batch > 0) return again_each(p);
    if (sampled(p, 1) || axis == 0) coupled(p, "scatter_add adds up samples");
    return again_mixed(p);
}

/* ---- the table: a rule for each shape rule ---- */

#define batch_unary batch_elementwise
#define batch_unary_float batch_elementwise
#define batch_logic batch_elementwise
#define batch_cast batch_elementwise
#define batch_binary batch_elementwise
#define batch_binary_float batch_elementwise
#define batch_compare batch_elementwise
#define batch_select batch_elementwise
#define batch_argmax batch_reduce
#define batch_scan batch_concat
#define batch_argsort batch_concat
#define batch_conv_dx batch_conv
#define batch_const NULL /* without operands: shared */
#define batch_iota NULL
static Ref (*const rules[OP_COUNT])(Batch *) = {
#define OP(name, nargs, cls, shape, ...) [OP_##name] = batch_##shape,
#include "ir/ops.def"
#undef OP
};

static bool depends_on_sample(const Batch *p)
{
    if (p->n->op == OP_input) return p->n->type.rank > 0;
    for (int i = 0; i < p->n->nargs; i++)
        if (sampled(p, i)) return true;
    return false;
}

static void batch_node(Batch *p, Ref r)
{
    p->at = r;
    p->n = &p->src->node[r];
    p->sampled[r] = depends_on_sample(p);
    if (!p->sampled[r]) {
        p->map[r] = graph_copy(p->g, p->src, r, p->map);
        return;
    }
    int nattr = op_info[p->n->op].nattr;
    if (nattr) memcpy(p->attr, p->n->attr, sizeof(Attr) * (size_t)nattr);
    graph_take_origin(p->g, p->src, r);
    p->map[r] = rules[p->n->op](p);
    check(p->n->type.rank > 0 && p->g->node[p->map[r]].type.dim[0] == p->b);
}

/* An output that no input reaches is the same for all samples, and each gets it. */
static Ref batch_output(const Batch *p, Ref r)
{
    Type t = p->src->node[r].type;
    if (p->sampled[r] || t.rank == 0 || t.dim[0] != 1) return p->map[r];
    t.dim[0] = p->b;
    return b_broadcast(p->g, p->map[r], t.rank, t.dim);
}

Graph *pass_batch(Arena *a, const Graph *src, int64_t b)
{
    Batch p = {.src = src, .b = b};
    if (b < 1) err(NULL, "a batch has at least one sample, not %lld", (long long)b);
    p.g = rebuild_start(a, src, &p.map);
    p.sampled = NEW_N(a, bool, src->n + 1);
    const bool *live = live_nodes(a, src);
    for (Ref r = 0; r < src->n; r++)
        if (live[r]) batch_node(&p, r);
    for (uint32_t i = 0; i < src->nout; i++)
        graph_output(p.g, src->out[i].name, batch_output(&p, src->out[i].ref));
    return p.g;
}
