/* SPDX-License-Identifier: Apache-2.0 */
/* Groups to kernels and calls. A kernel names parameters, not buffers, so that equal layers share
 * one: a module keeps a kernel once, found by its text. */
#include <string.h>

#include "lowering.h"

/* ---- parameters ---- */

int body_param_as(Body *b, int buffer, const Layout *layout, bool out)
{
    const Buffer *buf = &b->l->prog->buffer[buffer];
    int p = 0;
    while (p < b->k->nparam && b->buf[p] != buffer) p++;
    if (p == b->k->nparam) {
        KParam kp = {.dtype = buf->dtype,
                     .layout = *layout,
                     .sample =
                         buf->sample && layout->digit[0].extent == buf->layout.digit[0].extent,
                     .io = buf->kind == BUF_IO || buf->kind == BUF_HYPER};
        if (p == MAX_PARAMS)
            err(b->l->prog->name, "a fused kernel needs more than %d buffers", MAX_PARAMS);
        p = kernel_param(b->k, kp);
        b->buf[p] = buffer;
    }
    if (out)
        b->k->param[p].out = true;
    else
        b->k->param[p].in = true;
    return p;
}

int body_param(Body *b, int buffer, bool out)
{
    return body_param_as(b, buffer, &b->l->prog->buffer[buffer].layout, out);
}

/* ---- one kernel ---- */

static void open_axes(Body *b, Type t, bool sample)
{
    static const char *const image[] = {"n", "c", "h", "w"};
    static const char *const plain[] = {"i0", "i1", "i2", "i3", "i4", "i5", "i6", "i7"};
    b->rank = t.rank;
    for (int d = 0; d < t.rank; d++) {
        const char *name = t.rank == 4 ? image[d] : plain[d];
        bool s = d == 0 && sample;
        b->axis[d] = kx_axis(b->k, kernel_axis(b->k, name, AX_SEQ, t.dim[d], s));
    }
}

/* Axes over a run of a concatenation; its space is still all of the concatenation. */
static void open_run(Body *b, const Node *n, const Run *run, bool sample)
{
    int axis = (int)node_int(n, "axis");
    Type part = n->type;
    part.dim[axis] = run->to - run->from;
    if (run->of == NOREF) {
        open_axes(b, part, sample);
    } else {
        KRef at[MAX_RANK];
        Type of = b->l->g->node[run->of].type;
        open_axes(b, of, sample);
        body_reshaped(b, of, b->axis, part, at);
        memcpy(b->axis, at, sizeof at);
        b->rank = part.rank;
    }
    b->axis[axis] = kx_addc(b->k, b->axis[axis], run->from);
    b->flat = run->flat;
}

/* Weights as the kernel's definition reads them: packed as the claim asked for, unless the claim
 * has a transformed copy of its own. */
int claim_weights(Lowering *l, const Group *gr)
{
    if (gr->weights >= 0) return l->group[gr->weights].packed_to;
    const Const *w = contract_weights(l, &gr->contract, &gr->offer, gr->heavy);
    return gr->offer.packed_bytes ? buffer_definition(l, w, &gr->offer.w)
                                  : buffer_const(l, w, &gr->offer.w);
}

static int scratch_buffer(Lowering *l, int64_t bytes)
{
    int64_t cells = (bytes + 3) / 4;
    Layout lay = layout_plain(type_of(DT_F32, 1, &cells));
    return buffer_add(l->module->arena, l->prog,
                      (Buffer){.kind = BUF_SCRATCH,
                               .dtype = DT_F32,
                               .layout = lay,
                               .bytes = 4 * cells,
                               .name = "scratch"});
}

static int transformed(Lowering *l, const Group *gr)
{
    if (gr->transforms >= 0) return l->group[gr->transforms].packed_to;
    const Const *w = contract_weights(l, &gr->contract, &gr->offer, gr->heavy);
    return buffer_packed(l, w, &gr->contract, &gr->offer);
}

static int data_buffer(const Body *b, const Group *gr, int which, Ref data)
{
    if (gr->operand[which] >= 0) return b->l->group[gr->operand[which]].packed_to;
    return fuse_in_memory(b->l, data, b->group) ? b->l->buffer_of[data] : b->l->bound[data];
}

/* A claim reads its operands whole; they are parameters of the kernel in the layouts it asked for.
 */
