/* SPDX-License-Identifier: Apache-2.0 */
/* conv_dx of the first layer: few result channels (3 or 1), so lanes run over the data channels
 * (those of dy) and each result is a dot product. A pass keeps points x channels vectors of
 * partial sums, over all taps and data blocks, and a transposing reduction turns them into
 * results along x, which are the lanes of the epilogue.
 *
 * A tile is `width` results of one row, of every class of columns: one or more passes a class. An
 * element's sum has one order: lane by lane over data block, ky, kx; then lanes fold by halves. */
#include "tapconv.h"

#include "tapplan.h"
#include "tile.h"

#include <stdio.h>
#include <string.h>

enum { N_WIDTH, N_POINTS };                           /* Offer.number */
enum { S_SAMPLE, S_ROW, S_TILE };                     /* Tile.scalar: row point, tile of a row */
enum { A_SAMPLE, A_CHANNEL, A_ROW, A_GROUP, A_LANE }; /* kernel axes */
enum { MOST_CHANNELS = 8, MOST_WIDTH = 64, MOST_CLASSES = 8 };

/* ---- the bid ---- */
/* Points of a pass: their sums, a weight a channel and a datum fit the registers. Products that are
 * not fused and copies for them take three more. */
static int64_t most_points(const Target *t, int64_t channels)
{
    int64_t n = (t->vec_regs - channels - (t->fma ? 1 : 4)) / channels;
    return n < MAX_ACC / channels ? n : MAX_ACC / channels;
}

/* Cycles a result pixel and tap block costs in tiles of this width. */
static double width_cost(const Target *t, int64_t channels, int64_t points, int64_t most)
{
    Cut c = cut_evenly(points, most);
    double sum = 0;
    for (int longer = 0; longer < 2; longer++) {
        int64_t n = c.size + longer, step = n * channels;
        if (step < n + channels) step = n + channels;
        if (step < TAP_CHAINS) step = TAP_CHAINS;
        sum += (double)(step * (longer ? c.longer : c.rest));
    }
    return sum / (double)points / tap_rate(t);
}

static int64_t result_lanes(int64_t cols, int lanes)
{
    while (lanes > 1 && cols % lanes != 0) lanes /= 2;
    return lanes;
}

/* Best multiple of the epilogue's lanes that divides a row; 0: none holds whole classes. The
 * results of a pass wait in registers for the next one's, so several passes make at most one
 * vector a channel. */
static int64_t choose_width(const Target *t, const TapShape *s, int64_t lanes, int64_t vector,
                            double *cost)
{
    int64_t cols = s->result[1], classes = s->stride[1], best = 0;
    int64_t most = most_points(t, s->result_ch);
    for (int64_t w = lanes; w <= cols && w <= MOST_WIDTH; w += lanes) {
        if (cols % w != 0 || w % classes != 0 || (w / classes > most && w > vector)) continue;
        double c = width_cost(t, s->result_ch, w / classes, most);
        if (!best || c < *cost * 0.99) {
            best = w;
            *cost = c;
        }
    }
    return best;
}

/* {data / V} {ky} {kx} {result channel} {data % V} */
static Layout weight_layout(const TapShape *s, int lanes)
{
    Layout l = {.rank = 4};
    layout_push(&l, s->data_dim, lanes, s->data_ch / lanes);
    layout_push(&l, 2, 1, s->kernel[0]);
    layout_push(&l, 3, 1, s->kernel[1]);
    layout_push(&l, s->result_dim, 1, s->result_ch);
    layout_push(&l, s->data_dim, 1, lanes);
    return l;
}

