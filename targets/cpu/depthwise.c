/* SPDX-License-Identifier: Apache-2.0 */
/* conv and conv_dx with one channel a group, blocked by channels. Lanes are channels: each sum is
 * vectors of data times vectors of weights. A tile is a row of n results in registers; it goes over
 * the columns of a row of data, of which each is loaded once for all taps that meet it.
 *
 * No halo is wanted: zeroing it would cost more than the sums. Taps outside the data are left out,
 * rows by the bounds of a loop, columns where the tile at the end of a row is emitted.
 *
 * An element's sum starts at 0 and adds kernel row by kernel row, column by column, those that meet
 * data. Tiles do not enter.
 *
 * The plan: with kw weights, n sums and a vector of data in registers,
 *
 *   row of taps = max(n * kw, n * in_point + kw - 1 + kw) / rate   multiply-adds, loads
 *   tile        = taps of a column * row of taps + CALL_CYCLES
 *
 * so n is as large as registers allow, up to MOST_COLS, and rows are cut evenly. */
#include "tapconv.h"

#include "tapplan.h"
#include "tile.h"

#include <stdio.h>

enum { N_COLS };                                   /* Offer.number */
enum { S_SAMPLE, S_BLOCK, S_ROW, S_COL };          /* Tile.scalar, in points */
enum { A_SAMPLE, A_BLOCK, A_ROW, A_COL, A_LANE };  /* kernel axes */
enum { MOST_COLS = 16, MOST_TAPS = 9, SPARE = 3 }; /* registers beside sums and weights */
enum { MOST_CLASSES = 16, MOST_SPAN = 16, CALL_CYCLES = 30 };

/* ---- the bid ---- */

/* Is there a tap with data for each row of the class? The loop over them goes at least once. */
static bool rows_meet(const TapShape *s, const TapAxis *a)
{
    for (int64_t i = 0; i < a->points; i++) {
        int64_t met = 0;
        for (int64_t t = 0; t < a->taps; t++) {
            int64_t at = a->in0 + i * a->in_point + t * a->in_tap;
            met += at >= 0 && at < s->data[0];
        }
        if (!met) return false;
    }
    return true;
}

/* Few tiles lie at the ends of a row, and none beside all data. */
static bool narrow(const Contract *c)
{
    int64_t span = (c->kw - 1) * c->dw;
    return c->kw <= MOST_TAPS && span <= MOST_SPAN && c->pw <= span && c->pw2 <= span;
}

static bool fits(const Target *t, const Contract *c, TapShape *s)
{
    int lanes = target_lanes(t, c->dtype);
    if (!tap_shape(c, s) || t->gpu || lanes < 2) return false;
    if (s->groups < 2 || s->groups != s->data_ch || s->groups != s->result_ch) return false;
    if ((c->dtype != DT_F32 && c->dtype != DT_F64) || s->groups % lanes) return false;
    if (tap_classes(s, 0) * tap_classes(s, 1) > MOST_CLASSES || !narrow(c)) return false;
    for (int64_t i = 0; i < tap_classes(s, 0); i++) {
        TapAxis a = tap_axis(s, 0, i);
        if (!rows_meet(s, &a)) return false;
    }
    return true;
}

/* {channel / V} {ky} {kx} {channel % V} */
static Layout weight_layout(const TapShape *s, int lanes)
{
    Layout l = {.rank = 4};
    layout_push(&l, 0, lanes, s->groups / lanes);
    layout_push(&l, 1, 1, 1);
    layout_push(&l, 2, 1, s->kernel[0]);
    layout_push(&l, 3, 1, s->kernel[1]);
    layout_push(&l, 0, 1, lanes);
    return l;
}

static int64_t most_cols(const Target *t, const TapShape *s)
{
    int64_t n = t->vec_regs - s->kernel[1] - SPARE;
    return n < 1 ? 1 : n < MOST_COLS ? n : MOST_COLS;
}

