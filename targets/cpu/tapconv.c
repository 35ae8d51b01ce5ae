/* SPDX-License-Identifier: Apache-2.0 */
/* Direct tap convolution in blocked channels: [n][c/V][rows][cols][V] with a zero halo, weights
 * packed so that a tile reads them in sequence. One scalar of data is broadcast against C vectors
 * of weights, for every point of the tile; the sums stay in registers until the epilogue.
 *
 * Groups of whole vectors begin at their own data; where groups are parts of a vector, a vector of
 * data is shuffled so that the lanes of each group see its channels one after the other.
 *
 * The same code runs conv at any stride and dilation, and conv_dx class by class (tapgeom.h). An
 * element's sum starts at 0 and adds data block by block, then ky, kx, channel in block, in
 * rising order, whatever tile it falls into: bits do not depend on the plan. Where the taps of a
 * row share what they read (3x3 of stride 1), each datum is broadcast once for all of them, and the
 * order is block, ky, channel in block, kx. */
#include "tapconv.h"

#include "tapplan.h"
#include "tile.h"

#include <stdio.h>

/* Offer.number; the last three follow from the others */
enum { N_TILE_ROWS, N_TILE_COLS, N_BLOCKS, N_UNROLL, N_ORDER, N_BLOCK_ROWS, N_FETCH, N_NEXT };
enum { S_SAMPLE, S_GROUP, S_ROW, S_COL };               /* Tile.scalar, in points */
enum { A_SAMPLE, A_BLOCK, A_ROW, A_COL, A_LANE };       /* kernel axes */
enum { MOST_CLASSES = 16, MOST_LANES = 64, LINE = 64 }; /* bytes of a cache line */

/* ---- the bid ---- */
/* Whole vectors of channels a group, or whole groups a vector; one channel a group: depthwise.c. */
static bool groups_fit(const TapShape *s, int lanes)
{
    int64_t depth = tap_depth(s), width = tap_width(s);
    if (s->data_ch % lanes != 0 || s->result_ch % lanes != 0) return false;
    if (depth < lanes) return depth > 1 && depth == width && lanes % depth == 0;
    return depth % lanes == 0 && width % lanes == 0;
}

static bool tap_fits(const Target *t, const Contract *c, const TapShape *s)
{
    int lanes = target_lanes(t, c->dtype);
    if (t->gpu || lanes < 2 || (c->dtype != DT_F32 && c->dtype != DT_F64)) return false;
    if (tap_classes(s, 0) * tap_classes(s, 1) > MOST_CLASSES) return false;
    if (c->bf16 && (t->dot <= 0 || s->groups > 1 || s->data_ch % lanes != 0)) return false;
    return s->groups == 1
               ? s->result_ch % lanes == 0 && (s->data_ch % lanes == 0 || s->data_ch < lanes)
               : groups_fit(s, lanes);
}

/* The gradient of a grouped convolution: the weight's dimension of the data counts through all
 * groups, that of the results within one. */
static Layout grouped_dx_weights(const TapShape *s, int lanes, int64_t c)
{
    Layout l = {.rank = 4};
    int64_t depth = tap_depth(s), width = tap_width(s);
    bool within = tap_within(s, lanes);
    layout_push(&l, s->data_dim, within ? lanes : depth, s->data_ch / (within ? lanes : depth));
    if (!within) layout_push(&l, s->result_dim, lanes * c, width / (lanes * c));
    if (depth > lanes) layout_push(&l, s->data_dim, lanes, depth / lanes);
    layout_push(&l, 2, 1, s->kernel[0]);
    layout_push(&l, 3, 1, s->kernel[1]);
    layout_push(&l, s->data_dim, 1, within ? depth : lanes);
    if (within) layout_push(&l, s->data_dim, depth, lanes / depth);
    if (c > 1) layout_push(&l, s->result_dim, lanes, c);
    layout_push(&l, s->result_dim, 1, within ? width : lanes);
    return l;
}

/* {result / VC} {data / V} {ky} {kx} {data % V} {(result / V) % C} {result % V}, data channels
 * counted within their group; `step` of them side by side innermost. {kx} comes behind {data % V}
 * where taps share what they read. */
