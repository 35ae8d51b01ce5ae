/* SPDX-License-Identifier: Apache-2.0 */
/* conv_dw in register tiles (dwconv.h). All tiles run over a chunk of pixels before the next chunk,
 * so both operands are read from far once. The sums of tiles lie in the scratch, one behind the
 * other, until the last chunk is done; then they go through the epilogue.
 *
 * An element's sum: within a chunk image by image, row by row, column by column, from 0; then chunk
 * by chunk, first those that are a row (an image) longer, then the others. The plan fixes it, and
 * no number of threads or samples in use enters. */
#include "dwconv.h"

#include "tapplan.h"
#include "tile.h"

#include <stdio.h>
#include <string.h>

enum { N_SCALARS, N_TAPS, N_BLOCKS, N_ROWS, N_IMAGES }; /* Offer.number */
enum { S_X, S_Y, S_SUM };                               /* Tile.scalar: elements from the start */
enum { A_OC, A_IC, A_KY, A_KX, A_LANE }; /* kernel axes; one of the first in blocks */

/* ---- the bid ---- */
static void x_halo(const Contract *c, int64_t low[2], int64_t high[2])
{
    Contract forward = *c;
    TapShape s;
    forward.op = OP_conv;
    check(tap_shape(&forward, &s));
    tap_halo(&s, low, high);
}

static Layout operand_layout(Type t, int lanes, const int64_t *low, const int64_t *high)
{
    return t.dim[1] % lanes ? layout_halo(t, low, high) : layout_blocked(t, lanes, low, high);
}

static int64_t sums_bytes(const Contract *c)
{
    return c->oc * (c->ic / c->groups) * c->kh * c->kw * dtype_bytes(c->dtype);
}

static bool dw_fits(const Target *t, const Contract *c)
{
    int lanes = target_lanes(t, c->dtype);
    if (c->op != OP_conv_dw || t->gpu || lanes < 2) return false;
    if (c->groups != 1 && (!dw_depthwise(c) || c->groups % lanes)) return false;
    return (c->dtype == DT_F32 || c->dtype == DT_F64) && !c->bf16;
}

static void dw_bid(const Target *t, const Contract *c, const DwPlan *p, Offer *o)
{
    int64_t low[2], high[2];
    int lanes = target_lanes(t, c->dtype);
    Type x = type_of(c->dtype, 4, (int64_t[]){c->batch, c->ic, c->ih, c->iw});
    Type y = type_of(c->dtype, 4, (int64_t[]){c->batch, c->oc, c->oh, c->ow});
    Type w = type_of(c->dtype, 4, (int64_t[]){c->oc, c->ic / c->groups, c->kh, c->kw});
    x_halo(c, low, high);
    o->in = operand_layout(x, lanes, low, high);
    o->w = operand_layout(y, lanes, NULL, NULL);
    o->out = operand_layout(w, lanes, NULL, NULL);
    o->vec_dim = p->lanes_x ? 1 : 0;
    o->lanes = lanes;
    o->scratch_bytes = sums_bytes(c);
    o->number[N_SCALARS] = p->s;
    o->number[N_TAPS] = p->taps;
    o->number[N_BLOCKS] = p->c;
    o->number[N_ROWS] = p->rows;
    o->number[N_IMAGES] = p->images;
    o->cost = p->cost;
}

static DwPlan plan_of(const int64_t *number)
{
    return (DwPlan){.s = number[N_SCALARS],
                    .taps = number[N_TAPS],
                    .c = number[N_BLOCKS],
                    .rows = number[N_ROWS],
                    .images = number[N_IMAGES]};
}

bool dwconv_offer(const Target *t, const Contract *c, Offer *o)
{
    DwPlan p;
    if (!dw_fits(t, c) || !dw_plan(t, c, &p)) return false;
    dw_bid(t, c, &p, o);
    return true;
}

const PlanField dwconv_fields[] = {{.name = "tile", N_SCALARS, 3, 32},
                                   {.name = "chunk", N_ROWS, 2, 64, .bits = true},
                                   {.name = NULL}};

bool dwconv_fit(const Target *t, const Contract *c, Offer *o, char *why)
{
    DwPlan p = plan_of(o->number);
    if (!dw_fits(t, c)) {
        snprintf(why, PLAN_WHY, "dwconv wants a conv_dw of one group, or of one channel a group");
        return false;
    }
    if (!dw_plan_fit(t, c, &p, why)) return false;
    dw_bid(t, c, &p, o);
    return true;
}