static bool dx_fits(const Target *t, const Contract *c, const TapShape *s)
{
    int lanes = target_lanes(t, c->dtype);
    if (t->gpu || lanes < 2 || (c->dtype != DT_F32 && c->dtype != DT_F64)) return false;
    if (c->bf16) return false;
    if (!s->dx || s->groups != 1 || s->stride[0] > MOST_CLASSES || s->stride[1] > MOST_CLASSES)
        return false;
    return s->data_ch % lanes == 0 && s->result_ch < lanes && s->result_ch <= MOST_CHANNELS &&
           most_points(t, s->result_ch) >= 2;
}

static double whole_cost(const Contract *c, const TapShape *s, int lanes, double per_step)
{
    double taps = (double)(c->kh * c->kw) / (double)(c->sh * c->sw);
    return per_step * taps * (double)(s->data_ch / lanes * c->batch * c->ih * c->iw);
}

bool dxplanar_offer(const Target *t, const Contract *c, Offer *o)
{
    TapShape s;
    if (!tap_shape(c, &s) || !dx_fits(t, c, &s)) return false;
    int lanes = target_lanes(t, c->dtype);
    int64_t along = result_lanes(s.result[1], lanes), low[2], high[2];
    double cost = 0;
    int64_t width = along > 1 ? choose_width(t, &s, along, lanes, &cost) : 0;
    if (!width) return false;
    tap_halo(&s, low, high);
    Type data = tap_data(c, &s), result = tap_result(c, &s);
    o->in = layout_blocked(data, lanes, low, high);
    o->out = layout_plain(result);
    o->w = weight_layout(&s, lanes);
    o->vec_dim = 3;
    o->lanes = (int)along;
    o->number[N_WIDTH] = width;
    o->number[N_POINTS] = most_points(t, s.result_ch);
    o->cost = whole_cost(c, &s, lanes, cost);
    return true;
}

/* Its tile follows from the shape: a schedule can but name it. */
const PlanField dxplanar_fields[] = {{.name = NULL}};

bool dxplanar_fit(const Target *t, const Contract *c, Offer *o, char *why)
{
    if (dxplanar_offer(t, c, o)) return true;
    snprintf(why, PLAN_WHY, "dxplanar wants a conv_dx with few channels of results");
    return false;
}

/* ---- what the emitter knows ---- */
typedef struct Emit {
    Walk *w;
    TapShape s;
    int axis[MAX_CLAIM_AXES];
    int lanes; /* of a dot product; the epilogue's are w->lanes */
    int64_t width, most;
    LLVMTypeRef elem, vec;
    int64_t in_block, in_row, in_col, in_low[2];
    int64_t wt_block, wt_row, wt_col;
    TapAxis y, x; /* the classes at hand */
    LLVMValueRef n, row;
    Tile tile;
} Emit;

static void read_layouts(Emit *e)
{
    const Layout *d = &e->w->k->param[e->w->k->data_param].layout;
    const Layout *l = &e->w->k->param[e->w->k->weight_param].layout;
    Layout want = weight_layout(&e->s, e->lanes);
    int row = layout_digit(d, 2, 1), col = layout_digit(d, 3, 1);
    check(layout_eq(l, &want) && layout_stride(d, layout_digit(d, 1, 1)) == 1);
    int block = layout_find(d, 1, e->lanes); /* none where a map is one pixel */
    e->in_block = block < 0 ? e->lanes : layout_stride(d, block);
    e->in_row = layout_stride(d, row);
    e->in_col = layout_stride(d, col);
    e->in_low[0] = d->digit[row].low;
    e->in_low[1] = d->digit[col].low;
    e->wt_block = layout_stride(l, 0);
    e->wt_row = layout_stride(l, 1);
    e->wt_col = layout_stride(l, 2);
}

static Emit read_kernel(Walk *w)
{
    const Kernel *k = w->k;
    Emit e = {.w = w,
              .width = k->offer.number[N_WIDTH],
              .most = k->offer.number[N_POINTS],
              .lanes = target_lanes(w->target, k->contract.dtype)};
    check(tap_shape(&k->contract, &e.s) && k->data_param >= 0 && k->weight_param >= 0);
    claim_axes(k, e.axis);
    check(w->lanes == k->offer.lanes);
    e.elem = walk_type(w, k->contract.dtype);
    e.vec = walk_vec(w, k->contract.dtype, e.lanes);
    read_layouts(&e);
    return e;
}

