/* SPDX-License-Identifier: Apache-2.0 */
/* The claim of winodw.h. Tiles are counted over samples, rows and columns; a block of them goes
 * through three stages, each a function, with memory in the scratch that stays in the L2 cache:
 *
 *   data, spread  patches of x, tiles of dy -> [plane] [channel / V] [tile of block] [V]
 *   products      [plane] [piece] [s] [c] [V] += their products, summed over the block
 *
 * Planes may be made in up to three parts, one after the other, so that a block of more tiles fits,
 * all tiles maybe, and the patches are read once more for each. With few channels a part of a short
 * block stays in the nearest cache together with its sums: a run of short blocks goes through one
 * part before its next, while the L2 cache still has its patches.
 *
 * After the last block the sums become the results:
 *
 *   results       sums -> 3x3 of a channel of dy and a vector of x's, and the epilogue
 *
 * An element's sum: within a block tile by tile, from 0; then block by block, of a run of short
 * blocks from 0; then run by run. The block fixes it: neither parts, a piece's place in a slab nor
 * the number of threads enters. */
#include "winodwemit.h"

#include <stdio.h>

enum { N_SCALARS, N_VECTORS, N_SLAB, N_SLAB_Y, N_BLOCK, N_FORM, N_PARTS }; /* Offer.number */

/* ---- the bid ---- */

static bool forward_shape(const Contract *c, TapShape *s)
{
    Contract forward = *c;
    forward.op = OP_conv;
    return c->op == OP_conv_dw && !c->bf16 && tap_shape(&forward, s);
}

/* Of the scratch, in elements: planes of x, of dy, of the sums. */
static void plane_sizes(const WinoDwShape *d, const WinoDwPlan *p, int lanes, int64_t plane[3])
{
    plane[0] = wino_plane_of(p->xs * lanes, p->block);
    plane[1] = wino_plane_of(p->ys * lanes, p->block);
    plane[2] = wino_plane_of(d->slab * p->s * p->c * lanes, 1);
}

static void dw_bid(const Target *t, const Contract *c, const TapShape *s, const WinoDwPlan *p,
                   Offer *o)
{
    const WinoForm *f = &wino_forms[p->form];
    int lanes = target_lanes(t, c->dtype);
    WinoDwShape d = winodw_shape(s, p, lanes);
    int64_t low[2], high[2], tiles[2], plane[3];
    wino_halo(s, f, low, high);
    o->in = layout_blocked(tap_data(c, s), lanes, low, high);
    wino_tiles(s, f, tiles);
    for (int i = 0; i < 2; i++) low[i] = 0, high[i] = tiles[i] * f->out - s->result[i];
    o->w = layout_blocked(tap_result(c, s), lanes, low, high);
    Type w = type_of(c->dtype, 4, (int64_t[]){c->oc, c->ic, c->kh, c->kw});
    o->out = layout_blocked(w, lanes, NULL, NULL);
    o->vec_dim = 1;
    o->lanes = lanes;
    plane_sizes(&d, p, lanes, plane);
    int64_t part = wino_planes(f) / p->parts, all = c->batch * tiles[0] * tiles[1];
    int64_t kept = winodw_run(p, all) > 1 ? part : 0;
    o->scratch_bytes = 4 * (part * (plane[0] + plane[1]) + (wino_planes(f) + kept) * plane[2]);
    o->number[N_SCALARS] = p->s;
    o->number[N_VECTORS] = p->c;
    o->number[N_BLOCK] = p->block;
    o->number[N_SLAB] = p->xs;
    o->number[N_SLAB_Y] = p->ys;
    o->number[N_FORM] = p->form;
    o->number[N_PARTS] = p->parts;
}

static WinoDwPlan plan_of(const int64_t *number)
{
    return (WinoDwPlan){.s = number[N_SCALARS],
                        .c = number[N_VECTORS],
                        .block = number[N_BLOCK],
                        .xs = number[N_SLAB],
                        .ys = number[N_SLAB_Y],
                        .form = number[N_FORM],
                        .parts = number[N_PARTS]};
}

static bool winodw_fits(const Target *t, const Contract *c, const TapShape *s)
{
    return wino_fits(t, c, s) && wino_form_fits(&wino_forms[0], s);
}