/* ---- what the emitter knows ---- */
typedef struct Operand { /* strides in elements; first: of logical element [0, 0, 0, 0] */
    int64_t channels, sample, block, channel, row, col, low[2], first;
} Operand;

enum { M_X, M_Y, M_SUM, M_SCALAR, M_VECTOR, M_KY, M_KX, MOVES }; /* what a loop may move */
typedef struct Step {
    const char *name;
    int64_t count, pieces; /* of a turn, where workers share the loop; 0: they do not */
    int64_t move[MOVES];   /* for each turn */
} Step;
enum { MOST_STEPS = 12 };

typedef struct Emit {
    Walk *w;
    const Contract *c;
    DwPlan p;
    int axis[MAX_CLAIM_AXES], lanes, bytes; /* bytes of an element */
    LLVMTypeRef elem, vec;
    Operand x, y;
    const Tile *tile;
    int nstep;
    Step step[MOST_STEPS];
    void (*each)(struct Emit *, const LLVMValueRef at[MOVES]);
} Emit;

static Operand read_operand(const Emit *e, int param, int64_t channels)
{
    const Layout *l = &e->w->k->param[param].layout;
    int row = layout_digit(l, 2, 1), col = layout_digit(l, 3, 1);
    int block = layout_find(l, 1, e->lanes);
    Operand o = {.channels = channels,
                 .sample = layout_stride(l, layout_digit(l, 0, 1)),
                 .channel = layout_stride(l, layout_digit(l, 1, 1)),
                 .row = layout_stride(l, row),
                 .col = layout_stride(l, col),
                 .low = {l->digit[row].low, l->digit[col].low}};
    o.block = block < 0 ? e->lanes * o.channel : layout_stride(l, block);
    o.first = o.low[0] * o.row + o.low[1] * o.col;
    return o;
}

static Emit read_kernel(Walk *w)
{
    const Kernel *k = w->k;
    Emit e = {.w = w, .c = &k->contract, .lanes = k->offer.lanes};
    check(k->data_param >= 0 && k->weight_param >= 0 && k->scratch_param >= 0);
    check(!k->param[k->data_param].io && !k->param[k->weight_param].io && w->lanes == e.lanes);
    e.p = plan_of(k->offer.number);
    e.p.lanes_x = k->offer.vec_dim == 1;
    claim_axes(k, e.axis);
    e.elem = walk_type(w, e.c->dtype);
    e.vec = walk_vec(w, e.c->dtype, e.lanes);
    e.bytes = dtype_bytes(e.c->dtype);
    e.x = read_operand(&e, k->data_param, e.c->ic);
    e.y = read_operand(&e, k->weight_param, e.c->oc);
    check((e.p.lanes_x ? e.x : e.y).channel == 1);
    if (dw_depthwise(e.c)) e.x.channels = 1; /* a group's, which are the scalars of others */
    return e;
}

/* ---- one tile ---- */
static LLVMValueRef load_scalar(const Emit *e, Walk *w, LLVMValueRef at, int64_t offset)
{
    return walk_splat(w, tile_load(w, e->elem, tile_at_const(w, e->elem, at, offset), e->bytes));
}

static LLVMValueRef load_vector(const Emit *e, Walk *w, LLVMValueRef at, int64_t offset)
{
    return tile_load(w, e->vec, tile_at_const(w, e->elem, at, offset), e->bytes * e->lanes);
}

/* Sum (i, t, j): scalar channel i, tap t, vector j. */
static LLVMValueRef *sum_at(const Emit *e, LLVMValueRef *acc, int64_t i, int64_t t, int64_t j)
{
    return &acc[(i * e->p.taps + t) * e->p.c + j];
}

static void pixel_lanes_x(const Emit *e, Walk *w, LLVMValueRef x, LLVMValueRef y, LLVMValueRef *acc)
{
    LLVMValueRef v[MAX_ACC];
    for (int64_t t = 0; t < e->p.taps; t++)
        for (int64_t j = 0; j < e->p.c; j++)
            v[t * e->p.c + j] = load_vector(e, w, x, t * e->c->dw * e->x.col + j * e->x.block);
    for (int64_t i = 0; i < e->p.s; i++) {
        LLVMValueRef s = load_scalar(e, w, y, i * e->y.channel);
        for (int64_t t = 0; t < e->p.taps; t++)
            for (int64_t j = 0; j < e->p.c; j++) {
                LLVMValueRef *a = sum_at(e, acc, i, t, j);
                *a = tile_fma(w, s, v[t * e->p.c + j], *a);
            }
    }
}

