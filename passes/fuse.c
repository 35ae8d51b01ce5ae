/* SPDX-License-Identifier: Apache-2.0 */
/* Fusion: which nodes share a kernel. Views, joins and sources melt into loads, and so do values
 * that remake.c chooses, after a first fusion, for the second. A heavy node
 * (reduce, contract, scatter) opens a group; an elementwise node joins the latest group among its
 * operands if it reads that group only at its own index; otherwise it opens a group. Since groups
 * are numbered in order of opening and a member depends only on groups up to its own, running them
 * in that order is right and no cycle can arise. An elementwise group with one consumer is
 * recomputed there instead of stored when that is cheap. Values that a claimed contraction reads
 * must be in memory: a view or an input gets a copy group. */
#include <string.h>

#include "lowering.h"

static bool is_heavy(const Node *n)
{
    OpClass c = op_info[n->op].cls;
    return c == CL_REDUCE || c == CL_CONTRACT || n->op == OP_scatter_add;
}

bool fuse_melts(const Lowering *l, Ref r)
{
    return target_reads_bf16(l->target) && widens_bf16(l->g, &l->g->node[r]);
}

static bool is_elementwise(const Lowering *l, Ref r)
{
    const Node *n = &l->g->node[r];
    return (op_info[n->op].cls == CL_ELEMENTWISE && !fuse_melts(l, r)) || n->op == OP_rng;
}

bool fuse_costly(Op op)
{
    static const bool costly[OP_COUNT] = {
        [OP_exp] = true, [OP_log] = true, [OP_log1p] = true, [OP_tanh] = true, [OP_erf] = true,
        [OP_pow] = true, [OP_div] = true, [OP_sqrt] = true,  [OP_rng] = true};
    return costly[op];
}

/* ---- facts ---- */

static void mark_live(Lowering *l)
{
    const Graph *g = l->g;
    for (uint32_t i = 0; i < g->nout; i++) l->live[g->out[i].ref] = true;
    for (Ref r = g->n; r-- > 0;)
        if (l->live[r])
            for (int a = 0; a < g->node[r].nargs; a++) l->live[g->node[r].args[a]] = true;
}

/* A value that depends on an input has the samples along axis 0, as passes/batch has proved; in a
 * program of an exact shape, which it has not, axis 0 may be anything if its extent says so. */
static void mark_batched(Lowering *l)
{
    bool *depends = NEW_N(l->arena, bool, l->g->n + 1);
    for (Ref r = 0; r < l->g->n; r++) {
        const Node *n = &l->g->node[r];
        depends[r] = n->op == OP_rng || (n->op == OP_input && n->type.rank > 0);
        for (int a = 0; a < n->nargs; a++) depends[r] |= depends[n->args[a]];
        l->batched[r] = depends[r] && n->type.rank > 0 && n->type.dim[0] == l->prog->slots;
    }
}

/* ---- opening and joining groups ---- */

static int open_group(Lowering *l, Ref root)
{
    GROW(l->arena, l->group, l->ngroup, l->group_cap);
    Group *gr = &l->group[l->ngroup];
    *gr = (Group){.root = root, .heavy = NOREF, .packed_to = -1, .weights = -1, .transforms = -1};
    gr->operand[0] = gr->operand[1] = -1;
    gr->offer.claim = -1;
    gr->contract.op = OP_COUNT;
    return (int)l->ngroup++;
}

static void append(Lowering *l, int group, Ref r)
{
    Group *gr = &l->group[group];
    GROW(l->arena, gr->member, gr->nmember, gr->cap);
    gr->member[gr->nmember++] = r;
}

static void join(Lowering *l, int group, Ref r)
{
    append(l, group, r);
    l->group_of[r] = group;
    l->dep[r] = group;
}

static int operands_dep(const Lowering *l, const Node *n)
{
    int d = -1;
    for (int a = 0; a < n->nargs; a++)
        if (l->dep[n->args[a]] > d) d = l->dep[n->args[a]];
    return d;
}

/* Do all operands of n lie in the group at n's own index or come before it? Those made anew are
 * read at it. */
static bool reads_at_own(const Lowering *l, const Node *n, int group, bool *direct)
{
    for (int a = 0; a < n->nargs; a++) {
        Ref arg = n->args[a];
        if (l->group_of[arg] == group)
            *direct = true;
        else if (l->remade[arg] || fuse_melts(l, arg)
                     ? !reads_at_own(l, &l->g->node[arg], group, direct)
                     : l->dep[arg] >= group)
            return false;
    }
    return true;
}

