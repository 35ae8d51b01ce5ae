/* SPDX-License-Identifier: Apache-2.0 */
/* conv and conv_dx with 3x3 kernels and stride 1 by Winograd's algorithm (wino.h). Tiles are
 * counted over samples, rows and columns; a block of them goes through three stages, each a
 * function, with memory in the scratch that stays in the L2 cache:
 *
 *   data      patches -> [plane] [data channel / V] [tile of block] [V]
 *   products  -> [plane] [result channel / V] [tile of block] [V], matrix products like 1x1 tiles;
 *             sums over many channels are sums of shorter ones, which halves their error
 *   sums      results a tile and channel block, and the epilogue
 *
 * Nothing a tile's results are computed from depends on its place in a block: the last register
 * tile of products may hold tiles that are not there, whose products nobody reads. */
#include "winoemit.h"

#include <stdio.h>

#include "tapplan.h"

enum { PLANE_PAD = 48 };                    /* floats, lest all planes meet in one set */
enum { FAR_PART = 4 };                      /* of the L2 cache, which others fill meanwhile */
enum { ENOUGH_PARTS = 8, MOST_PARTS = 64 }; /* of the tiles, for workers to share */

/* ---- the bid ---- */
bool wino_form_fits(const WinoForm *f, const TapShape *s)
{
    for (int i = 0; i < 2; i++) {
        if (s->stride[i] != f->stride) return false;
        if (f->stride == 1) continue;
        if (s->dx != f->dx) return false;
        if (f->dx && (s->pad[i] % 2 == 0 || s->result[i] % 2 != 0)) return false;
    }
    return true;
}

static bool some_form_fits(const TapShape *s)
{
    for (int i = 0; i < WINO_FORMS; i++)
        if (wino_form_fits(&wino_forms[i], s)) return true;
    return false;
}

bool wino_fits(const Target *t, const Contract *c, const TapShape *s)
{
    int lanes = target_lanes(t, c->dtype);
    if (t->gpu || !t->winograd || lanes < 4 || c->dtype != DT_F32) return false;
    for (int i = 0; i < 2; i++) {
        if (s->kernel[i] != WINO_TAPS || s->dilation[i] != 1) return false;
        if (s->result[i] > INT32_MAX) return false;
    }
    /* numbers of tiles are divided in 32 bits */
    int64_t most = INT32_MAX / 2 / c->batch;
    if ((s->result[0] / WINO_LEAST_OUT + 1) * (s->result[1] / WINO_LEAST_OUT + 1) >= most)
        return false;
    if (s->data_ch % lanes != 0 || s->result_ch % lanes != 0) return false;
    return s->groups == 1 && some_form_fits(s);
}

/* The first data row (column) of the first tile. conv_dx turns the kernel round. */
static int64_t first_data(const TapShape *s, int axis)
{
    if (!s->dx) return -s->pad[axis];
    return s->stride[axis] == 1 ? s->pad[axis] - (WINO_TAPS - 1) : (s->pad[axis] - 1) / 2;
}

void wino_halo(const TapShape *s, const WinoForm *f, int64_t low[2], int64_t high[2])
{
    int64_t tiles[2];
    wino_tiles(s, f, tiles);
    for (int i = 0; i < 2; i++) {
        int64_t first = first_data(s, i), end = first + (tiles[i] - 1) * wino_step(f) + wino_in(f);
        low[i] = first < 0 ? -first : 0;
        high[i] = end > s->data[i] ? end - s->data[i] : 0;
    }
}

int64_t wino_plane_of(int64_t channels, int64_t block)
{
    return channels * block + PLANE_PAD;
}

/* The scratch, in elements. Products of a plane take the place of the data of the one before it,
 * which are no longer wanted and in the nearest cache: with planes of d and r elements they begin d
 * (if larger: r) apart, and the data so far behind that they stay ahead to the last. Where they are
 * not as many, data lie behind all products. */
typedef struct Room {
    int64_t data, step; /* where data begin; from products to products */
    int64_t wait, all;  /* where a tile's results wait to be stored */
} Room;

static Room room_of(const TapShape *s, const WinoPlan *p, int lanes)
{
    const WinoForm *f = &wino_forms[p->form];
    int64_t in = wino_in(f) * wino_in(f), out = wino_sums(f) * wino_sums(f);
    int64_t d = wino_plane_of(s->data_ch, p->block), r = wino_plane_of(s->result_ch, p->block);
    Room m = {.data = r <= d ? r : in * r - (in - 1) * d, .step = r <= d ? d : r};
    if (in != out) m = (Room){.data = out * r, .step = r};
    m.wait = m.data + in * d;
    m.all = m.wait + wino_span(f) * wino_span(f) * lanes;
    return m;
}