static void pixel_lanes_y(const Emit *e, Walk *w, LLVMValueRef x, LLVMValueRef y, LLVMValueRef *acc)
{
    LLVMValueRef v[MAX_ACC];
    for (int64_t j = 0; j < e->p.c; j++) v[j] = load_vector(e, w, y, j * e->y.block);
    for (int64_t i = 0; i < e->p.s; i++)
        for (int64_t t = 0; t < e->p.taps; t++) {
            LLVMValueRef s = load_scalar(e, w, x, i * e->x.channel + t * e->c->dw * e->x.col);
            for (int64_t j = 0; j < e->p.c; j++) {
                LLVMValueRef *a = sum_at(e, acc, i, t, j);
                *a = tile_fma(w, s, v[j], *a);
            }
        }
}

static void pixel_depthwise(const Emit *e, Walk *w, LLVMValueRef x, LLVMValueRef y,
                            LLVMValueRef *acc)
{
    for (int64_t j = 0; j < e->p.c; j++) {
        LLVMValueRef v = load_vector(e, w, y, j * e->y.block);
        for (int64_t t = 0; t < e->p.taps; t++) {
            LLVMValueRef *a = sum_at(e, acc, 0, t, j);
            *a = tile_fma(w, load_vector(e, w, x, t * e->c->dw * e->x.col + j * e->x.block), v, *a);
        }
    }
}

static void pixel(Walk *w, void *user, LLVMValueRef x, LLVMValueRef y, LLVMValueRef *acc)
{
    const Emit *e = user;
    (dw_depthwise(e->c) ? pixel_depthwise
     : e->p.lanes_x     ? pixel_lanes_x
                        : pixel_lanes_y)(e, w, x, y, acc);
}

/* The sums of a chunk, added to those of the chunks before. */
static void add_sums(const Emit *e, Tile *t, const LLVMValueRef *acc, int n)
{
    Walk *w = &t->w;
    LLVMValueRef to = tile_at(w, e->elem, w->base[w->k->scratch_param], t->scalar[S_SUM], 1);
    for (int i = 0; i < n; i++) {
        LLVMValueRef at = tile_at_const(w, e->elem, to, i * e->lanes);
        LLVMValueRef before = tile_load(w, e->vec, at, e->bytes * e->lanes);
        LLVMValueRef sum = LLVMBuildFAdd(w->b, before, acc[i], "");
        LLVMSetAlignment(LLVMBuildStore(w->b, sum, at), (unsigned)(e->bytes * e->lanes));
    }
}

static Tile chunk_tile(const Emit *e, const char *name, int64_t images, int64_t rows)
{
    const Contract *c = e->c;
    LLVMValueRef acc[MAX_ACC];
    Tile t = tile_begin(e->w, name);
    Walk *w = &t.w;
    Nest n = {.elem = e->elem,
              .nlevel = 3,
              .nacc = (int)(e->p.s * e->p.taps * e->p.c),
              .body = pixel,
              .user = (void *)e,
              .level = {{"n", images, 1, e->x.sample, e->y.sample},
                        {"y", rows, 1, c->sh * e->x.row, e->y.row},
                        {"x", c->ow, 1, c->sw * e->x.col, e->y.col}}};
    for (int i = 0; i < n.nacc; i++) acc[i] = LLVMConstNull(e->vec);
    LLVMValueRef x = tile_at(w, e->elem, w->base[w->k->data_param], t.scalar[S_X], 1);
    LLVMValueRef y = tile_at(w, e->elem, w->base[w->k->weight_param], t.scalar[S_Y], 1);
    nest_emit(w, &n, x, y, acc);
    add_sums(e, &t, acc, n.nacc);
    tile_end(&t);
    return t;
}

/* ---- loops ---- */
typedef struct Where {
    Emit *e;
    int depth;
    LLVMValueRef at[MOVES];
    Slice pieces; /* of the turn of the loop around, that are wanted */
} Where;

static void next_step(Walk *w, const Where *here);