static double cycles(const Target *t, const Contract *c, const TapShape *s, int64_t cols)
{
    double sum = 0;
    for (int64_t i = 0; i < tap_classes(s, 0) * tap_classes(s, 1); i++) {
        TapAxis y = tap_axis(s, 0, i / tap_classes(s, 1)),
                x = tap_axis(s, 1, i % tap_classes(s, 1));
        if (!x.points) continue;
        Cut cut = cut_evenly(x.points, cols);
        double tiles = (double)(y.points * (cut.longer + cut.rest));
        double n = (double)x.points / (double)(cut.longer + cut.rest), taps = (double)x.taps;
        double adds = n * taps, loads = n * (double)x.in_point + 2 * taps - 1;
        double row = (adds > loads ? adds : loads) / tap_rate(t);
        sum += tiles * ((double)y.taps * row + CALL_CYCLES);
    }
    return sum * (double)(c->batch * s->groups / target_lanes(t, c->dtype));
}

static void bid(const Target *t, const Contract *c, const TapShape *s, int64_t cols, Offer *o)
{
    int lanes = target_lanes(t, c->dtype);
    DType in = c->bf16 ? DT_BF16 : c->dtype;
    o->in = layout_blocked(tap_data(c, s), target_block(t, in, s->groups, lanes), NULL, NULL);
    o->out = layout_blocked(tap_result(c, s), lanes, NULL, NULL);
    o->w = weight_layout(s, lanes);
    o->vec_dim = 1;
    o->lanes = lanes;
    o->number[N_COLS] = cols;
    o->cost = cycles(t, c, s, cols);
}

bool depthwise_offer(const Target *t, const Contract *c, Offer *o)
{
    TapShape s;
    if (!fits(t, c, &s)) return false;
    bid(t, c, &s, most_cols(t, &s), o);
    return true;
}

const PlanField depthwise_fields[] = {{.name = "tile", N_COLS, 1, 32}, {.name = NULL}};

bool depthwise_fit(const Target *t, const Contract *c, Offer *o, char *why)
{
    TapShape s;
    int64_t cols = o->number[N_COLS];
    if (!fits(t, c, &s)) {
        snprintf(why, PLAN_WHY, "depthwise wants one channel a group, and whole vectors of them");
        return false;
    }
    int64_t room = t->vec_regs - s.kernel[1] - SPARE;
    if (cols < 0) cols = most_cols(t, &s);
    if (cols < 1 || (cols > 1 && cols > room)) {
        snprintf(why, PLAN_WHY, "a tile of %lld wants as many registers for sums, of %lld",
                 (long long)cols, (long long)room);
        return false;
    }
    bid(t, c, &s, cols, o);
    return true;
}

/* ---- what the emitter knows ---- */
typedef struct Operand { /* strides in elements */
    DType dtype;
    LLVMTypeRef elem;
    int64_t block, vectors; /* of a block */
    int64_t row, col, low[2];
} Operand;

typedef struct Emit {
    Walk *w; /* the kernel's function; tiles have their own */
    TapShape s;
    int axis[MAX_CLAIM_AXES], lanes;
    int64_t cols; /* of a tile at most */
    Operand in, wt;
    TapAxis y, x; /* the class at hand */
    LLVMValueRef n, block, row;
    const Tile *tile;
    Slice pieces;  /* rows of the block at hand that are wanted */
    int64_t piece; /* the first of the rows to be emitted next */
} Emit;

static Operand read_operand(Walk *w, int param, int dim, int lanes)
{
    const Layout *l = &w->k->param[param].layout;
    int row = layout_digit(l, 2, 1), col = layout_digit(l, 3, 1), vectors = 1;
    int block = layout_find(l, dim, lanes);
    if (block < 0 && (block = layout_find(l, dim, 2 * lanes)) >= 0) vectors = 2;
    check(layout_stride(l, layout_digit(l, dim, 1)) == 1);
    return (Operand){.dtype = w->k->param[param].dtype,
                     .elem = tile_elem(w, param),
                     .block = block < 0 ? lanes : layout_stride(l, block), /* none: one pixel */
                     .vectors = vectors,
                     .row = layout_stride(l, row),
                     .col = layout_stride(l, col),
                     .low = {l->digit[row].low, l->digit[col].low}};
}

