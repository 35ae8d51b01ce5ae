/* SPDX-License-Identifier: Apache-2.0 */
/* conv and conv_dx of bf16 by matrix tiles (AMX), at any stride and dilation: data blocked by 32
 * channels (16), weights in pairs of data channels, sums in f32. A block of rows of results is made
 * in two stages, each a function: its data are copied unless they lie as wanted (amxplan.h), then
 * each call multiplies some tiles of points by some blocks of results, puts the sums into memory,
 * and runs the epilogue over them.
 *
 * An element's sum starts at 0 and adds data block by block (of 32 channels, or 16), then ky, kx:
 * of each block the even channels and the odd ones are summed apart, in rising order, and added to
 * it; with --tiles f32 so does each of six products of parts (amxthirds.c). In two parts (first
 * layers, amxplan.h) an element's sum adds kernel row by row lo*hi, hi*hi and hi*lo of data and
 * weights. Subnormal numbers count as 0. Neither plan nor batch nor neighbours change a bit. */
#include "amxemit.h"
#include "tapplan.h"
#include "wino.h"

#include <stdio.h>

enum { USUAL_BATCH = 8 };        /* images that a claim is chosen for */
static const double GAIN = 1.25; /* that f32 in three parts is to promise */

/* Offer.number */
enum { N_TILES, N_BLOCKS, N_ROWS, N_SAMPLES, N_PARTS };

/* ---- the bid ---- */
/* {result / 16C} {data / depth} {ky} {kx} {(result / 16) % C} {(data % depth) / 2} {result % 16}
 * {data % 2}: what a product reads lies together. */
static Layout weight_layout(const TapShape *s, int64_t c)
{
    Layout l = {.rank = 4};
    int64_t depth = amx_depth(s);
    if (amx_parts(s)) return amx_part_weights(s, c);
    layout_push(&l, s->result_dim, AMX_LANES * c, s->result_ch / (AMX_LANES * c));
    layout_push(&l, s->data_dim, depth, s->data_ch / depth);
    layout_push(&l, 2, 1, s->kernel[0]);
    layout_push(&l, 3, 1, s->kernel[1]);
    if (c > 1) layout_push(&l, s->result_dim, AMX_LANES, c);
    layout_push(&l, s->data_dim, 2, depth / 2);
    layout_push(&l, s->result_dim, 1, AMX_LANES);
    layout_push(&l, s->data_dim, 1, 2);
    return l;
}

static void amx_bid(const Contract *c, const TapShape *s, const AmxPlan *p, Offer *o)
{
    int64_t low[2], high[2];
    tap_halo(s, low, high);
    if (amx_parts(s)) {
        amx_part_halo(s, high);
        o->in = layout_halo(tap_data(c, s), low, high);
    } else {
        int block = amx_thirds(c, s) ? AMX_LANES : (int)amx_depth(s);
        o->in = layout_blocked(tap_data(c, s), block, low, high);
    }
    o->out = layout_blocked(tap_result(c, s), AMX_LANES, NULL, NULL);
    o->w = amx_thirds(c, s) ? amx_third_layout(s) : weight_layout(s, p->c);
    if (amx_thirds(c, s)) o->packed_bytes = amx_weight_bytes(s, p);
    o->vec_dim = 1;
    o->lanes = AMX_LANES;
    o->scratch_bytes = amx_sum_bytes() + amx_part_bytes(s) + 2 * p->samples * amx_slot(s, p);
    o->number[N_TILES] = p->t;
    o->number[N_BLOCKS] = p->c;
    o->number[N_ROWS] = p->rows;
    o->number[N_SAMPLES] = p->samples;
    o->number[N_PARTS] = p->parts;
    o->cost = p->cost;
}

static AmxPlan plan_of(const int64_t *number)
{
    return (AmxPlan){.t = number[N_TILES],
                     .c = number[N_BLOCKS],
                     .rows = number[N_ROWS],
                     .samples = number[N_SAMPLES],
                     .parts = number[N_PARTS]};
}

/* Of f32: whether multiply-adds do about as well: what runs beside matrix tiles, and after them, is
 * slower for it. The answer depends on the batch only below 8. */
static bool worse(const Target *t, const Contract *c, const TapShape *s)
{
    Contract usual = *c;
    AmxPlan p;
    TapPlan direct;
    WinoPlan wino;
    double cost;
    if (usual.batch > USUAL_BATCH) usual.batch = USUAL_BATCH;
    amx_plan(t, &usual, s, &p);
    double own = p.cost * (amx_parts(s) ? 1 / 0.9 : GAIN);
    if (tap_plan(t, &usual, s, &direct) && own > direct.cost) return true;
    return wino_fits(t, &usual, s) && wino_plan(t, &usual, s, &wino, &cost) && own > cost;
}