/* ---- shuffles ---- */
static LLVMValueRef shuffle(Walk *w, LLVMValueRef a, LLVMValueRef b, const int *lane, int n)
{
    LLVMValueRef mask[2 * MOST_WIDTH];
    LLVMTypeRef i32 = LLVMInt32TypeInContext(w->ctx);
    for (int i = 0; i < n; i++) mask[i] = LLVMConstInt(i32, (unsigned)lane[i], 0);
    return LLVMBuildShuffleVector(w->b, a, b, LLVMConstVector(mask, (unsigned)n), "");
}

static int width_of(LLVMValueRef v)
{
    return (int)LLVMGetVectorSize(LLVMTypeOf(v));
}

/* Adds the upper half of v's lanes to the lower. */
static LLVMValueRef fold_half(Walk *w, LLVMValueRef v)
{
    int half = width_of(v) / 2, lower[MOST_WIDTH], upper[MOST_WIDTH];
    for (int i = 0; i < half; i++) {
        lower[i] = i;
        upper[i] = half + i;
    }
    LLVMValueRef none = LLVMGetPoison(LLVMTypeOf(v));
    LLVMValueRef low = shuffle(w, v, none, lower, half), high = shuffle(w, v, none, upper, half);
    return LLVMBuildFAdd(w->b, low, high, "");
}

/* a and b hold sums in groups of `group` lanes: halves every group; b's come behind. */
static LLVMValueRef fold_two(Walk *w, LLVMValueRef a, LLVMValueRef b, int group)
{
    int n = width_of(a), half = group / 2, lower[MOST_WIDTH], upper[MOST_WIDTH];
    for (int i = 0; i < n; i++) {
        lower[i] = i / half * group + i % half; /* runs over both vectors' groups */
        upper[i] = lower[i] + half;
    }
    return LLVMBuildFAdd(w->b, shuffle(w, a, b, lower, n), shuffle(w, a, b, upper, n), "");
}

/* Sums each of n vectors over its lanes: a vector of (at least n) sums. n <= lanes. */
static LLVMValueRef sum_lanes(Walk *w, const LLVMValueRef *v, int n)
{
    LLVMValueRef part[MAX_ACC];
    int size = 1;
    while (size < n) size *= 2;
    for (int i = 0; i < size; i++) {
        part[i] = v[i < n ? i : n - 1];
        while (width_of(part[i]) > size) part[i] = fold_half(w, part[i]);
    }
    for (int group = size; group > 1; group /= 2)
        for (int i = 0; i < group / 2; i++)
            part[i] = fold_two(w, part[2 * i], part[2 * i + 1], group);
    return part[0];
}

/* The first n lanes of a and the first m of b; a may be NULL with n = 0. */
static LLVMValueRef join(Walk *w, LLVMValueRef a, int n, LLVMValueRef b, int m)
{
    int lane[2 * MOST_WIDTH], wider[2 * MOST_WIDTH];
    int size = a && width_of(a) > width_of(b) ? width_of(a) : width_of(b);
    LLVMValueRef *narrow = a && width_of(a) < size ? &a : &b;
    for (int i = 0; i < size; i++) wider[i] = i < width_of(*narrow) ? i : 0;
    *narrow = shuffle(w, *narrow, LLVMGetPoison(LLVMTypeOf(*narrow)), wider, size);
    for (int i = 0; i < n + m; i++) lane[i] = i < n ? i : (a ? size : 0) + i - n;
    return shuffle(w, a ? a : b, a ? b : LLVMGetPoison(LLVMTypeOf(b)), lane, n + m);
}