/* Weights before the transform: lanes together, so that it works on vectors. */
static Layout taps_layout(const TapShape *s, int lanes)
{
    Layout l = {.rank = 4};
    layout_push(&l, s->result_dim, lanes, s->result_ch / lanes);
    layout_push(&l, s->data_dim, 1, s->data_ch);
    for (int i = 0; i < 2; i++) layout_push(&l, 2 + i, 1, s->kernel[i]);
    layout_push(&l, s->result_dim, 1, lanes);
    return l;
}

/* [plane] [result / VC] [data] [C] [V], as winograd_pack has it */
static Layout planes_layout(const TapShape *s, int lanes, int64_t c, int64_t planes)
{
    Layout l = {.rank = 3};
    layout_push(&l, 2, 1, planes);
    layout_push(&l, s->result_dim, lanes * c, s->result_ch / (lanes * c));
    layout_push(&l, s->data_dim, 1, s->data_ch);
    if (c > 1) layout_push(&l, s->result_dim, lanes, c);
    layout_push(&l, s->result_dim, 1, lanes);
    return l;
}

static void wino_bid(const Target *t, const Contract *c, const TapShape *s, const WinoPlan *p,
                     Offer *o)
{
    const WinoForm *f = &wino_forms[p->form];
    int64_t low[2], high[2];
    wino_halo(s, f, low, high);
    o->lanes = target_lanes(t, c->dtype);
    o->vec_dim = 1;
    o->in = layout_blocked(tap_data(c, s), o->lanes, low, high);
    o->out = layout_blocked(tap_result(c, s), o->lanes, NULL, NULL);
    o->w = taps_layout(s, o->lanes);
    o->planes = wino_planes(f);
    o->packed = planes_layout(s, o->lanes, p->c, o->planes);
    o->packed_bytes = wino_planes(f) * 4 * s->data_ch * s->result_ch;
    o->scratch_bytes = 4 * room_of(s, p, o->lanes).all;
    o->number[WINO_TILES] = p->t;
    o->number[WINO_BLOCKS] = p->c;
    o->number[WINO_BLOCK] = p->block;
    o->number[WINO_UNROLL] = p->unroll;
    o->number[WINO_FORM] = p->form;
}

static WinoPlan plan_of(const int64_t *number)
{
    return (WinoPlan){.t = number[WINO_TILES],
                      .c = number[WINO_BLOCKS],
                      .block = number[WINO_BLOCK],
                      .unroll = number[WINO_UNROLL],
                      .form = number[WINO_FORM]};
}

bool winograd_offer(const Target *t, const Contract *c, Offer *o)
{
    TapShape s;
    WinoPlan p;
    if (!tap_shape(c, &s) || !wino_fits(t, c, &s)) return false;
    if (!wino_plan(t, c, &s, &p, &o->cost)) return false;
    wino_bid(t, c, &s, &p, o);
    return true;
}

/* A letter of form for each row of wino_forms: the results along an axis, or that it is for stride
 * 2 or its gradient. */
const PlanField winograd_fields[] = {{.name = "form", WINO_FORM, 1, WINO_FORMS - 1, "42sd", true},
                                     {.name = "tile", WINO_TILES, 2, 32},
                                     {.name = "block", WINO_BLOCK, 1, 128},
                                     {.name = "unroll", WINO_UNROLL, 1, 16},
                                     {.name = NULL}};

static const char *also_wanted(const Target *t, const TapShape *s)
{
    if (!t->winograd) return ", and not --winograd off";
    if (!s->dx || s->stride[0] == 1) return "";
    return ", and for gradients of stride 2 odd padding and an even map";
}

bool winograd_fit(const Target *t, const Contract *c, Offer *o, char *why)
{
    TapShape s = {0};
    WinoPlan p = plan_of(o->number);
    if (!tap_shape(c, &s) || !wino_fits(t, c, &s)) {
        snprintf(why, PLAN_WHY, "winograd wants a 3x3 kernel, stride 1 or 2, f32, whole vectors%s",
                 also_wanted(t, &s));
        return false;
    }
    if (!wino_plan_fit(t, c, &s, &p, &o->cost, why)) return false;
    wino_bid(t, c, &s, &p, o);
    return true;
}

/* ---- what the emitter knows ---- */
/* Of a value, in a stretch of calls: depth first it has as few samples as leave it in the L2 cache,
 * but not where weights take half of that (passes/depth.c). */
static int64_t bytes_at_hand(const WinoEmit *e, const KParam *of)
{
    const Kernel *k = e->w->k;
    const Target *t = e->w->target;
    int64_t all = layout_bytes(&of->layout, of->dtype);
    bool few = t->depth_first && k->axis[0].sample && k->offer.packed_bytes < t->l2 / 2;
    return few ? all / k->axis[0].extent : all;
}