static void one_turn(Walk *w, void *user, LLVMValueRef index)
{
    Where here = *(const Where *)user;
    const Step *s = &here.e->step[here.depth++];
    for (int i = 0; i < MOVES; i++)
        if (s->move[i])
            here.at[i] = LLVMBuildAdd(w->b, here.at[i], tile_affine(w, index, s->move[i], 0), "");
    if (s->pieces)
        here.pieces = slice_part(w, here.pieces, tile_affine(w, index, s->pieces, 0), s->pieces);
    next_step(w, &here);
}

static void next_step(Walk *w, const Where *here)
{
    Emit *e = here->e;
    if (here->depth == e->nstep) {
        e->each(e, here->at);
        return;
    }
    const Step *s = &e->step[here->depth];
    if (s->pieces)
        tile_steps(w, s->name, slice_outer(w, here->pieces, s->pieces), 1, one_turn, (void *)here);
    else
        tile_for(w, s->name, 0, s->count, 1, one_turn, (void *)here);
}

static void run_steps(Emit *e, const int64_t from[MOVES])
{
    Where start = {.e = e, .pieces = {e->w->from, e->w->to}};
    for (int i = 0; i < MOVES; i++) start.at[i] = walk_i64(e->w, from[i]);
    next_step(e->w, &start);
}

static void add_step(Emit *e, Step s)
{
    check(e->nstep < MOST_STEPS);
    e->step[e->nstep++] = s;
}

/* Which tile: vectors, scalar channels (blocks of them, then parts of a block), rows and columns
 * of the kernel. Their sums follow each other in that order. */
static void add_tiles(Emit *e)
{
    const DwPlan *p = &e->p;
    const Operand *v = p->lanes_x ? &e->x : &e->y, *s = p->lanes_x ? &e->y : &e->x;
    int64_t unit = s->channels % e->lanes ? s->channels : e->lanes;
    Step vectors = {"v", v->channels / (e->lanes * p->c), 0, {[M_VECTOR] = p->c}};
    Step blocks = {"block", s->channels / unit, 0, {[M_SCALAR] = unit}};
    Step parts = {"part", unit / p->s, 0, {[M_SCALAR] = p->s}};
    Step ky = {"ky", e->c->kh, 0, {[M_KY] = 1, [M_X] = e->c->dh * e->x.row}};
    Step kx = {
        "kx", e->c->kw / p->taps, 0, {[M_KX] = p->taps, [M_X] = p->taps * e->c->dw * e->x.col}};
    vectors.move[p->lanes_x ? M_X : M_Y] = p->c * v->block;
    if (dw_depthwise(e->c)) vectors.move[M_X] = p->c * e->x.block;
    blocks.move[p->lanes_x ? M_Y : M_X] = s->block;
    parts.move[p->lanes_x ? M_Y : M_X] = p->s * s->channel;
    kx.move[M_SUM] = p->s * p->taps * p->c * e->lanes;
    ky.move[M_SUM] = kx.move[M_SUM] * kx.count;
    parts.move[M_SUM] = ky.move[M_SUM] * ky.count;
    blocks.move[M_SUM] = parts.move[M_SUM] * parts.count;
    vectors.move[M_SUM] = blocks.move[M_SUM] * blocks.count;
    parts.pieces = 1;
    blocks.pieces = parts.count;
    vectors.pieces = blocks.count * parts.count;
    const Step all[] = {vectors, blocks, parts, ky, kx};
    for (int i = 0; i < COUNT(all); i++) add_step(e, all[i]);
}

static void call_tile(Emit *e, const LLVMValueRef at[MOVES])
{
    LLVMValueRef scalar[TILE_SCALARS];
    for (int i = 0; i < TILE_SCALARS; i++) scalar[i] = walk_i64(e->w, 0);
    scalar[S_X] = at[M_X];
    scalar[S_Y] = at[M_Y];
    scalar[S_SUM] = at[M_SUM];
    tile_call(e->w, e->tile, scalar);
}