static int joinable(const Lowering *l, Ref r)
{
    const Node *n = &l->g->node[r];
    int latest = operands_dep(l, n);
    bool direct = false;
    if (latest < 0 || l->group[latest].copy || n->op == OP_rng) return -1;
    if (!reads_at_own(l, n, latest, &direct)) return -1;
    const Group *gr = &l->group[latest];
    if (l->most[gr->root] && gr->nmember >= l->most[gr->root]) return -1;
    if (!direct || !type_same_dims(n->type, l->g->node[l->group[latest].root].type)) return -1;
    return latest;
}

/* r must exist in memory before the group opened next. */
static void materialise(Lowering *l, Ref r)
{
    if (l->group_of[r] >= 0) return;
    int gr = open_group(l, r);
    l->group[gr].copy = true;
    join(l, gr, r);
    l->stored[r] = true;
}

static bool usable_in_place(const Lowering *l, Ref data, const Layout *need)
{
    if (l->group_of[data] >= 0) return true;
    if (l->g->node[data].op != OP_input || l->bound[data] < 0) return false;
    const Buffer *b = &l->prog->buffer[l->bound[data]];
    if (b->kind != BUF_STATE) return false;
    return b->layout.ndigit == 0 || layout_covers(&b->layout, need); /* 0 digits: still open */
}

/* The group that computes a value again: one for all claims behind the pause. */
static int place_again(Lowering *l, Ref value)
{
    for (uint32_t i = 0; i < l->ngroup; i++)
        if (l->group[i].again && l->group[i].root == value) return (int)i;
    int gr = open_group(l, value);
    l->group[gr].copy = l->group[gr].again = true;
    append(l, gr, value);
    return gr;
}

/* Returns the group that computes it again for this reader, or -1. */
static int place_data(Lowering *l, Ref data, const Layout *need, Ref reader)
{
    layout_need_halo(l, data, need);
    if (reader >= l->again[data]) return place_again(l, data);
    if (!usable_in_place(l, data, need)) materialise(l, data);
    return -1;
}

/* A sum over ranks is made in place, so its operand gets a copy that nobody else reads before. All
 * ranks must come to it the same number of times: a slot machine that deals samples does not. */
static void place_across(Lowering *l, Ref r)
{
    if (!l->prog->whole) err(l->prog->name, "allreduce belongs to programs that run whole batches");
    materialise(l, r);
    l->group[l->group_of[r]].across = true;
}

/* The group that copies weights into a claim's layout: one for all claims that want the same. It
 * gives the value to nobody else, so group_of is left alone. */
static int place_pack(Lowering *l, Ref weights, const Layout *layout)
{
    for (uint32_t i = 0; i < l->ngroup; i++)
        if (l->group[i].pack && l->group[i].root == weights &&
            layout_eq(&l->group[i].packed, layout))
            return (int)i;
    int gr = open_group(l, weights);
    l->group[gr].copy = l->group[gr].pack = true;
    l->group[gr].packed = *layout;
    append(l, gr, weights);
    return gr;
}

static int place_transform(Lowering *l, int pack, const Contract *c, const Offer *o)
{
    for (uint32_t i = 0; i < l->ngroup; i++) {
        const Group *g = &l->group[i];
        if (g->transform && g->weights == pack && g->contract.op == c->op &&
            layout_eq(&g->packed, &o->packed))
            return (int)i;
    }
    int gr = open_group(l, l->group[pack].root);
    l->group[gr].copy = l->group[gr].transform = true;
    l->group[gr].packed = o->packed;
    l->group[gr].weights = pack;
    l->group[gr].contract = *c;
    l->group[gr].offer = *o;
    return gr;
}

/* Everything that the claim reads, in its layouts; its own group is not there yet. */
static void place_operands(Lowering *l, Ref r, Group *claim)
{
    const Node *n = &l->g->node[r];
    const Contract *c = &claim->contract;
    Ref weights = contract_operand(l, c, &claim->offer, r, 1);
    Ref data = contract_operand(l, c, &claim->offer, r, 0);
    claim->operand[0] = place_data(l, data, &claim->offer.in, r);
    if (n->op == OP_conv_dw) {
        claim->operand[1] = place_data(l, weights, &claim->offer.w, r);
    } else if (!contract_weights(l, c, &claim->offer, r)) {
        claim->weights = place_pack(l, weights, &claim->offer.w);
        if (claim->offer.packed_bytes)
            claim->transforms = place_transform(l, claim->weights, &claim->contract, &claim->offer);
    }
}