static Layout weight_layout(const TapShape *s, int lanes, int64_t c, int64_t step, bool shares)
{
    Layout l = {.rank = 4};
    int64_t depth = tap_depth(s);
    if (s->groups > 1 && s->dx) return grouped_dx_weights(s, lanes, c);
    layout_push(&l, s->result_dim, lanes * c, s->result_ch / (lanes * c));
    if (depth >= lanes) layout_push(&l, s->data_dim, lanes, depth / lanes);
    layout_push(&l, 2, 1, s->kernel[0]);
    if (!shares) layout_push(&l, 3, 1, s->kernel[1]);
    layout_push(&l, s->data_dim, step, (depth < lanes ? depth : lanes) / step);
    if (shares) layout_push(&l, 3, 1, s->kernel[1]);
    if (c > 1) layout_push(&l, s->result_dim, lanes, c);
    layout_push(&l, s->result_dim, 1, lanes);
    if (step > 1) layout_push(&l, s->data_dim, 1, step);
    return l;
}

static void tap_bid(const Target *t, const Contract *c, const TapShape *s, const TapPlan *p,
                    Offer *o)
{
    int lanes = target_lanes(t, c->dtype);
    int64_t low[2], high[2];
    tap_halo(s, low, high);
    Type data = tap_data(c, s), result = tap_result(c, s);
    bool planar = s->data_ch < lanes;
    o->in = planar ? layout_halo(data, low, high) : layout_blocked(data, lanes, low, high);
    o->out = layout_blocked(result, lanes, NULL, NULL);
    o->w = weight_layout(s, lanes, p->c, tap_step(c), tap_shares(t, s, tap_step(c)));
    o->vec_dim = 1;
    o->lanes = lanes;
    o->number[N_TILE_ROWS] = p->th;
    o->number[N_TILE_COLS] = p->tw;
    o->number[N_BLOCKS] = p->c;
    o->number[N_UNROLL] = p->unroll;
    o->number[N_ORDER] = p->order;
    o->number[N_BLOCK_ROWS] = tap_block_rows(t, c, s, p);
    o->number[N_FETCH] = tap_fetches(t, c, s, p);
    o->number[N_NEXT] = tap_fetches_next(t, c, s, p);
    o->cost = p->cost;
}

static TapPlan plan_of(const int64_t *number)
{
    return (TapPlan){.th = number[N_TILE_ROWS],
                     .tw = number[N_TILE_COLS],
                     .c = number[N_BLOCKS],
                     .unroll = number[N_UNROLL],
                     .order = number[N_ORDER]};
}

bool tapconv_offer(const Target *t, const Contract *c, Offer *o)
{
    TapShape s;
    TapPlan p;
    if (!tap_shape(c, &s) || !tap_fits(t, c, &s) || !tap_plan(t, c, &s, &p)) return false;
    tap_bid(t, c, &s, &p, o);
    return true;
}

const PlanField tapconv_fields[] = {{.name = "tile", N_TILE_ROWS, 3, 32},
                                    {.name = "unroll", N_UNROLL, 1, 8},
                                    {.name = "order", N_ORDER, 1, 2, "ABC"},
                                    {.name = NULL}};

bool tapconv_fit(const Target *t, const Contract *c, Offer *o, char *why)
{
    TapShape s;
    TapPlan p = plan_of(o->number);
    if (!tap_shape(c, &s) || !tap_fits(t, c, &s)) {
        snprintf(why, PLAN_WHY,
                 "tapconv wants whole vectors of results, and data that fills vectors or has "
                 "fewer channels than one; of groups whole vectors, or whole groups a vector");
        return false;
    }
    if (!tap_plan_fit(t, c, &s, &p, why)) return false;
    tap_bid(t, c, &s, &p, o);
    return true;
}