/* `count` chunks of equal size in each of `outer` images (or: chunks of images, `outer` is 1). */
static void over_chunks(Emit *e, const char *name, int64_t count, int64_t images, int64_t rows,
                        int64_t first)
{
    const Contract *c = e->c;
    bool by_row = e->p.images == 1;
    int64_t x = by_row ? c->sh * e->x.row : e->x.sample, y = by_row ? e->y.row : e->y.sample;
    int64_t each = by_row ? rows : images, from[MOVES] = {0};
    if (!count) return;
    Tile t = chunk_tile(e, name, images, rows);
    e->tile = &t;
    e->each = call_tile;
    e->nstep = 0;
    if (by_row) add_step(e, (Step){"n", c->batch, 0, {[M_X] = e->x.sample, [M_Y] = e->y.sample}});
    add_step(e, (Step){"chunk", count, 0, {[M_X] = each * x, [M_Y] = each * y}});
    add_tiles(e);
    from[M_X] = e->x.first - c->ph * e->x.row - c->pw * e->x.col + first * x;
    from[M_Y] = e->y.first + first * y;
    run_steps(e, from);
}

static void all_chunks(Emit *e)
{
    bool by_row = e->p.images == 1;
    Cut cut = cut_evenly(by_row ? e->c->oh : e->c->batch, by_row ? e->p.rows : e->p.images);
    int64_t more = cut.size + 1, rows = e->c->oh;
    over_chunks(e, "chunk1", cut.longer, by_row ? 1 : more, by_row ? more : rows, 0);
    over_chunks(e, "chunk", cut.rest, by_row ? 1 : cut.size, by_row ? cut.size : rows,
                cut.longer * more);
}

/* ---- the results ---- */
static void store_sum(Emit *e, const LLVMValueRef at[MOVES])
{
    Walk *w = e->w;
    LLVMValueRef from = tile_at(w, e->elem, w->base[w->k->scratch_param], at[M_SUM], 1);
    walk_bind(w, e->axis[A_OC], at[e->p.lanes_x ? M_SCALAR : M_VECTOR]);
    walk_bind(w, e->axis[A_IC], at[e->p.lanes_x ? M_VECTOR : M_SCALAR]);
    walk_bind(w, e->axis[A_KY], at[M_KY]);
    walk_bind(w, e->axis[A_KX], at[M_KX]);
    walk_bind(w, e->axis[A_LANE], walk_i64(w, 0));
    walk_set(w, w->k->heavy, tile_load(w, e->vec, from, e->bytes * e->lanes));
    walk_stores(w);
}

static void all_results(Emit *e)
{
    const DwPlan *p = &e->p;
    int64_t from[MOVES] = {0};
    e->each = store_sum;
    e->nstep = 0;
    add_tiles(e);
    add_step(e, (Step){"i", p->s, 0, {[M_SUM] = p->taps * p->c * e->lanes, [M_SCALAR] = 1}});
    add_step(e, (Step){"t", p->taps, 0, {[M_SUM] = p->c * e->lanes, [M_KX] = 1}});
    add_step(e, (Step){"j", p->c, 0, {[M_SUM] = e->lanes, [M_VECTOR] = 1}});
    run_steps(e, from);
}

/* ---- the kernel ---- */
static void clear_tile(Emit *e, const LLVMValueRef at[MOVES])
{
    Walk *w = e->w;
    int64_t bytes = e->p.s * e->p.taps * e->p.c * e->lanes * e->bytes;
    LLVMValueRef to = tile_at(w, e->elem, w->base[w->k->scratch_param], at[M_SUM], 1);
    LLVMValueRef zero = LLVMConstInt(LLVMInt8TypeInContext(w->ctx), 0, 0);
    LLVMBuildMemSet(w->b, to, zero, walk_i64(w, bytes), (unsigned)(e->bytes * e->lanes));
}

static void clear_sums(Emit *e)
{
    int64_t from[MOVES] = {0};
    e->each = clear_tile;
    e->nstep = 0;
    add_tiles(e);
    run_steps(e, from);
}

/* Vectors, scalar channels in parts of s: each has its own sums, so whoever runs it has no need of
 * others' scratch. */
int64_t dwconv_pieces(const Kernel *k)
{
    const Contract *c = &k->contract;
    bool x = k->offer.vec_dim == 1;
    int64_t scalars = x ? c->oc : c->ic / c->groups;
    return (x ? c->ic : c->oc) / k->offer.lanes / k->offer.number[N_BLOCKS] *
           (scalars / k->offer.number[N_SCALARS]);
}

void dwconv_emit(Walk *w)
{
    Emit e = read_kernel(w);
    LLVMBasicBlockRef end = claim_begin(w, w->from, w->to);
    clear_sums(&e);
    all_chunks(&e);
    all_results(&e);
    claim_end(w, end);
}