/* ---- one tile ---- */
typedef struct Pass { /* `points` results of one class of columns, from the first-th of the tile */
    const Emit *e;
    TapAxis x;
    int64_t first, points;
} Pass;

/* One tap of one data block: a weight vector a channel, a data vector a point. */
static void dot_step(Walk *w, void *user, LLVMValueRef in, LLVMValueRef wt, LLVMValueRef *acc)
{
    const Pass *p = user;
    const Emit *e = p->e;
    int channels = (int)e->s.result_ch, align = dtype_bytes(w->k->contract.dtype) * e->lanes;
    LLVMValueRef weight[MOST_CHANNELS];
    for (int c = 0; c < channels; c++) {
        LLVMValueRef at = tile_at_const(w, e->elem, wt, (int64_t)c * e->lanes);
        weight[c] = tile_load(w, e->vec, at, align);
    }
    for (int64_t i = 0; i < p->points; i++) {
        LLVMValueRef at = tile_at_const(w, e->elem, in, i * e->in_col);
        LLVMValueRef x = tile_load(w, e->vec, at, align);
        for (int c = 0; c < channels; c++)
            acc[c * p->points + i] = tile_fma(w, x, weight[c], acc[c * p->points + i]);
    }
}

static LLVMValueRef first_data(const Pass *p, Tile *t)
{
    const Emit *e = p->e;
    Walk *w = &t->w;
    LLVMValueRef at = tile_sample(w, w->k->data_param, t->scalar[S_SAMPLE]);
    LLVMValueRef y = tile_affine(w, t->scalar[S_ROW], 1, e->y.in0 + e->in_low[0]);
    LLVMValueRef x = tile_affine(w, t->scalar[S_TILE], e->width / e->s.stride[1],
                                 p->first + p->x.in0 + e->in_low[1]);
    return tile_at(w, e->elem, tile_at(w, e->elem, at, y, e->in_row), x, e->in_col);
}

static void pass_sums(const Pass *p, Tile *t, LLVMValueRef *acc)
{
    const Emit *e = p->e;
    Walk *w = &t->w;
    Nest n = {.elem = e->elem,
              .nlevel = 3,
              .nacc = (int)(p->points * e->s.result_ch),
              .body = dot_step,
              .user = (void *)p,
              .level = {{"block", e->s.data_ch / e->lanes, 1, e->in_block, e->wt_block},
                        {"ky", e->y.taps, 1, e->y.in_tap * e->in_row, e->y.k_tap * e->wt_row},
                        {"kx", p->x.taps, 1, p->x.in_tap * e->in_col, p->x.k_tap * e->wt_col}}};
    int64_t tap = e->y.k0 * e->wt_row + p->x.k0 * e->wt_col;
    LLVMValueRef wt = tile_at_const(w, e->elem, w->base[w->k->weight_param], tap);
    for (int i = 0; i < n.nacc; i++) acc[i] = LLVMConstNull(e->vec);
    nest_emit(w, &n, first_data(p, t), wt, acc);
}

/* Adds a pass's results behind the `have` that each channel's line holds. */
static void run_pass(const Pass *p, Tile *t, LLVMValueRef *line, int have)
{
    LLVMValueRef acc[MAX_ACC];
    pass_sums(p, t, acc);
    for (int c = 0; c < p->e->s.result_ch; c++)
        for (int i = 0; i < p->points; i += p->e->lanes) {
            int n = (int)p->points - i < p->e->lanes ? (int)p->points - i : p->e->lanes;
            LLVMValueRef sums = sum_lanes(&t->w, &acc[c * p->points + i], n);
            line[c] = join(&t->w, line[c], have + i, sums, n);
        }
}