/* ---- what the emitter knows ---- */
typedef struct Emit {
    Walk *w; /* the kernel's function; tiles have their own */
    TapShape s;
    TapPlan p;
    int axis[MAX_CLAIM_AXES], lanes;
    LLVMTypeRef elem, vec;                        /* of an operand in memory; of sums */
    DType dtype;                                  /* of the weights in memory */
    LLVMTypeRef scalar;                           /* the data of a step */
    int64_t step;                                 /* data channels of a step */
    int64_t blocks, channels;                     /* of the data: how many, and channels in each */
    int64_t in_block, in_row, in_col, in_channel; /* strides in elements */
    int64_t in_low[2];
    bool within;       /* groups are parts of a vector */
    int64_t in_sample; /* of tiles whose columns are samples: between their data; 0: of others */
    int64_t panel;     /* how many */
    bool shares;       /* tap_shares */
    int64_t wt_group, wt_block, wt_row, wt_col, wt_channel;
    TapAxis y, x; /* the class at hand */
    LLVMValueRef n, group, row;
    const Tile *tile;
    Slice pieces;  /* rows of tiles that are wanted: those of the group at hand */
    int64_t piece; /* the first of the rows to be emitted next */
    int64_t th;    /* their height */
    int64_t top;   /* result row at which they begin */
    Cut cols;
    Tile wide, narrow; /* of the columns: size + 1 and size */
} Emit;

static void read_data_layout(Emit *e)
{
    const Layout *l = &e->w->k->param[e->w->k->data_param].layout;
    int row = layout_digit(l, 2, 1), col = layout_digit(l, 3, 1), channel = layout_digit(l, 1, 1);
    int block = layout_find(l, 1, e->lanes);
    e->within = tap_within(&e->s, e->lanes);
    e->channels = tap_depth(&e->s) < e->lanes ? tap_depth(&e->s) : e->lanes;
    e->blocks = tap_depth(&e->s) / e->channels;
    e->in_block = block < 0 ? e->channels * layout_stride(l, channel) : layout_stride(l, block);
    e->in_row = layout_stride(l, row);
    e->in_col = layout_stride(l, col);
    e->in_channel = layout_stride(l, channel);
    e->in_low[0] = l->digit[row].low;
    e->in_low[1] = l->digit[col].low;
}

static void read_weight_layout(Emit *e)
{
    const Layout *l = &e->w->k->param[e->w->k->weight_param].layout;
    Layout want = weight_layout(&e->s, e->lanes, e->p.c, e->step, e->shares);
    check(layout_eq(l, &want));
    e->wt_row = layout_stride(l, layout_digit(l, 2, 1));
    e->wt_col = layout_stride(l, layout_digit(l, 3, 1));
    e->wt_channel = e->p.c * e->lanes * e->step * (e->shares ? e->s.kernel[1] : 1);
    e->wt_block = e->wt_row * e->s.kernel[0];
    e->wt_group = e->wt_block * e->blocks;
}

/* Elements between the data of two samples; 0: the caller's memory, where a table has them. */
static int64_t sample_step(const Emit *e)
{
    const KParam *p = &e->w->k->param[e->w->k->data_param];
    return p->io ? 0 : layout_stride(&p->layout, layout_digit(&p->layout, 0, 1));
}

static Emit read_kernel(Walk *w)
{
    const Kernel *k = w->k;
    Emit e = {.w = w, .lanes = k->offer.lanes};
    check(tap_shape(&k->contract, &e.s) && k->data_param >= 0 && k->weight_param >= 0);
    e.p = plan_of(k->offer.number);
    claim_axes(k, e.axis);
    check(w->lanes == e.lanes);
    e.elem = tile_elem(w, k->data_param);
    e.dtype = k->param[k->weight_param].dtype;
    e.vec = walk_vec(w, k->contract.dtype, e.lanes);
    e.step = tap_step(&k->contract);
    e.shares = tap_shares(w->target, &e.s, e.step);
    e.scalar = k->contract.bf16 ? LLVMInt32TypeInContext(w->ctx) : e.elem;
    read_data_layout(&e);
    read_weight_layout(&e);
    return e;
}

/* Elements from one column of a tile to the next. */
static int64_t column_step(const Emit *e)
{
    return e->in_sample ? e->in_sample : e->x.in_point * e->in_col;
}

/* ---- one tile ---- */
typedef struct Shape {
    const Emit *e;
    int64_t th, tw;
    LLVMValueRef next; /* next_part, or NULL */
} Shape;

/* A point's data for k-step u: one channel for all lanes, or for the lanes of each group its own.
 */