bool winodw_offer(const Target *t, const Contract *c, Offer *o)
{
    TapShape s;
    WinoDwPlan p;
    if (!forward_shape(c, &s) || !winodw_fits(t, c, &s)) return false;
    if (!winodw_plan(t, c, &s, &p, &o->cost)) return false;
    dw_bid(t, c, &s, &p, o);
    return true;
}

const PlanField winodw_fields[] = {{.name = "form", N_FORM, 1, 1, "42", true},
                                   {.name = "tile", N_SCALARS, 2, 16},
                                   {.name = "slab", N_SLAB, 2, 32},
                                   {.name = "block", N_BLOCK, 1, 128, .bits = true},
                                   {.name = "parts", N_PARTS, 1, WINODW_PARTS},
                                   {.name = NULL}};

bool winodw_fit(const Target *t, const Contract *c, Offer *o, char *why)
{
    TapShape s;
    WinoDwPlan p = plan_of(o->number);
    if (!forward_shape(c, &s) || !winodw_fits(t, c, &s)) {
        snprintf(why, PLAN_WHY, "winograd wants a 3x3 kernel, stride 1, f32, whole vectors%s",
                 t->winograd ? "" : ", and not --winograd off");
        return false;
    }
    if (!winodw_plan_fit(t, c, &s, &p, &o->cost, why)) return false;
    dw_bid(t, c, &s, &p, o);
    return true;
}

/* ---- what the emitter knows ---- */

static WinoDw read_kernel(Walk *w)
{
    const Kernel *k = w->k;
    TapShape s;
    int64_t plane[3], none[2] = {0, 0};
    WinoDwPlan p = plan_of(k->offer.number);
    check(forward_shape(&k->contract, &s) && k->weight_param >= 0);
    WinoDw d = {.p = p, .shape = winodw_shape(&s, &p, k->offer.lanes)};
    d.e = wino_emit(w, &s, &(WinoPlan){.t = p.s, .c = p.c, .block = p.block, .form = p.form});
    d.y = wino_patches(&d.e, k->weight_param, none);
    d.y.size = d.e.f->out;
    d.y.line = d.e.f->spread;
    plane_sizes(&d.shape, &p, d.e.lanes, plane);
    d.e.in.plane = plane[0];
    d.y.plane = plane[1];
    d.sum_plane = plane[2];
    d.y.planes = wino_planes(d.e.f) / p.parts * plane[0];
    d.sum_planes = wino_planes(d.e.f) / p.parts * (plane[0] + plane[1]);
    d.near = d.e.in.near = d.y.near = winodw_near(w->target, &p, d.e.lanes);
    if (p.parts > 1) d.e.in.parts = d.y.parts = (int)p.parts;
    d.kept_planes = d.sum_planes + wino_planes(d.e.f) * plane[2];
    d.tiles = k->contract.batch * d.e.tiles[0] * d.e.tiles[1];
    d.run = winodw_run(&p, d.tiles);
    return d;
}

WinoReach winodw_reach(const WinoDw *d, Walk *w, Slice pieces)
{
    const WinoDwShape *h = &d->shape;
    int64_t lanes = d->e.lanes, blocks = d->p.ys;
    WinoReach r = {.pieces = pieces, .groups = slice_outer(w, pieces, h->parts)};
    LLVMValueRef first = tile_affine(w, r.groups.from, h->parts, 0);
    LLVMValueRef last = tile_affine(w, r.groups.from, 1, 1), zero = walk_i64(w, 0);
    LLVMValueRef one = LLVMBuildICmp(w->b, LLVMIntEQ, r.groups.to, last, "");
    LLVMValueRef from = LLVMBuildSub(w->b, pieces.from, first, "");
    LLVMValueRef to = LLVMBuildSub(w->b, pieces.to, first, "");
    Slice part = {tile_affine(w, from, d->p.s, 0), tile_affine(w, to, d->p.s, 0)};
    part = slice_outer(w, part, lanes);
    r.y = (Slice){LLVMBuildSelect(w->b, one, part.from, zero, ""),
                  LLVMBuildSelect(w->b, one, part.to, walk_i64(w, blocks), "")};
    r.x = (Slice){tile_affine(w, r.groups.from, d->p.c, 0), tile_affine(w, r.groups.to, d->p.c, 0)};
    return r;
}

/* ---- loops ---- */