static Emit read_kernel(Walk *w)
{
    const Kernel *k = w->k;
    Emit e = {.w = w, .lanes = k->offer.lanes, .cols = k->offer.number[N_COLS]};
    check(tap_shape(&k->contract, &e.s) && k->data_param >= 0 && k->weight_param >= 0);
    check(w->lanes == e.lanes);
    claim_axes(k, e.axis);
    e.in = read_operand(w, k->data_param, 1, e.lanes);
    e.wt = read_operand(w, k->weight_param, 0, e.lanes);
    return e;
}

/* ---- one tile ---- */
typedef struct Shape {
    const Emit *e;
    int64_t cols;
    int64_t at;          /* its first point, -1: any whose taps all meet data */
    LLVMValueRef in, wt; /* of the first tap that meets data */
} Shape;

static LLVMValueRef load(const Emit *e, Walk *w, const Operand *o, LLVMValueRef at, int64_t offset)
{
    LLVMTypeRef vec = LLVMVectorType(o->elem, (unsigned)e->lanes);
    at = tile_at_const(w, o->elem, at, offset);
    return walk_widen(w, o->dtype, tile_load(w, vec, at, e->lanes * dtype_bytes(o->dtype)));
}

/* Does a column of data exist? Counted from that of the tile's first point under tap 0. */
static bool exists(const Shape *s, int64_t col)
{
    const TapAxis *x = &s->e->x;
    int64_t at = s->at * x->in_point + x->in0 + col;
    return s->at < 0 || (at >= 0 && at < s->e->s.data[1]);
}

/* A column of data under all taps that meet it. */
static void one_column(const Shape *s, Walk *w, LLVMValueRef in, int64_t col,
                       const LLVMValueRef *weight, LLVMValueRef *acc)
{
    const TapAxis *x = &s->e->x;
    LLVMValueRef v = NULL;
    for (int64_t t = 0; t < x->taps && exists(s, col); t++) {
        int64_t from = col - t * x->in_tap, i = from / x->in_point;
        if (from < 0 || from % x->in_point || i >= s->cols) continue;
        if (!v) v = load(s->e, w, &s->e->in, in, col * s->e->in.col);
        acc[i] = tile_fma(w, v, weight[t], acc[i]);
    }
}

/* Columns in the order of taps. */
static void tap_row(Walk *w, void *user, LLVMValueRef step, LLVMValueRef *acc)
{
    const Shape *s = user;
    const Emit *e = s->e;
    LLVMValueRef weight[MOST_TAPS];
    LLVMValueRef in = tile_at(w, e->in.elem, s->in, step, e->y.in_tap * e->in.row);
    LLVMValueRef wt = tile_at(w, e->wt.elem, s->wt, step, e->y.k_tap * e->wt.row);
    for (int64_t t = 0; t < e->x.taps; t++)
        weight[t] = load(e, w, &e->wt, wt, (e->x.k0 + t * e->x.k_tap) * e->wt.col);
    int64_t span = (e->x.taps - 1) * e->x.in_tap, last = (s->cols - 1) * e->x.in_point;
    if (span >= 0)
        for (int64_t col = 0; col <= last + span; col++) one_column(s, w, in, col, weight, acc);
    else
        for (int64_t col = last; col >= span; col--) one_column(s, w, in, col, weight, acc);
}

static LLVMValueRef limit(Walk *w, LLVMIntPredicate p, LLVMValueRef v, int64_t by)
{
    LLVMValueRef l = walk_i64(w, by);
    return LLVMBuildSelect(w->b, LLVMBuildICmp(w->b, p, v, l, ""), v, l, "");
}

/* Taps [from, to) of the row of points meet data: row0 + t * in_tap is in [0, extent). */
static Slice row_taps(const Emit *e, Walk *w, LLVMValueRef row0)
{
    const TapAxis *y = &e->y;
    bool falls = y->in_tap < 0;
    int64_t step = falls ? -y->in_tap : y->in_tap, last = e->s.data[0] - 1;
    LLVMValueRef before = falls ? tile_affine(w, row0, 1, -last) : tile_affine(w, row0, -1, 0);
    LLVMValueRef left = falls ? row0 : tile_affine(w, row0, -1, last);
    before = tile_affine(w, limit(w, LLVMIntSGT, before, 0), 1, step - 1);
    left = tile_affine(w, left, 1, step);
    return (Slice){walk_quotient(w, before, step),
                   limit(w, LLVMIntSLT, walk_quotient(w, left, step), y->taps)};
}