static LLVMValueRef point_data(const Emit *e, Walk *w, LLVMValueRef in, int64_t at, int64_t u)
{
    int bytes = dtype_bytes(w->k->contract.dtype);
    if (!e->within) {
        at += u * e->step * e->in_channel;
        return walk_splat(w, tile_load(w, e->scalar, tile_at_const(w, e->elem, in, at), bytes));
    }
    LLVMValueRef x = tile_load(w, e->vec, tile_at_const(w, e->elem, in, at), bytes * e->lanes);
    LLVMValueRef lane[MOST_LANES], none = LLVMGetPoison(e->vec);
    for (int64_t l = 0; l < e->lanes; l++)
        lane[l] = LLVMConstInt(LLVMInt32TypeInContext(w->ctx),
                               (uint64_t)(l / e->channels * e->channels + u), false);
    return LLVMBuildShuffleVector(w->b, x, none, LLVMConstVector(lane, (unsigned)e->lanes), "");
}

static LLVMValueRef tap_product(const Emit *e, Walk *w, LLVMValueRef x, LLVMValueRef weight,
                                LLVMValueRef acc)
{
    return e->step > 1 ? tile_dot(w, x, weight, acc) : tile_weigh(w, x, weight, acc);
}

/* The next group's weights, a part in each row of tiles: where this row's is, counted from what it
 * reads itself. A part is some lines of each basic block's. */
static int64_t block_lines(const Emit *e)
{
    int64_t bytes = e->p.unroll * e->wt_channel * dtype_bytes(e->dtype);
    return (bytes + LINE - 1) / LINE;
}

static LLVMValueRef next_part(const Emit *e, Tile *t)
{
    Walk *w = &t->w;
    LLVMValueRef at = tile_affine(w, t->scalar[S_ROW], block_lines(e), 0);
    return tile_affine(w, walk_quotient(w, at, e->y.points), LINE / dtype_bytes(e->dtype),
                       e->wt_group);
}

static void fetch_next(const Emit *e, Walk *w, LLVMValueRef wt, LLVMValueRef part, int64_t th)
{
    int64_t lines = (block_lines(e) * th + e->y.points - 1) / e->y.points;
    wt = tile_at(w, e->elem, wt, part, 1);
    for (int64_t i = 0; i < lines; i++)
        tile_prefetch_far(w, tile_at_const(w, e->elem, wt, i * LINE / dtype_bytes(e->dtype)));
}

/* `unroll` k-steps: each broadcasts the points' data against c vectors of weights. */
static void tap_steps(Walk *w, void *user, LLVMValueRef in, LLVMValueRef wt, LLVMValueRef *acc)
{
    const Shape *s = user;
    const Emit *e = s->e;
    int64_t c = e->p.c, row = e->y.in_point * e->in_row, col = column_step(e);
    int bytes = dtype_bytes(w->k->contract.dtype);
    LLVMTypeRef vec = LLVMVectorType(e->scalar, (unsigned)e->lanes);
    LLVMValueRef weight[MAX_ACC];
    if (s->next) fetch_next(e, w, wt, s->next, s->th);
    for (int64_t u = 0; u < e->p.unroll; u++) {
        if (w->k->offer.number[N_FETCH])
            tile_prefetch_stream(w, tile_at_const(w, e->elem, wt, u * c * e->lanes * e->step),
                                 c * e->lanes * bytes);
        for (int64_t j = 0; j < c; j++) {
            int64_t at = (u * c + j) * e->lanes * e->step;
            weight[j] = tile_weights(w, vec, tile_at_const(w, e->elem, wt, at), bytes * e->lanes);
        }
        for (int64_t i = 0; i < s->th * s->tw; i++) {
            LLVMValueRef x = point_data(e, w, in, i / s->tw * row + i % s->tw * col, u);
            for (int64_t j = 0; j < c; j++)
                acc[i * c + j] = tap_product(e, w, x, weight[j], acc[i * c + j]);
        }
    }
}

/* ---- taps of a row that share what they read ---- */

/* Does a column of data exist? Counted from that of the tile's first point under tap 0; what a tile
 * reads that is no whole row may be halo or not. */
static bool may_exist(const Shape *s, int64_t col)
{
    const Emit *e = s->e;
    int64_t at = e->x.in0 + col;
    return s->tw < e->x.points || (at >= 0 && at < e->s.data[1]);
}