/* Every channel's line of results, class after class. */
static void run_passes(const Emit *e, Tile *t, LLVMValueRef *line)
{
    int64_t a_class = e->width / e->s.stride[1];
    Cut cut = cut_evenly(a_class, e->most);
    int have = 0;
    for (int64_t b = 0; b < e->s.stride[1]; b++) {
        Pass p = {.e = e, .x = tap_axis(&e->s, 1, b)};
        while (p.first < a_class) {
            p.points = cut.size + (p.first < cut.longer * (cut.size + 1));
            run_pass(&p, t, line, have);
            p.first += p.points;
            have += (int)p.points;
        }
    }
}

/* Result x of the tile lies in its class's run of the line. */
static LLVMValueRef pick(const Emit *e, Walk *w, LLVMValueRef line, int64_t group)
{
    int lane[MOST_WIDTH];
    int64_t classes = e->s.stride[1];
    for (int i = 0; i < w->lanes; i++) {
        int64_t x = group * w->lanes + i;
        lane[i] = (int)(x % classes * (e->width / classes) + x / classes);
    }
    return shuffle(w, line, LLVMGetPoison(LLVMTypeOf(line)), lane, w->lanes);
}

static void store_lines(const Emit *e, Tile *t, const LLVMValueRef *line)
{
    Walk *w = &t->w;
    int64_t groups = e->width / w->lanes;
    walk_bind(w, e->axis[A_SAMPLE], t->scalar[S_SAMPLE]);
    walk_bind(w, e->axis[A_LANE], walk_i64(w, 0));
    walk_bind(w, e->axis[A_ROW], tile_affine(w, t->scalar[S_ROW], e->y.step, e->y.first));
    for (int64_t g = 0; g < groups; g++) {
        walk_bind(w, e->axis[A_GROUP], tile_affine(w, t->scalar[S_TILE], groups, g));
        for (int c = 0; c < e->s.result_ch; c++) {
            walk_bind(w, e->axis[A_CHANNEL], walk_i64(w, c));
            walk_set(w, w->k->heavy, pick(e, w, line[c], g));
            walk_stores(w);
        }
    }
}

static Tile dot_tile(const Emit *e)
{
    char suffix[32];
    LLVMValueRef line[MOST_CHANNELS] = {0};
    snprintf(suffix, sizeof suffix, "dot%lld", (long long)e->width);
    Tile t = tile_begin(e->w, suffix);
    run_passes(e, &t, line);
    store_lines(e, &t, line);
    tile_end(&t);
    return t;
}

/* ---- loops around the tiles ---- */
static void call_tile(Walk *w, void *user, LLVMValueRef tile)
{
    const Emit *e = user;
    tile_call(w, &e->tile, (LLVMValueRef[TILE_SCALARS]){e->n, e->row, tile, walk_i64(w, 0)});
}

static void over_tiles(Walk *w, void *user, LLVMValueRef row)
{
    Emit *e = user;
    e->row = row;
    tile_for(w, "x", 0, e->s.result[1] / e->width, 1, call_tile, e);
}

/* Pieces are rows, class by class. */
int64_t dxplanar_pieces(const Kernel *k)
{
    return k->contract.ih;
}

static void over_rows(Walk *w, void *user, LLVMValueRef n)
{
    Emit *e = user;
    int64_t piece = 0;
    e->n = n;
    for (int64_t a = 0; a < e->s.stride[0]; a++) {
        e->y = tap_axis(&e->s, 0, a);
        if (e->y.points == 0) continue;
        e->tile = dot_tile(e);
        Slice rows = slice_part(w, (Slice){w->from, w->to}, walk_i64(w, piece), e->y.points);
        tile_steps(w, "y", rows, 1, over_tiles, e);
        piece += e->y.points;
    }
}

void dxplanar_emit(Walk *w)
{
    Emit e = read_kernel(w);
    LLVMValueRef from, to;
    claim_samples(w, e.axis[A_SAMPLE], &from, &to);
    LLVMBasicBlockRef end = claim_begin(w, from, to);
    tile_range(w, "n", from, to, over_rows, &e);
    claim_end(w, end);
}