static void place_heavy(Lowering *l, Ref r)
{
    Group claim = {.claimed = true, .weights = -1, .transforms = -1, .operand = {-1, -1}};
    bool claimed = contract_offer(l, r, &claim.contract, &claim.offer);
    if (claimed) place_operands(l, r, &claim);
    int gr = open_group(l, r);
    l->group[gr].heavy = r;
    if (claimed) {
        l->group[gr].claimed = true;
        l->group[gr].offer = claim.offer;
        l->group[gr].contract = claim.contract;
        l->group[gr].weights = claim.weights;
        l->group[gr].transforms = claim.transforms;
        memcpy(l->group[gr].operand, claim.operand, sizeof claim.operand);
    }
    join(l, gr, r);
}

static void place(Lowering *l, Ref r)
{
    const Node *n = &l->g->node[r];
    if (is_heavy(n)) {
        place_heavy(l, r);
    } else if (is_elementwise(l, r) && !l->remade[r]) {
        int gr = joinable(l, r);
        join(l, gr >= 0 ? gr : open_group(l, r), r);
    } else if (n->op == OP_allreduce) {
        place_across(l, r);
    } else {
        l->dep[r] = operands_dep(l, n);
        if (l->apart[r]) materialise(l, r);
    }
}

/* ---- leaves: what a value reads from memory ---- */

bool fuse_in_memory(const Lowering *l, Ref r, int own)
{
    int gr = l->group_of[r];
    if (gr < 0 || gr >= own || l->group[gr].melted) return false;
    return !l->group[own].again || l->group[own].root != r;
}

void fuse_leaves(const Lowering *l, Ref r, int own, void (*fn)(void *, Ref), void *arg)
{
    const Node *n = &l->g->node[r];
    int gr = l->group_of[r];
    if (fuse_in_memory(l, r, own)) {
        fn(arg, r);
        return;
    }
    if (n->op == OP_input) fn(arg, r);
    for (int a = 0; a < n->nargs; a++)
        if (l->group_of[n->args[a]] != own || (gr != own && !l->remade[r]))
            fuse_leaves(l, n->args[a], own, fn, arg);
}

static void stored_leaf(void *arg, Ref r)
{
    ((Lowering *)arg)->stored[r] = true;
}

static void mark_stored(Lowering *l)
{
    for (uint32_t i = 0; i < l->ngroup; i++) {
        Group *gr = &l->group[i];
        for (uint32_t m = 0; m < gr->nmember && !gr->melted; m++)
            fuse_leaves(l, gr->member[m], (int)i, stored_leaf, l);
    }
}

/* ---- melting ---- */

typedef struct Consumers {
    const Lowering *l;
    int own, ngroup, first; /* groups that use the group's values */
    Ref used;               /* the one member used outside, NOREF if several */
    bool several;
    bool by_heavy; /* a heavy node itself reads it, not only its epilogue */
} Consumers;

/* Which groups read the group's members, directly or through views. user[r]: a bit of state a node.
 */
static void find_consumers(Lowering *l, int own, Consumers *c, bool *reach)
{
    const Graph *g = l->g;
    const Group *gr = &l->group[own];
    Ref from = gr->member[0];
    for (Ref r = from; r < g->n; r++) reach[r] = false;
    for (Ref r = from; r < g->n; r++) {
        if (!l->live[r]) continue;
        int mine = l->group_of[r];
        bool in = mine == own;
        for (int a = 0; a < g->node[r].nargs && !in; a++) {
            Ref arg = g->node[r].args[a];
            if (arg < from || !reach[arg]) continue;
            if (l->group_of[arg] == own) {
                c->several |= c->used != NOREF && c->used != arg;
                c->used = arg;
            }
            c->by_heavy |= mine >= 0 && r == l->group[mine].heavy;
            if (mine < 0) {
                in = true;
            } else if (c->first != mine) {
                c->ngroup += 1;
                c->first = mine;
            }
        }
        reach[r] = in;
    }
    for (uint32_t i = 0; i < g->nout; i++)
        if (g->out[i].ref >= from && reach[g->out[i].ref]) c->ngroup = 99;
}