/* One channel of a row of data against all taps that meet it, which rise for each result. */
static void shared_row(const Shape *s, Walk *w, LLVMValueRef in, int64_t u,
                       const LLVMValueRef *weight, LLVMValueRef *acc)
{
    const Emit *e = s->e;
    int64_t span = (e->x.taps - 1) * e->x.in_tap, c = e->p.c;
    int64_t from = span < 0 ? s->tw - 1 : 0, by = span < 0 ? -1 : 1, n = s->tw + by * span;
    for (int64_t col = from; n-- > 0; col += by) {
        if (!may_exist(s, col)) continue;
        LLVMValueRef x = point_data(e, w, in, col * e->in_col, u);
        for (int64_t t = 0; t < e->x.taps; t++) {
            int64_t i = col - t * e->x.in_tap;
            for (int64_t j = 0; i >= 0 && i < s->tw && j < c; j++)
                acc[i * c + j] = tile_weigh(w, x, weight[t * c + j], acc[i * c + j]);
        }
    }
}

static void load_taps(const Emit *e, Walk *w, LLVMValueRef wt, LLVMValueRef *weight)
{
    int bytes = dtype_bytes(w->k->contract.dtype);
    if (w->k->offer.number[N_FETCH]) tile_prefetch_stream(w, wt, e->wt_channel * bytes);
    for (int64_t i = 0; i < e->x.taps * e->p.c; i++) {
        int64_t at = i / e->p.c * e->x.k_tap * e->wt_col + i % e->p.c * e->lanes;
        weight[i] = tile_weights(w, e->vec, tile_at_const(w, e->elem, wt, at), bytes * e->lanes);
    }
}

/* `unroll` channels, each under all taps of the row. */
static void shared_steps(Walk *w, void *user, LLVMValueRef in, LLVMValueRef wt, LLVMValueRef *acc)
{
    const Shape *s = user;
    const Emit *e = s->e;
    LLVMValueRef weight[MAX_ACC];
    if (s->next) fetch_next(e, w, wt, s->next, s->th);
    for (int64_t u = 0; u < e->p.unroll; u++) {
        load_taps(e, w, tile_at_const(w, e->elem, wt, u * e->wt_channel), weight);
        for (int64_t y = 0; y < s->th; y++)
            shared_row(s, w, tile_at_const(w, e->elem, in, y * e->y.in_point * e->in_row), u,
                       weight, acc + y * s->tw * e->p.c);
    }
}

/* Does prefetching pay? Where points are apart the hardware does not foresee what a tile reads, and
 * where there is one tap and several samples little of it is near. Other kernels find most of their
 * data in the nearest cache, and in short sums stores are what takes time. */
static bool wants_ahead(const Emit *e)
{
    bool once = e->y.taps * e->x.taps == 1 && e->w->k->contract.batch > 1;
    if (tap_is_product(&e->s)) return false;
    return e->blocks >= 8 && (once || e->x.in_point > 1);
}

/* The lines that the next tile reads where this one stands: below if a tile is a row, else to the
 * right. */
static void tap_ahead(Walk *w, void *user, LLVMValueRef in)
{
    const Shape *s = user;
    const Emit *e = s->e;
    int64_t row = e->y.in_point * e->in_row, col = e->x.in_point * e->in_col;
    int64_t next = s->tw == e->x.points ? s->th * row : s->tw * col;
    int64_t line = LINE / dtype_bytes(w->k->param[w->k->data_param].dtype),
            each = line > col ? line / col : 1;
    for (int64_t y = 0; y < s->th; y++)
        for (int64_t x = 0; x < s->tw; x += each)
            tile_prefetch(w, tile_at_const(w, e->elem, in, next + y * row + x * col));
}

/* Number of the first block of data that the tile's group of channels reads. */
static LLVMValueRef first_block(const Emit *e, Tile *t)
{
    int64_t like = e->within ? 1 : tap_width(&e->s) / (e->lanes * e->p.c);
    LLVMValueRef group = walk_quotient(&t->w, t->scalar[S_GROUP], like);
    return tile_affine(&t->w, group, e->blocks, 0);
}