static void call_stage(const WinoDw *d, const Tile *t, LLVMValueRef first, LLVMValueRef count,
                       Slice s)
{
    LLVMValueRef scalar[TILE_SCALARS] = {
        [S_FIRST] = first, [S_COUNT] = count, [S_GROUP] = s.from, [S_GROUPS] = s.to};
    tile_call(d->e.w, t, scalar);
}

static Slice moved(Walk *w, Slice s, LLVMValueRef by)
{
    return (Slice){LLVMBuildAdd(w->b, s.from, by, ""), LLVMBuildAdd(w->b, s.to, by, "")};
}

static void over_block(Walk *w, void *user, LLVMValueRef first)
{
    const WinoDw *d = user;
    LLVMValueRef size = walk_i64(w, d->p.block);
    LLVMValueRef left = LLVMBuildSub(w->b, walk_i64(w, d->tiles), first, "");
    LLVMValueRef part = LLVMBuildICmp(w->b, LLVMIntSLT, left, size, "");
    LLVMValueRef count = LLVMBuildSelect(w->b, part, left, size, "");
    call_stage(d, &d->data[d->part], first, count, moved(w, d->at.x, d->x0));
    call_stage(d, &d->spread[d->part], first, count, moved(w, d->at.y, d->y0));
    call_stage(d, &d->products[d->part], first, count, d->at.pieces);
}

static void over_run(Walk *w, void *user, LLVMValueRef first)
{
    WinoDw *d = user;
    LLVMValueRef all = walk_i64(w, d->tiles), end = tile_affine(w, first, 1, d->run * d->p.block);
    LLVMValueRef over = LLVMBuildICmp(w->b, LLVMIntSGT, end, all, "");
    end = LLVMBuildSelect(w->b, over, all, end, "");
    for (d->part = 0; d->part < d->p.parts; d->part++)
        tile_steps(w, "block", (Slice){first, end}, d->p.block, over_block, d);
}

static void over_slab(Walk *w, void *user, LLVMValueRef slab)
{
    WinoDw *d = user;
    int64_t run = d->run * d->p.block, runs = (d->tiles + run - 1) / run;
    LLVMValueRef first = tile_affine(w, slab, d->shape.slab, 0);
    LLVMValueRef row = walk_quotient(w, slab, d->shape.across);
    LLVMValueRef col = LLVMBuildSub(w->b, slab, tile_affine(w, row, d->shape.across, 0), "");
    d->x0 = tile_affine(w, col, d->p.xs, 0);
    d->y0 = tile_affine(w, row, d->p.ys, 0);
    d->at = winodw_reach(d, w, slice_part(w, (Slice){w->from, w->to}, first, d->shape.slab));
    tile_for(w, "run", 0, runs, run, over_run, d);
    call_stage(d, &d->taps, d->x0, d->y0, d->at.pieces);
}

int64_t winodw_pieces(const Kernel *k)
{
    WinoDwPlan p = plan_of(k->offer.number);
    return k->contract.oc / p.s * (k->contract.ic / k->offer.lanes / p.c);
}

/* Sums of runs begin at 0, and are left so by each. */
static void clear_kept(const WinoDw *d)
{
    Walk *w = d->e.w;
    int64_t bytes = wino_planes(d->e.f) / d->p.parts * d->sum_plane * 4;
    LLVMValueRef zero = LLVMConstNull(LLVMInt8TypeInContext(w->ctx));
    LLVMBuildMemSet(w->b, wino_scratch(&d->e, w, d->kept_planes), zero, walk_i64(w, bytes), 64);
}

static void part_stages(WinoDw *d)
{
    if (d->p.parts > 1) d->e.in.part = d->y.part = d->part;
    d->data[d->part] = wino_data_stage(&d->e, &d->e.in, "data");
    d->spread[d->part] = wino_data_stage(&d->e, &d->y, "spread");
    d->products[d->part] = winodw_product_stage(d);
}

void winodw_emit(Walk *w)
{
    WinoDw d = read_kernel(w);
    LLVMBasicBlockRef end = claim_begin(w, w->from, w->to);
    for (d.part = 0; d.part < d.p.parts; d.part++) part_stages(&d);
    if (d.run > 1) clear_kept(&d);
    d.taps = winodw_tap_stage(&d);
    Slice slabs = slice_outer(w, (Slice){w->from, w->to}, d.shape.slab);
    tile_range(w, "slab", slabs.from, slabs.to, over_slab, &d);
    claim_end(w, end);
}