static void bind_claim(Body *b, const Group *gr)
{
    const Node *n = &b->l->g->node[gr->heavy];
    bool dw = n->op == OP_conv_dw;
    Ref data = contract_operand(b->l, &gr->contract, &gr->offer, gr->heavy, 0);
    b->k->contract = gr->contract;
    b->k->offer = gr->offer;
    b->k->data_param = body_param(b, data_buffer(b, gr, 0, data), false);
    int second = dw ? data_buffer(b, gr, 1, n->args[1]) : claim_weights(b->l, gr);
    b->k->weight_param = body_param(b, second, false);
    if (gr->offer.packed_bytes) b->k->packed_param = body_param(b, transformed(b->l, gr), false);
    if (gr->offer.scratch_bytes)
        b->k->scratch_param = body_param(b, scratch_buffer(b->l, gr->offer.scratch_bytes), true);
}

/* As a tensor of its own, which may be a reshape of what the group makes. */
static void body_store(Body *b, Type space, Ref r, int buffer)
{
    const Node *n = &b->l->g->node[r];
    bool own = type_same_dims(n->type, space);
    KRef v = body_value(b, own ? r : n->args[0], b->axis, NOK);
    if (b->k->nstore == MAX_STORES)
        err(b->l->prog->name, "a fused kernel stores more than %d values", MAX_STORES);
    KStore *s = &b->k->store[b->k->nstore++];
    *s = (KStore){.param = body_param(b, buffer, true), .rank = n->type.rank, .value = v};
    body_reshaped(b, space, b->axis, n->type, s->index);
}

static void body_stores(Body *b, Type space, const Dests *d)
{
    for (uint32_t i = 0; i < d->n; i++) body_store(b, space, d->dest[i].node, d->dest[i].buffer);
}

static const char *group_name(Lowering *l, const Group *gr)
{
    const char *last = op_info[l->g->node[gr->member[gr->nmember - 1]].op].name;
    if (gr->pack) return "pack";
    if (gr->copy)
        return arena_printf(l->module->arena, "%s_%s", gr->again ? "again" : "copy", last);
    if (gr->heavy == NOREF) return arena_printf(l->module->arena, "map_%s", last);
    const char *heavy = op_info[l->g->node[gr->heavy].op].name;
    return gr->nmember == 1 ? heavy : arena_printf(l->module->arena, "%s_%s", heavy, last);
}

/* Of a kernel over the axes of `space`. */
static bool stores_samples(const Lowering *l, Type space, const Dests *d)
{
    for (uint32_t i = 0; i < d->n; i++) {
        Type t = l->g->node[d->dest[i].node].type;
        bool first = space.rank > 0 && t.rank > 0 && t.dim[0] == space.dim[0];
        if (first && l->prog->buffer[d->dest[i].buffer].sample) return true;
    }
    return false;
}

/* ---- equal kernels ---- */

int module_kernel(Module *m, Kernel *k)
{
    const char *name = k->name;
    Str text = {0};
    k->name = "";
    kernel_print(&text, k);
    for (int i = 0; i < m->nkernel; i++) {
        if (!strcmp(m->kernel_text[i], text.s)) {
            str_free(&text);
            return i;
        }
    }
    k->name = arena_printf(m->arena, "k%d_%s", m->nkernel, name);
    uint32_t n = (uint32_t)m->nkernel, cap = m->kernel_cap;
    GROW(m->arena, m->kernel, n, m->kernel_cap);
    GROW(m->arena, m->kernel_text, n, cap);
    m->kernel_text[n] = arena_strdup(m->arena, text.s);
    m->kernel[n] = k;
    str_free(&text);
    return m->nkernel++;
}

/* ---- calls ---- */

void lower_call(Lowering *l, Kernel *k, const Body *b, Ref about, const Ref *value)
{
    Arena *a = l->module->arena;
    Call c = {
        .kernel = module_kernel(l->module, k), .nbuf = k->nparam, .nvalue = value ? k->nstore : 0};
    c.buf = arena_dup(a, b->buf, sizeof b->buf[0] * (size_t)k->nparam);
    c.value = arena_dup(a, value, sizeof *value * (size_t)c.nvalue);
    Str where = {0};
    graph_origin_text(l->g, about, &where);
    c.origin = arena_strdup(a, where.s ? where.s : "");
    str_free(&where);
    for (int p = 0; p < k->nparam; p++) {
        Buffer *buf = &l->prog->buffer[b->buf[p]];
        c.bytes += call_traffic(k, p, buf);
        if (buf->kind == BUF_TEMP) {
            buf->last = l->phase->ncall;
            buf->first = buf->first < 0 ? buf->last : buf->first;
        }
    }
    uint32_t n = (uint32_t)l->phase->ncall;
    GROW(a, l->phase->call, n, l->call_cap);
    l->phase->call[l->phase->ncall++] = c;
}