/* Address of data channel 0 under tap (0, 0) of the tile's first point. */
static LLVMValueRef first_data(const Emit *e, Tile *t)
{
    Walk *w = &t->w;
    LLVMValueRef at = tile_sample(w, w->k->data_param, t->scalar[S_SAMPLE]);
    if (e->s.groups > 1) at = tile_at(w, e->elem, at, first_block(e, t), e->in_block);
    LLVMValueRef y = tile_affine(w, t->scalar[S_ROW], e->y.in_point, e->y.in0 + e->in_low[0]);
    LLVMValueRef x = tile_affine(w, t->scalar[S_COL], e->x.in_point, e->x.in0 + e->in_low[1]);
    return tile_at(w, e->elem, tile_at(w, e->elem, at, y, e->in_row), x, e->in_col);
}

static LLVMValueRef first_weight(const Emit *e, Tile *t)
{
    Walk *w = &t->w;
    LLVMValueRef at = w->base[w->k->weight_param];
    at = tile_at(w, e->elem, at, t->scalar[S_GROUP], e->wt_group);
    return tile_at_const(w, e->elem, at, e->y.k0 * e->wt_row + e->x.k0 * e->wt_col);
}

/* The rows of taps that tap_met has, for a tile of any place: taps one data row apart begin and end
 * where the tile's last and first points say. */
static Slice met_rows(const Shape *s, Tile *t)
{
    const Emit *e = s->e;
    const TapAxis *y = &e->y;
    Walk *w = &t->w;
    int64_t below = (s->th - 1) * y->in_point, extent = e->s.data[0], taps = y->taps;
    LLVMValueRef at = tile_affine(w, t->scalar[S_ROW], y->in_point, y->in0), from, to;
    if (y->in_tap > 0) {
        from = LLVMBuildSub(w->b, walk_i64(w, -below), at, "");
        to = LLVMBuildSub(w->b, walk_i64(w, extent), at, "");
    } else {
        from = tile_affine(w, at, 1, 1 - extent);
        to = tile_affine(w, at, 1, 1 + below);
    }
    LLVMValueRef none = walk_i64(w, 0), all = walk_i64(w, taps);
    LLVMValueRef later = LLVMBuildICmp(w->b, LLVMIntSGT, from, none, "");
    LLVMValueRef sooner = LLVMBuildICmp(w->b, LLVMIntSLT, to, all, "");
    return (Slice){LLVMBuildSelect(w->b, later, from, none, ""),
                   LLVMBuildSelect(w->b, sooner, to, all, "")};
}

static void tap_sums(Tile *t, const Shape *s, LLVMValueRef *acc)
{
    const Emit *e = s->e;
    int64_t taps = e->shares ? 1 : e->x.taps; /* in a loop */
    Nest n = {.elem = e->elem,
              .nlevel = 4,
              .nacc = (int)(s->th * s->tw * e->p.c),
              .body = e->shares ? shared_steps : tap_steps,
              .enter = wants_ahead(e) ? tap_ahead : NULL,
              .user = (void *)s,
              .level = {{"block", e->blocks, 1, e->in_block, e->wt_block},
                        {"ky", e->y.taps, 1, e->y.in_tap * e->in_row, e->y.k_tap * e->wt_row},
                        {"kx", taps, 1, e->x.in_tap * e->in_col, e->x.k_tap * e->wt_col},
                        {"channel", e->channels / e->step, e->p.unroll, e->step * e->in_channel,
                         e->wt_channel}}};
    check(n.nacc <= MAX_ACC);
    if (tap_skips(&e->y, e->s.data[0], s->th)) {
        Slice rows = met_rows(s, t);
        n.level[1].from = rows.from;
        n.level[1].to = rows.to;
    }
    for (int i = 0; i < n.nacc; i++) acc[i] = LLVMConstNull(e->vec);
    nest_emit(&t->w, &n, first_data(e, t), first_weight(e, t), acc);
}

static void bind_column(Tile *t, const Emit *e, int64_t i)
{
    Walk *w = &t->w;
    int64_t at = e->in_sample ? 0 : i;
    if (e->in_sample) walk_bind(w, e->axis[A_SAMPLE], tile_affine(w, t->scalar[S_SAMPLE], 1, i));
    walk_bind(w, e->axis[A_COL],
              tile_affine(w, t->scalar[S_COL], e->x.step, e->x.first + at * e->x.step));
}