bool amxconv_offer(const Target *t, const Contract *c, Offer *o)
{
    TapShape s;
    AmxPlan p;
    if (!tap_shape(c, &s) || !amx_fits(t, c, &s)) return false;
    if (!c->bf16 && worse(t, c, &s)) return false;
    amx_plan(t, c, &s, &p);
    amx_bid(c, &s, &p, o);
    return true;
}

const PlanField amxconv_fields[] = {{.name = "tile", N_TILES, 2, 6},
                                    {.name = "rows", N_ROWS, 1, 32},
                                    {.name = "samples", N_SAMPLES, 1, 16},
                                    {.name = NULL}};

bool amxconv_fit(const Target *t, const Contract *c, Offer *o, char *why)
{
    TapShape s;
    AmxPlan p = plan_of(o->number);
    if (!tap_shape(c, &s) || !amx_fits(t, c, &s)) {
        snprintf(
            why, PLAN_WHY,
            "amxconv wants matrix tiles, bf16 (or --tiles f32 and constant weights), no groups, "
            "channels in blocks of 16 (data of f32: of 32, or up to 4), a small kernel");
        return false;
    }
    if (!amx_plan_fit(t, c, &s, &p, why)) return false;
    amx_bid(c, &s, &p, o);
    return true;
}

void amxconv_pack(const Target *t, const Contract *c, const Offer *o, const void *dense,
                  void *packed)
{
    TapShape s;
    (void)t;
    check(tap_shape(c, &s) && amx_thirds(c, &s));
    amx_pack_thirds(&s, o->number[N_BLOCKS], dense, packed);
}

/* ---- what the emitter knows ---- */
/* A map of one pixel is row-major, which is the same in memory. */
static int64_t block_stride(const Layout *l, int64_t channels)
{
    int blocks = layout_find(l, 1, channels);
    return blocks < 0 ? channels * layout_stride(l, layout_digit(l, 1, 1))
                      : layout_stride(l, blocks);
}

static void read_data_layout(AmxEmit *e)
{
    const Layout *l = &e->w->k->param[e->w->k->data_param].layout;
    int row = layout_digit(l, 2, 1), col = layout_digit(l, 3, 1);
    bool planar = amx_parts(&e->s);
    check(planar || layout_stride(l, layout_digit(l, 1, 1)) == 1);
    e->in_block = block_stride(l, planar ? 1 : e->p.parts > 1 ? AMX_LANES : e->depth);
    e->in_row = layout_stride(l, row);
    e->in_col = layout_stride(l, col);
    e->in_low[0] = l->digit[row].low;
    e->in_low[1] = l->digit[col].low;
}

static void read_weight_layout(AmxEmit *e)
{
    const Layout *l = &e->w->k->param[e->w->k->weight_param].layout;
    if (e->p.parts > 1) {
        amx_third_places(e);
        return;
    }
    Layout want = weight_layout(&e->s, e->p.c);
    check(layout_eq(l, &want));
    if (amx_parts(&e->s)) {
        amx_part_places(e);
        return;
    }
    e->wt_tile = e->depth * AMX_LANES;
    e->wt_tap = e->wt_tile * e->p.c;
    e->wt_channels = e->wt_tap * e->s.kernel[0] * e->s.kernel[1];
    e->wt_group = e->wt_channels * (e->s.data_ch / e->depth);
}

static AmxEmit read_kernel(Walk *w)
{
    const Kernel *k = w->k;
    AmxEmit e = {.w = w, .p = plan_of(k->offer.number)};
    check(tap_shape(&k->contract, &e.s) && k->data_param >= 0 && k->weight_param >= 0);
    check(w->lanes == AMX_LANES && k->scratch_param >= 0);
    claim_axes(k, e.axis);
    e.depth = amx_depth(&e.s);
    e.elem = walk_storage(w, DT_BF16);
    read_data_layout(&e);
    read_weight_layout(&e);
    return e;
}

static AmxClass class_of(const AmxEmit *e, int64_t a, int64_t b)
{
    AmxClass c = amx_class(&e->s, &e->p, a, b);
    if (c.slot && e->p.parts == 1 && e->in_col == e->depth)
        amx_read_direct(&c, &e->p, e->in_row / e->depth, e->in_block);
    return c;
}

static bool amx_copies(const AmxEmit *e)
{
    return e->c.slot && !e->c.direct;
}

static int64_t groups_of(const TapShape *s, const AmxPlan *p)
{
    return s->result_ch / (AMX_LANES * p->c);
}

/* ---- loops around the tiles ---- */
static LLVMValueRef slot_of(const AmxEmit *e, LLVMValueRef n)
{
    if (e->p.samples == 1) return walk_i64(e->w, 0);
    LLVMValueRef i = LLVMBuildSub(e->w->b, n, e->from, "");
    return tile_affine(e->w, i, amx_slot(&e->s, &e->p), 0);
}