Kernel *body_kernel(Lowering *l, Body *b, int group, const char *name)
{
    *b = (Body){.l = l,
                .k = kernel_new(l->module->arena),
                .group = group,
                .heavy_value = NOK,
                .flat = NOREF};
    b->k->name = name;
    b->k->contract.op = OP_COUNT;
    b->k->offer.claim = -1;
    b->k->heavy = NOK;
    b->k->data_param = b->k->weight_param = -1;
    return b->k;
}

/* Multiply-adds of a slot. Where the slots' samples are not its axis 0 a kernel runs for all. */
static double slot_macs(const Lowering *l, const Group *gr)
{
    if (gr->heavy == NOREF || op_info[l->g->node[gr->heavy].op].cls != CL_CONTRACT) return 0;
    const Node *n = &l->g->node[gr->heavy];
    bool filled = l->macs && l->macs[gr->heavy] > 0;
    double each = filled ? l->macs[gr->heavy] : node_macs(l->g, gr->heavy);
    return l->batched[gr->heavy] ? each : each * (double)l->g->node[n->args[0]].type.dim[0];
}

/* run: NULL, or the part of a concatenation that this kernel copies. A value is there behind the
 * last of them. */
static void lower_part(Lowering *l, int i, const Dests *d, const Run *run, bool last)
{
    Group *gr = &l->group[i];
    const Node *root = &l->g->node[gr->root];
    Body b;
    Ref value[MAX_STORES];
    bool sample = l->batched[gr->root] || stores_samples(l, root->type, d);
    body_kernel(l, &b, i, group_name(l, gr));
    if (run)
        open_run(&b, root, run, sample);
    else
        open_axes(&b, root->type, sample);
    if (gr->claimed) bind_claim(&b, gr);
    if (gr->heavy != NOREF) b.heavy_value = b.k->heavy = body_heavy(&b, gr->heavy);
    body_stores(&b, root->type, d);
    for (uint32_t s = 0; s < d->n; s++) value[s] = d->dest[s].node;
    Arena *a = l->module->arena;
    Kernel *k = gr->pack ? lower_schedule_pack(a, l->target, b.k, &gr->packed)
                         : lower_schedule(a, l->target, b.k);
    lower_call(l, k, &b, gr->heavy != NOREF ? gr->heavy : gr->root, last ? value : NULL);
    Call *c = &l->phase->call[l->phase->ncall - 1];
    c->macs = slot_macs(l, gr);
    c->across = gr->across && last;
}

static void lower_group(Lowering *l, int i, const Dests *d)
{
    Run *run;
    uint32_t n = lower_runs(l, i, &run);
    if (!n) lower_part(l, i, d, NULL, true);
    for (uint32_t k = 0; k < n; k++) lower_part(l, i, d, &run[k], k + 1 == n);
}

/* The copy that brings a waiting state home. */
static void lower_state_copy(Lowering *l, const StateCopy *c)
{
    Body b;
    body_kernel(l, &b, -1, "copy_state");
    open_axes(&b, l->g->node[c->node].type, true);
    KStore *s = &b.k->store[b.k->nstore++];
    s->value = kx_load(b.k, body_param(&b, c->from, false), b.rank, b.axis, NOK, 0);
    s->param = body_param(&b, c->to, true);
    s->rank = b.rank;
    memcpy(s->index, b.axis, sizeof s->index);
    lower_call(l, lower_schedule(l->module->arena, l->target, b.k), &b, c->node, &c->node);
}

void lower_kernels(Lowering *l)
{
    StateCopy late[64];
    int nlate = 0;
    if (l->g->nout > (uint32_t)COUNT(late)) die("more outputs than a phase can have");
    Dests *dests = lower_dests(l, late, &nlate);
    for (uint32_t i = 0; i < l->ngroup; i++)
        if (l->group[i].transform)
            lower_transform(l, &l->group[i]);
        else if (!l->group[i].melted && dests[i].n)
            lower_group(l, (int)i, &dests[i]);
    for (int i = 0; i < nlate; i++) lower_state_copy(l, &late[i]);
}