/* Of a block's vectors of channels, the tile's. */
static LLVMValueRef vector_at(const Emit *e, Tile *t, const Operand *o, LLVMValueRef base)
{
    Walk *w = &t->w;
    LLVMValueRef block = t->scalar[S_BLOCK];
    if (o->vectors == 1) return tile_at(w, o->elem, base, block, o->block);
    LLVMValueRef whole = walk_quotient(w, block, o->vectors);
    LLVMValueRef within = LLVMBuildSub(w->b, block, tile_affine(w, whole, o->vectors, 0), "");
    return tile_at(w, o->elem, tile_at(w, o->elem, base, whole, o->block), within, e->lanes);
}

static void sums(Tile *t, Shape *s, LLVMValueRef *acc)
{
    const Emit *e = s->e;
    Walk *w = &t->w;
    const Operand *in = &e->in, *wt = &e->wt;
    LLVMValueRef row = tile_affine(w, t->scalar[S_ROW], e->y.in_point, e->y.in0);
    LLVMValueRef col = tile_affine(w, t->scalar[S_COL], e->x.in_point, e->x.in0 + in->low[1]);
    Slice taps = row_taps(e, w, row);
    LLVMValueRef first = LLVMBuildMul(w->b, taps.from, walk_i64(w, e->y.in_tap), "");
    row = tile_affine(w, LLVMBuildAdd(w->b, row, first, ""), 1, in->low[0]);
    s->in = vector_at(e, t, in, tile_sample(w, w->k->data_param, t->scalar[S_SAMPLE]));
    s->in = tile_at(w, in->elem, tile_at(w, in->elem, s->in, row, in->row), col, in->col);
    s->wt = vector_at(e, t, wt, w->base[w->k->weight_param]);
    s->wt = tile_at(w, wt->elem, s->wt, tile_affine(w, taps.from, e->y.k_tap, e->y.k0), wt->row);
    LLVMTypeRef vec = walk_vec(w, w->k->contract.dtype, e->lanes);
    for (int64_t i = 0; i < s->cols; i++) acc[i] = LLVMConstNull(vec);
    tile_sum(w, "ky", LLVMBuildSub(w->b, taps.to, taps.from, ""), (int)s->cols, acc, tap_row, s);
}

static void stores(Tile *t, const Shape *s, const LLVMValueRef *acc)
{
    const Emit *e = s->e;
    Walk *w = &t->w;
    walk_bind(w, e->axis[A_SAMPLE], t->scalar[S_SAMPLE]);
    walk_bind(w, e->axis[A_LANE], walk_i64(w, 0));
    walk_bind(w, e->axis[A_BLOCK], t->scalar[S_BLOCK]);
    walk_bind(w, e->axis[A_ROW], tile_affine(w, t->scalar[S_ROW], e->y.step, e->y.first));
    for (int64_t i = 0; i < s->cols; i++) {
        walk_bind(w, e->axis[A_COL],
                  tile_affine(w, t->scalar[S_COL], e->x.step, e->x.first + i * e->x.step));
        walk_set(w, w->k->heavy, acc[i]);
        walk_stores(w);
    }
}

static Tile row_tile(const Emit *e, int64_t cols, int64_t at)
{
    char suffix[64];
    LLVMValueRef acc[MAX_ACC];
    Shape s = {.e = e, .cols = cols, .at = at};
    check(cols <= MAX_ACC);
    snprintf(suffix, sizeof suffix, "taprow%lld", (long long)cols);
    Tile t = tile_begin(e->w, suffix);
    sums(&t, &s, acc);
    stores(&t, &s, acc);
    tile_end(&t);
    return t;
}

/* ---- loops around the tiles ---- */
enum { MOST_RUNS = 64 };