static void copy_sample(Walk *w, void *user, LLVMValueRef n)
{
    const AmxEmit *e = user;
    LLVMValueRef none = walk_i64(w, 0);
    tile_call(w, &e->copy, (LLVMValueRef[]){n, none, e->block, slot_of(e, n)});
}

static void call_tile(Walk *w, void *user, LLVMValueRef i)
{
    const AmxEmit *e = user;
    LLVMValueRef unit = LLVMBuildAdd(w->b, tile_affine(w, e->block, e->c.calls, 0), i, "");
    tile_call(w, e->tile, (LLVMValueRef[]){e->n, e->group, unit, slot_of(e, e->n)});
}

static void over_calls(Walk *w, void *user, LLVMValueRef n)
{
    AmxEmit *e = user;
    int64_t whole = e->c.tiles / e->p.t;
    e->n = n;
    e->tile = &e->wide;
    tile_for(w, "call", 0, whole, 1, call_tile, e);
    e->tile = &e->narrow;
    if (whole < e->c.calls) call_tile(w, e, walk_i64(w, whole));
}

static void over_group(Walk *w, void *user, LLVMValueRef group)
{
    AmxEmit *e = user;
    e->group = group;
    tile_range(w, "n", e->from, e->to, over_calls, e);
}

static void over_block(Walk *w, void *user, LLVMValueRef block)
{
    AmxEmit *e = user;
    int64_t groups = groups_of(&e->s, &e->p);
    e->block = block;
    if (amx_copies(e)) tile_range(w, "n", e->from, e->to, copy_sample, e);
    Slice some = slice_part(w, e->pieces, tile_affine(w, block, groups, 0), groups);
    tile_steps(w, "group", some, 1, over_group, e);
}

static void make_functions(AmxEmit *e)
{
    int64_t rest = e->c.tiles % e->p.t;
    if (amx_copies(e)) e->copy = amx_parts(&e->s) ? amx_split(e) : amx_copy(e);
    if (e->c.tiles >= e->p.t) e->wide = amx_call(e, e->p.t);
    if (rest) e->narrow = amx_call(e, rest);
}

/* Pieces are groups of results of a block, block by block, class by class. */
static void over_class(AmxEmit *e, int64_t first)
{
    int64_t groups = groups_of(&e->s, &e->p), all = e->c.blocks * groups;
    e->pieces = slice_part(e->w, (Slice){e->w->from, e->w->to}, walk_i64(e->w, first), all);
    e->pieces.to = amx_at_least_0(e->w, e->pieces.to); /* below: all of classes before */
    Slice blocks = slice_outer(e->w, e->pieces, groups);
    tile_steps(e->w, "block", blocks, 1, over_block, e);
}

static bool one_class(const TapShape *s)
{
    return tap_classes(s, 0) * tap_classes(s, 1) == 1;
}

static void over_classes(AmxEmit *e)
{
    int64_t first = 0;
    for (int64_t a = 0; a < tap_classes(&e->s, 0); a++)
        for (int64_t b = 0; b < tap_classes(&e->s, 1); b++) {
            e->c = class_of(e, a, b);
            if (e->c.blocks == 0) continue;
            e->fetches = amx_fetches(&e->s, &e->p, &e->c);
            if (!one_class(&e->s)) amx_configure(e);
            make_functions(e);
            over_class(e, first);
            first += e->c.blocks * groups_of(&e->s, &e->p);
        }
}

static void over_samples(Walk *w, void *user, LLVMValueRef n)
{
    AmxEmit *e = user;
    LLVMValueRef end = e->to, next = tile_affine(w, n, 1, e->p.samples);
    LLVMValueRef whole = LLVMBuildICmp(w->b, LLVMIntSLE, next, end, "");
    e->from = n;
    e->to = LLVMBuildSelect(w->b, whole, next, end, "");
    over_classes(e);
}

int64_t amxconv_pieces(const Kernel *k)
{
    TapShape s;
    AmxPlan p = plan_of(k->offer.number);
    int64_t n = 0;
    check(tap_shape(&k->contract, &s));
    for (int64_t a = 0; a < tap_classes(&s, 0); a++)
        for (int64_t b = 0; b < tap_classes(&s, 1); b++) n += amx_class(&s, &p, a, b).blocks;
    return n * groups_of(&s, &p);
}

void amxconv_emit(Walk *w)
{
    AmxEmit e = read_kernel(w);
    LLVMValueRef from;
    claim_samples(w, e.axis[A_SAMPLE], &from, &e.to);
    LLVMBasicBlockRef end = claim_begin(w, from, e.to);
    e.c = class_of(&e, 0, 0);
    if (one_class(&e.s)) amx_configure(&e);
    if (amx_parts(&e.s)) amx_split_weights(&e);
    tile_steps(w, "samples", (Slice){from, e.to}, e.p.samples, over_samples, &e);
    amx_release(w);
    claim_end(w, end);
}