WinoPatches wino_patches(const WinoEmit *e, int param, const int64_t first[2])
{
    const Layout *l = &e->w->k->param[param].layout;
    int row = layout_digit(l, 2, 1), col = layout_digit(l, 3, 1);
    check(layout_stride(l, layout_digit(l, 1, 1)) == 1);
    WinoPatches p = {.param = param,
                     .block = layout_stride(l, layout_digit(l, 1, e->lanes)),
                     .row = layout_stride(l, row),
                     .col = layout_stride(l, col),
                     .first = {l->digit[row].low + first[0], l->digit[col].low + first[1]}};
    const KParam *of = &e->w->k->param[param];
    p.part = ALL_PARTS;
    bool again = of->dtype == DT_F32 || e->f->stride > 1; /* others would be converted twice */
    p.parts = again ? e->f->parts : 1;
    p.far = !of->io && bytes_at_hand(e, of) > e->w->target->l2 / FAR_PART;
    check(p.first[0] >= 0 && p.first[1] >= 0);
    return p;
}

WinoEmit wino_emit(Walk *w, const TapShape *s, const WinoPlan *p)
{
    const Kernel *k = w->k;
    WinoEmit e = {.w = w, .s = *s, .p = *p, .lanes = k->offer.lanes};
    check(k->data_param >= 0 && k->scratch_param >= 0 && w->lanes == e.lanes);
    e.f = &wino_forms[p->form];
    claim_axes(k, e.axis);
    wino_tiles(&e.s, e.f, e.tiles);
    e.elem = walk_type(w, k->contract.dtype);
    e.vec = walk_vec(w, k->contract.dtype, e.lanes);
    e.bytes = e.lanes * dtype_bytes(k->contract.dtype);
    e.in = wino_patches(&e, k->data_param, (int64_t[]){first_data(&e.s, 0), first_data(&e.s, 1)});
    e.in.size = wino_in(e.f);
    e.in.line = e.f->data;
    return e;
}

static WinoEmit read_kernel(Walk *w)
{
    TapShape s;
    WinoPlan p = plan_of(w->k->offer.number);
    check(tap_shape(&w->k->contract, &s) && w->k->packed_param >= 0);
    WinoEmit e = wino_emit(w, &s, &p);
    e.in.blocks = s.data_ch / e.lanes;
    e.in.plane = wino_plane_of(s.data_ch, p.block);
    Room room = room_of(&s, &p, e.lanes);
    e.in.planes = room.data;
    e.result_plane = room.step;
    e.wait = room.wait;
    e.fetches = wino_fetches(w->target, w->k->offer.packed_bytes);
    return e;
}

/* ---- places ---- */
static LLVMValueRef divide(Walk *w, LLVMValueRef v, int64_t by, LLVMValueRef *rest)
{
    LLVMValueRef q = walk_quotient(w, v, by);
    *rest = LLVMBuildSub(w->b, v, tile_affine(w, q, by, 0), "");
    return q;
}

WinoPlace wino_place(const WinoEmit *e, Walk *w, LLVMValueRef tile)
{
    WinoPlace p;
    LLVMValueRef rest;
    p.n = divide(w, tile, e->tiles[0] * e->tiles[1], &rest);
    p.row = divide(w, rest, e->tiles[1], &p.col);
    return p;
}

LLVMValueRef wino_scratch(const WinoEmit *e, Walk *w, int64_t element)
{
    return tile_at_const(w, e->elem, w->base[w->k->scratch_param], element);
}

LLVMValueRef wino_data_planes(const WinoEmit *e, Walk *w)
{
    return wino_scratch(e, w, e->in.planes);
}

LLVMValueRef wino_result_planes(const WinoEmit *e, Walk *w)
{
    return wino_scratch(e, w, 0);
}

LLVMValueRef wino_results(const WinoEmit *e, Walk *w)
{
    return wino_scratch(e, w, e->wait);
}

LLVMValueRef wino_load(const WinoEmit *e, Walk *w, LLVMValueRef at)
{
    return tile_load(w, e->vec, at, e->bytes);
}

void wino_store(const WinoEmit *e, Walk *w, LLVMValueRef at, LLVMValueRef v)
{
    LLVMSetAlignment(LLVMBuildStore(w->b, v, at), (unsigned)e->bytes);
}

/* ---- blocks of tiles ---- */

/* How the work is shared: parts of the tiles, and in each of them groups of result channels, which
 * is where few tiles meet many weights. Whoever takes some groups of a part transforms the part's
 * data for himself; where there are parts enough none is divided. */