static void tap_store_row(Tile *t, const Shape *s, int64_t row, int64_t block,
                          const LLVMValueRef *acc)
{
    const Emit *e = s->e;
    Walk *w = &t->w;
    walk_bind(w, e->axis[A_ROW],
              tile_affine(w, t->scalar[S_ROW], e->y.step, e->y.first + row * e->y.step));
    for (int64_t i = 0; i < s->tw; i++) {
        bind_column(t, e, i);
        walk_set(w, w->k->heavy, acc[(row * s->tw + i) * e->p.c + block]);
        walk_stores(w);
    }
}

static void tap_stores(Tile *t, const Shape *s, const LLVMValueRef *acc)
{
    const Emit *e = s->e;
    walk_bind(&t->w, e->axis[A_SAMPLE], t->scalar[S_SAMPLE]);
    walk_bind(&t->w, e->axis[A_LANE], walk_i64(&t->w, 0));
    for (int64_t j = 0; j < e->p.c; j++) {
        walk_bind(&t->w, e->axis[A_BLOCK], tile_affine(&t->w, t->scalar[S_GROUP], e->p.c, j));
        for (int64_t row = 0; row < s->th; row++) tap_store_row(t, s, row, j, acc);
    }
}

static Tile tap_tile(const Emit *e, int64_t th, int64_t tw)
{
    char suffix[64];
    snprintf(suffix, sizeof suffix, "tap%lldx%lldx%lld", (long long)th, (long long)tw,
             (long long)e->p.c);
    Shape s = {e, th, tw, NULL};
    LLVMValueRef acc[MAX_ACC];
    Tile t = tile_begin(e->w, suffix);
    if (e->w->k->offer.number[N_NEXT]) s.next = next_part(e, &t);
    tap_sums(&t, &s, acc);
    tap_stores(&t, &s, acc);
    tile_end(&t);
    return t;
}

/* ---- loops around the tiles ---- */
static void call_tile(Walk *w, void *user, LLVMValueRef col)
{
    const Emit *e = user;
    tile_call(w, e->tile, (LLVMValueRef[]){e->n, e->group, e->row, col});
}

static void over_cols(Walk *w, void *user, LLVMValueRef i)
{
    Emit *e = user;
    Cut c = e->cols;
    e->row = tile_affine(w, i, e->th, e->top);
    e->tile = &e->wide;
    tile_for(w, "x", 0, c.longer, c.size + 1, call_tile, e);
    e->tile = &e->narrow;
    tile_for(w, "x", c.longer * (c.size + 1), c.rest, c.size, call_tile, e);
}

static void over_rows(Emit *e, int64_t from, int64_t count, int64_t th)
{
    if (count == 0) return;
    if (e->cols.longer) e->wide = tap_tile(e, th, e->cols.size + 1);
    if (e->cols.rest) e->narrow = tap_tile(e, th, e->cols.size);
    e->top = from;
    e->th = th;
    Slice rows = slice_part(e->w, e->pieces, walk_i64(e->w, e->piece), count);
    tile_steps(e->w, "y", rows, 1, over_cols, e);
    e->piece += count;
}

static void over_points(Emit *e)
{
    if (e->y.points == 0 || e->x.points == 0) return;
    Cut rows = cut_evenly(e->y.points, e->p.th);
    e->cols = e->in_sample ? (Cut){.size = e->panel, .rest = 1} : cut_evenly(e->x.points, e->p.tw);
    over_rows(e, 0, rows.longer, rows.size + 1);
    over_rows(e, rows.longer * (rows.size + 1), rows.rest, rows.size);
}

static void over_classes(Emit *e)
{
    e->piece = 0;
    for (int64_t a = 0; a < tap_classes(&e->s, 0); a++)
        for (int64_t b = 0; b < tap_classes(&e->s, 1); b++) {
            e->y = tap_axis(&e->s, 0, a);
            e->x = tap_axis(&e->s, 1, b);
            over_points(e);
        }
}

static void over_samples(Walk *w, void *user, LLVMValueRef n);

/* Rows of tiles of a group, over all classes. */
static int64_t tile_rows(const TapShape *s, int64_t th)
{
    int64_t n = 0;
    for (int64_t a = 0; a < tap_classes(s, 0); a++)
        for (int64_t b = 0; b < tap_classes(s, 1); b++) {
            int64_t rows = tap_axis(s, 0, a).points;
            if (rows == 0 || tap_axis(s, 1, b).points == 0) continue;
            Cut cut = cut_evenly(rows, th);
            n += cut.longer + cut.rest;
        }
    return n;
}