static bool may_melt(Lowering *l, int own, bool *reach)
{
    Group *gr = &l->group[own];
    if (gr->heavy != NOREF || gr->copy) return false;
    Consumers c = {.l = l, .own = own, .first = -1, .used = NOREF};
    find_consumers(l, own, &c, reach);
    if (c.ngroup != 1 || c.several) return false;
    const Group *to = &l->group[c.first];
    Op heavy = to->heavy == NOREF ? OP_COUNT : l->g->node[to->heavy].op;
    bool contract = heavy != OP_COUNT && op_info[heavy].cls != CL_REDUCE;
    if (to->copy || (contract && c.by_heavy)) return false;
    int64_t mine = type_count(l->g->node[gr->root].type);
    int64_t space = type_count(l->g->node[to->root].type);
    if (heavy != OP_COUNT && c.by_heavy)
        space = type_count(l->g->node[l->g->node[to->heavy].args[0]].type);
    bool cheap = gr->nmember <= 4;
    for (uint32_t m = 0; m < gr->nmember; m++) cheap &= !fuse_costly(l->g->node[gr->member[m]].op);
    return cheap || (mine >= space && !contract && heavy != OP_fold && heavy != OP_scan);
}

/* From the last group to the first, so that chains melt into their final consumer. */
static void melt(Lowering *l)
{
    bool *reach = NEW_N(l->arena, bool, l->g->n + 1);
    for (uint32_t i = l->ngroup; i-- > 0;) l->group[i].melted = may_melt(l, (int)i, reach);
}

static bool is_io(const Lowering *l, const char *output)
{
    for (int i = 0; i < l->prog->nio; i++)
        if (l->prog->io[i].output && !strcmp(l->prog->io[i].name, output)) return true;
    return false;
}

/* The group that computes what r is a reshape of, if it can store r as well; or -1. Where slots are
 * axis 0 of both, or there is but one. */
static int makes_reshaped(const Lowering *l, Ref r)
{
    const Node *n = &l->g->node[r];
    if (n->op != OP_reshape || l->group_of[n->args[0]] < 0) return -1;
    const Node *of = &l->g->node[n->args[0]];
    int gr = l->group_of[n->args[0]];
    bool own = type_same_dims(of->type, l->g->node[l->group[gr].root].type);
    bool slots = of->type.rank > 0 && of->type.dim[0] == n->type.dim[0];
    return own && !l->group[gr].copy && (slots || l->prog->slots == 1) ? gr : -1;
}

/* An output that no group computes at its own index, or that is there only once ranks have summed
 * it, needs a copy group to be stored from. It comes last and gives the value to nobody else, so
 * group_of is left alone. */
static void place_outputs(Lowering *l)
{
    for (uint32_t i = 0; i < l->g->nout; i++) {
        Ref r = l->g->out[i].ref;
        const Node *n = &l->g->node[r];
        l->out_group[i] = l->group_of[r];
        if (l->group_of[r] >= 0 && n->op != OP_allreduce) continue;
        if (is_io(l, l->g->out[i].name)) l->out_group[i] = makes_reshaped(l, r);
        if (l->out_group[i] >= 0 && n->op != OP_allreduce) continue;
        if (n->op == OP_input && !strcmp(node_attr(n, "name")->s, l->g->out[i].name))
            continue; /* a state that does not change */
        int gr = l->out_group[i] = open_group(l, r);
        l->group[gr].copy = true;
        append(l, gr, r);
    }
}

static void fuse_once(Lowering *l)
{
    l->ngroup = 0;
    for (Ref r = 0; r < l->g->n; r++) {
        l->group_of[r] = l->dep[r] = -1;
        l->stored[r] = false;
    }
    for (Ref r = 0; r < l->g->n; r++)
        if (l->live[r]) place(l, r);
    place_outputs(l);
    melt(l);
    mark_stored(l);
}

static void fuse_to_fit(Lowering *l)
{
    do fuse_once(l);
    while (fuse_narrow(l));
}

void lower_fuse(Lowering *l)
{
    mark_live(l);
    mark_batched(l);
    lower_flat_joins(l);
    fuse_to_fit(l);
    if (lower_remake(l)) fuse_to_fit(l);
    l->again_all = lower_again(l, l->again_most);
    if (l->again_all && l->again_most) fuse_to_fit(l);
}