typedef struct Share {
    int64_t parts, groups; /* pieces: parts * groups */
} Share;

/* Samples of whatever range the kernel is called for: slots may be few, a batch of its own is all
 * there. */
static int64_t sure_samples(const Kernel *k)
{
    int axis[MAX_CLAIM_AXES];
    claim_axes(k, axis);
    const Axis *a = &k->axis[axis[A_SAMPLE]];
    return a->sample ? 1 : a->extent;
}

static Share share(const Kernel *k, const TapShape *s, const WinoPlan *p, int lanes)
{
    int64_t tiles[2];
    wino_tiles(s, &wino_forms[p->form], tiles);
    int64_t all = sure_samples(k) * tiles[0] * tiles[1];
    Share h = {.parts = (all + p->block - 1) / p->block};
    if (h.parts > MOST_PARTS) h.parts = MOST_PARTS;
    h.groups = h.parts < ENOUGH_PARTS ? s->result_ch / (lanes * p->c) : 1;
    return h;
}

static void over_block(Walk *w, void *user, LLVMValueRef first)
{
    const WinoEmit *e = user;
    LLVMValueRef size = walk_i64(w, e->p.block), scalar[TILE_SCALARS];
    LLVMValueRef left = LLVMBuildSub(w->b, e->tiles_at.to, first, "");
    LLVMValueRef part = LLVMBuildICmp(w->b, LLVMIntSLT, left, size, "");
    scalar[S_FIRST] = first;
    scalar[S_COUNT] = LLVMBuildSelect(w->b, part, left, size, "");
    scalar[S_GROUP] = e->groups_at.from;
    scalar[S_GROUPS] = e->groups_at.to;
    tile_call(w, &e->data, scalar);
    tile_call(w, &e->products, scalar);
    tile_call(w, &e->sums, scalar);
}

/* Tiles of a part: whole blocks, as many as share the samples' tiles evenly; the last parts may
 * have none. */
static Slice part_tiles(const WinoEmit *e, Walk *w, const Share *h, LLVMValueRef part)
{
    LLVMValueRef lo, hi, size;
    int64_t tiles = e->tiles[0] * e->tiles[1];
    claim_samples(w, e->axis[A_SAMPLE], &lo, &hi);
    lo = tile_affine(w, lo, tiles, 0);
    hi = tile_affine(w, hi, tiles, 0);
    size = tile_affine(w, LLVMBuildSub(w->b, hi, lo, ""), 1, h->parts * e->p.block - 1);
    size = tile_affine(w, walk_quotient(w, size, h->parts * e->p.block), e->p.block, 0);
    LLVMValueRef first = LLVMBuildAdd(w->b, lo, LLVMBuildMul(w->b, part, size, ""), "");
    LLVMValueRef end = LLVMBuildAdd(w->b, first, size, "");
    LLVMValueRef over = LLVMBuildICmp(w->b, LLVMIntSGT, end, hi, "");
    return (Slice){first, LLVMBuildSelect(w->b, over, hi, end, "")};
}

static void over_part(Walk *w, void *user, LLVMValueRef part)
{
    WinoEmit *e = user;
    Share h = share(w->k, &e->s, &e->p, e->lanes);
    int64_t groups = e->s.result_ch / (e->lanes * e->p.c);
    e->tiles_at = part_tiles(e, w, &h, part);
    e->groups_at = (Slice){walk_i64(w, 0), walk_i64(w, groups)};
    if (h.groups > 1)
        e->groups_at =
            slice_part(w, (Slice){w->from, w->to}, tile_affine(w, part, groups, 0), groups);
    tile_steps(w, "block", e->tiles_at, e->p.block, over_block, e);
}

int64_t winograd_pieces(const Kernel *k)
{
    const int64_t *number = k->offer.number;
    WinoPlan p = {
        .c = number[WINO_BLOCKS], .block = number[WINO_BLOCK], .form = (int)number[WINO_FORM]};
    TapShape s;
    check(tap_shape(&k->contract, &s));
    Share h = share(k, &s, &p, k->offer.lanes);
    return h.parts * h.groups;
}

void winograd_emit(Walk *w)
{
    WinoEmit e = read_kernel(w);
    LLVMValueRef from, to;
    claim_samples(w, e.axis[A_SAMPLE], &from, &to);
    LLVMBasicBlockRef end = claim_begin(w, from, to);
    e.data = wino_data_stage(&e, &e.in, "data");
    e.products = wino_product_stage(&e);
    e.sums = wino_sum_stage(&e);
    Slice parts = slice_outer(w, (Slice){w->from, w->to}, share(w->k, &e.s, &e.p, e.lanes).groups);
    tile_range(w, "part", parts.from, parts.to, over_part, &e);
    claim_end(w, end);
}