typedef struct Run { /* tiles side by side that one function serves */
    int64_t from, count, cols;
    Tile tile;
} Run;

typedef struct Rows {
    Emit *e;
    int nrun;
    Run run[MOST_RUNS];
} Rows;

static bool inside(const Emit *e, int64_t at, int64_t cols)
{
    const TapAxis *x = &e->x;
    int64_t span = (x->taps - 1) * x->in_tap, from = at * x->in_point + x->in0;
    int64_t to = from + (cols - 1) * x->in_point;
    return from + (span < 0 ? span : 0) >= 0 && to + (span > 0 ? span : 0) < e->s.data[1];
}

/* The next tile of a row joins the run before it if both are inside and as wide. */
static void add_tile(Rows *r, int64_t at, int64_t cols, bool *open)
{
    bool in = inside(r->e, at, cols);
    if (in && *open && r->run[r->nrun - 1].cols == cols) {
        r->run[r->nrun - 1].count++;
        return;
    }
    check(r->nrun < MOST_RUNS);
    r->run[r->nrun++] = (Run){at, 1, cols, row_tile(r->e, cols, in ? -1 : at)};
    *open = in;
}

static void call_tile(Walk *w, void *user, LLVMValueRef col)
{
    const Emit *e = user;
    tile_call(w, e->tile, (LLVMValueRef[]){e->n, e->block, e->row, col});
}

static void one_row(Walk *w, void *user, LLVMValueRef row)
{
    Rows *r = user;
    r->e->row = row;
    for (int i = 0; i < r->nrun; i++) {
        const Run *run = &r->run[i];
        r->e->tile = &run->tile;
        tile_for(w, "x", run->from, run->count, run->cols, call_tile, r->e);
    }
}

static void over_points(Emit *e)
{
    Rows r = {.e = e};
    bool open = false;
    if (e->y.points == 0 || e->x.points == 0) return;
    Cut cut = cut_evenly(e->x.points, e->cols);
    for (int64_t i = 0, at = 0; i < cut.longer + cut.rest; i++) {
        int64_t cols = cut.size + (i < cut.longer);
        add_tile(&r, at, cols, &open);
        at += cols;
    }
    Slice rows = slice_part(e->w, e->pieces, walk_i64(e->w, e->piece), e->y.points);
    tile_steps(e->w, "y", rows, 1, one_row, &r);
    e->piece += e->y.points;
}

/* Rows of results of a block of channels, over all classes. */
static int64_t block_rows(const TapShape *s)
{
    return s->result[0] * tap_classes(s, 1);
}

static void over_block(Walk *w, void *user, LLVMValueRef block)
{
    Emit *e = user;
    int64_t rows = block_rows(&e->s);
    e->block = block;
    e->pieces = slice_part(w, (Slice){w->from, w->to}, tile_affine(w, block, rows, 0), rows);
    e->piece = 0;
    for (int64_t a = 0; a < tap_classes(&e->s, 0); a++)
        for (int64_t b = 0; b < tap_classes(&e->s, 1); b++) {
            e->y = tap_axis(&e->s, 0, a);
            e->x = tap_axis(&e->s, 1, b);
            over_points(e);
        }
}

static void over_sample(Walk *w, void *user, LLVMValueRef n)
{
    Emit *e = user;
    Slice blocks = slice_outer(w, (Slice){w->from, w->to}, block_rows(&e->s));
    e->n = n;
    tile_range(w, "block", blocks.from, blocks.to, over_block, e);
}

/* Rows, block by block: workers share rows where maps are large, channels where they are small. */
int64_t depthwise_pieces(const Kernel *k)
{
    TapShape s;
    check(tap_shape(&k->contract, &s));
    return s.result_ch / k->offer.lanes * block_rows(&s);
}

void depthwise_emit(Walk *w)
{
    Emit e = read_kernel(w);
    LLVMValueRef from, to;
    claim_samples(w, e.axis[A_SAMPLE], &from, &to);
    LLVMBasicBlockRef end = claim_begin(w, from, to);
    tile_range(w, "n", from, to, over_sample, &e);
    claim_end(w, end);
}