static void one_panel(Walk *w, void *user, LLVMValueRef n)
{
    Emit *e = user;
    (void)w;
    e->n = n;
    over_classes(e);
}

/* Products: as many samples at once as a tile has columns, the last ones by smaller tiles. */
static void over_panels(Emit *e, LLVMValueRef from, LLVMValueRef to)
{
    Walk *w = e->w;
    e->in_sample = sample_step(e);
    for (e->panel = e->p.tw; e->panel > 0; e->panel = tap_next_panel(e->panel)) {
        LLVMValueRef n = walk_quotient(w, LLVMBuildSub(w->b, to, from, ""), e->panel);
        LLVMValueRef whole = LLVMBuildAdd(w->b, from, tile_affine(w, n, e->panel, 0), "");
        tile_steps(w, "panel", (Slice){from, whole}, e->panel, one_panel, e);
        from = whole;
    }
}

static void over_groups(Walk *w, void *user, LLVMValueRef group)
{
    Emit *e = user;
    LLVMValueRef from, to;
    int64_t rows = tile_rows(&e->s, e->p.th);
    e->group = group;
    e->pieces = slice_part(w, (Slice){w->from, w->to}, tile_affine(w, group, rows, 0), rows);
    if (e->p.order != TAP_BY_GROUP) {
        over_classes(e);
        return;
    }
    claim_samples(w, e->axis[A_SAMPLE], &from, &to);
    if (tap_is_product(&e->s) && sample_step(e))
        over_panels(e, from, to);
    else
        tile_range(w, "n", from, to, over_samples, e);
}

/* Order C: a piece is a block of rows of tiles of a group. */
static void over_block(Walk *w, void *user, LLVMValueRef piece)
{
    Emit *e = user;
    int64_t rows = tile_rows(&e->s, e->p.th), each = w->k->offer.number[N_BLOCK_ROWS];
    int64_t groups = e->s.result_ch / (e->lanes * e->p.c);
    LLVMValueRef block = walk_quotient(w, piece, groups), all = walk_i64(w, rows);
    LLVMValueRef from = tile_affine(w, block, each, 0), to = tile_affine(w, block, each, each);
    LLVMValueRef whole = LLVMBuildICmp(w->b, LLVMIntSLE, to, all, "");
    e->group = LLVMBuildSub(w->b, piece, tile_affine(w, block, groups, 0), "");
    e->pieces = (Slice){from, LLVMBuildSelect(w->b, whole, to, all, "")};
    over_classes(e);
}

static void each_group(Emit *e)
{
    Walk *w = e->w;
    Slice groups = slice_outer(w, (Slice){w->from, w->to}, tile_rows(&e->s, e->p.th));
    tile_range(w, "group", groups.from, groups.to, over_groups, e);
}

static void over_samples(Walk *w, void *user, LLVMValueRef n)
{
    Emit *e = user;
    e->n = n;
    if (e->p.order == TAP_BY_GROUP)
        over_classes(e);
    else if (e->p.order == TAP_BY_ROWS)
        tile_range(w, "piece", w->from, w->to, over_block, e);
    else
        each_group(e);
}

/* Rows of tiles, group by group: workers share rows where maps are large, and channels, whose
 * weights are then read by one of them, where maps are small. */
int64_t tapconv_pieces(const Kernel *k)
{
    TapShape s;
    check(tap_shape(&k->contract, &s));
    int64_t groups = s.result_ch / (k->offer.lanes * k->offer.number[N_BLOCKS]);
    int64_t rows = tile_rows(&s, k->offer.number[N_TILE_ROWS]);
    int64_t each = k->offer.number[N_ORDER] == TAP_BY_ROWS ? k->offer.number[N_BLOCK_ROWS] : 1;
    return groups * ((rows + each - 1) / each);
}

void tapconv_emit(Walk *w)
{
    Emit e = read_kernel(w);
    LLVMValueRef from, to;
    claim_samples(w, e.axis[A_SAMPLE], &from, &to);
    LLVMBasicBlockRef end = claim_begin(w, from, to);
    if (e.p.order == TAP_BY_GROUP)
        each_group(&e);
    else
        tile_range(w, "n", from, to, over_samples, &e);
    claim_end(w, end);
}
