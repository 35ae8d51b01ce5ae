/* SPDX-License-Identifier: Apache-2.0 */
/* The stages of amxconv.c: copies of data, products and sums, the epilogue. amxparts.c
 * has what first layers do otherwise. */
#include "amxemit.h"

#include <stdio.h>
#include <string.h>

enum { LINE = 64, CELLS = 4 }; /* bytes; cells of a copy in one basic block */

int64_t amx_sum_bytes(void)
{
    return AMX_TILES * AMX_TILE_BYTES;
}

/* ---- registers ---- */
int64_t amx_sum_tile(const AmxEmit *e, int64_t t, int64_t j)
{
    return t * e->p.c + j;
}

int64_t amx_weight_tile(const AmxEmit *e, int64_t j)
{
    return e->p.t * e->p.c + j;
}

int64_t amx_data_tile(const AmxEmit *e, int64_t t)
{
    int64_t first = amx_weight_tile(e, e->p.c);
    return first + t % (AMX_TILES - first);
}

void amx_configure(const AmxEmit *e)
{
    int64_t weights = amx_weight_tile(e, 0), data = amx_weight_tile(e, e->p.c);
    AmxShapes s;
    for (int64_t i = 0; i < AMX_TILES; i++) {
        bool is_weight = i >= weights && i < data;
        int64_t row = amx_row_bytes(&e->s);
        s.bytes[i] = (unsigned char)(i < data ? AMX_LINE : row);
        s.rows[i] = (unsigned char)(is_weight ? row / 4 : e->c.points);
    }
    amx_shape(e->w, &s);
}

/* ---- copies ---- */
typedef struct Copy {
    const AmxEmit *e;
    Tile *t;
    int64_t y, x;          /* phases */
    LLVMValueRef from, to; /* the block of channels; then the row at hand */
} Copy;

static void copy_cell(const Copy *c, Walk *w, LLVMValueRef from, LLVMValueRef to)
{
    if (c->e->p.parts > 1) {
        amx_split_cell(c->e, w, from, to);
        return;
    }
    LLVMTypeRef vec = LLVMVectorType(c->e->elem, (unsigned)c->e->depth);
    LLVMSetAlignment(LLVMBuildStore(w->b, tile_load(w, vec, from, 32), to), 32);
}

static void copy_cells(const Copy *c, Walk *w, LLVMValueRef col, int64_t n)
{
    const AmxEmit *e = c->e;
    int64_t step = e->c.x.a.in_point * e->in_col;
    LLVMTypeRef data = tile_elem(w, w->k->data_param);
    LLVMValueRef from = tile_at(w, data, c->from, col, step);
    LLVMValueRef to = tile_at(w, e->elem, c->to, col, e->depth);
    for (int64_t i = 0; i < n; i++)
        copy_cell(c, w, tile_at_const(w, data, from, i * step),
                  tile_at_const(w, e->elem, to, i * e->depth));
}

static int64_t cells_at_once(const AmxEmit *e)
{
    return e->p.parts > 1 ? 1 : CELLS;
}

static void copy_some(Walk *w, void *user, LLVMValueRef col)
{
    copy_cells(user, w, col, cells_at_once(((const Copy *)user)->e));
}

static void copy_row(Walk *w, void *user, LLVMValueRef row)
{
    Copy c = *(const Copy *)user;
    const AmxEmit *e = c.e;
    int64_t cells = e->c.x.a.points + e->c.x.cells[c.x], n = cells_at_once(e), whole = cells / n;
    c.from = tile_at(w, tile_elem(w, w->k->data_param), c.from, row, e->c.y.a.in_point * e->in_row);
    c.to = tile_at(w, e->elem, c.to, row, e->c.width * e->depth);
    tile_for(w, "cell", 0, whole, n, copy_some, &c);
    copy_cells(&c, w, walk_i64(w, whole * n), cells % n);
}

static void copy_phases(Copy *c, Walk *w, LLVMValueRef from, LLVMValueRef to)
{
    const AmxEmit *e = c->e;
    for (c->y = 0; c->y < e->c.y.phases; c->y++)
        for (c->x = 0; c->x < e->c.x.phases; c->x++) {
            int64_t row = e->c.y.phase[c->y] + e->in_low[0];
            int64_t col = e->c.x.phase[c->x] + e->in_low[1];
            int64_t plane = c->y * e->c.x.phases + c->x;
            c->from = tile_at_const(w, tile_elem(w, w->k->data_param), from,
                                    row * e->in_row + col * e->in_col);
            c->to = tile_at_const(w, e->elem, to, plane * e->c.plane * e->depth);
            tile_for(w, "row", 0, e->c.rows + e->c.y.cells[c->y], 1, copy_row, c);
        }
}

static void copy_channels(Walk *w, void *user, LLVMValueRef block)
{
    Copy c = *(const Copy *)user;
    const AmxEmit *e = c.e;
    int64_t blocks = e->p.parts > 1 ? 2 : 1; /* in memory, of a step of depth */
    copy_phases(&c, w,
                tile_at(w, tile_elem(w, w->k->data_param), c.from, block, blocks * e->in_block),
                tile_at(w, e->elem, c.to, block, e->p.parts * e->c.channels));
}

LLVMValueRef amx_slot_at(const AmxEmit *e, Tile *t)
{
    Walk *w = &t->w;
    LLVMValueRef at = tile_at_const(w, e->elem, w->base[w->k->scratch_param],
                                    (amx_sum_bytes() + amx_part_bytes(&e->s)) / 2);
    return tile_at(w, e->elem, at, t->scalar[S_SLOT], 1);
}

LLVMValueRef amx_block_data(const AmxEmit *e, Tile *t, LLVMValueRef block)
{
    Walk *w = &t->w;
    LLVMValueRef at = tile_sample(w, w->k->data_param, t->scalar[S_SAMPLE]);
    return tile_at(w, tile_elem(w, w->k->data_param), at, block,
                   e->c.rows * e->c.y.a.in_point * e->in_row);
}

Tile amx_copy(const AmxEmit *e)
{
    Tile t = tile_begin(e->w, "copy");
    Walk *w = &t.w;
    Copy c = {.e = e, .t = &t};
    c.from = amx_block_data(e, &t, t.scalar[S_BLOCK]);
    c.to = amx_slot_at(e, &t);
    tile_for(w, "channels", 0, e->s.data_ch / e->depth, 1, copy_channels, &c);
    tile_end(&t);
    return t;
}

/* ---- products ---- */
typedef struct Call {
    const AmxEmit *e;
    Tile *t;
    int64_t tiles;             /* of points */
    LLVMValueRef block, start; /* first point of the run that is computed */
    LLVMValueRef ahead;        /* elements from the weights at hand to those to be fetched */
    LLVMValueRef first, end;   /* of its results, counted row by row, those to store */
} Call;

static void tap_products(const Call *c, Walk *w, LLVMValueRef in, LLVMValueRef wt)
{
    const AmxEmit *e = c->e;
    for (int64_t t = 0; t < c->tiles; t++) {
        int64_t at = t * e->c.points * e->depth;
        amx_load(w, amx_data_tile(e, t), tile_at_const(w, e->elem, in, at), 2 * e->depth);
        for (int64_t j = 0; j < e->p.c; j++) {
            if (t == 0)
                amx_load(w, amx_weight_tile(e, j), tile_at_const(w, e->elem, wt, j * e->wt_tile),
                         LINE);
            amx_product(w, amx_sum_tile(e, t, j), amx_data_tile(e, t), amx_weight_tile(e, j));
        }
    }
}

/* While a group of results is computed, its calls together fetch the next one's weights. */
static int64_t lines_ahead(const AmxEmit *e)
{
    int64_t lines = e->wt_tap * 2 / LINE;
    return e->fetches ? (lines + e->c.calls - 1) / e->c.calls : 0;
}

static void fetch_ahead(const Call *c, Walk *w, LLVMValueRef wt)
{
    LLVMTypeRef elem = c->e->elem;
    for (int64_t i = 0; i < lines_ahead(c->e); i++)
        tile_prefetch_far(w,
                          tile_at_const(w, elem, tile_at(w, elem, wt, c->ahead, 1), i * LINE / 2));
}

/* All taps over a block of data channels. */
static void channel_products(Walk *w, void *user, LLVMValueRef in, LLVMValueRef wt,
                             LLVMValueRef *acc)
{
    const Call *c = user;
    const AmxEmit *e = c->e;
    const AmxClass *k = &e->c;
    (void)acc;
    for (int64_t y = 0; y < k->y.a.taps; y++)
        for (int64_t x = 0; x < k->x.a.taps; x++) {
            int64_t plane = k->y.plane[y] * k->x.phases + k->x.plane[x];
            int64_t cell = plane * k->plane + k->y.shift[y] * k->width + k->x.shift[x];
            int64_t ky = k->y.a.k0 + y * k->y.a.k_tap, kx = k->x.a.k0 + x * k->x.a.k_tap;
            int64_t tap = ky * c->e->s.kernel[1] + kx;
            LLVMValueRef at = tile_at_const(w, c->e->elem, wt, tap * c->e->wt_tap);
            LLVMValueRef from = tile_at_const(w, c->e->elem, in, cell * c->e->depth);
            fetch_ahead(c, w, at);
            if (c->e->p.parts > 1)
                amx_third_products(e, w, c->tiles, from, at);
            else
                tap_products(c, w, from, at);
        }
}

/* Of the run. */
static LLVMValueRef first_cell(const Call *c, Walk *w)
{
    const AmxEmit *e = c->e;
    if (!e->c.direct) return amx_slot_at(e, c->t);
    int64_t row = e->c.y.phase[0] + e->in_low[0], col = e->c.x.phase[0] + e->in_low[1];
    return tile_at_const(w, e->elem, amx_block_data(e, c->t, c->block),
                         row * e->in_row + col * e->in_col);
}

static LLVMValueRef group_weights(const Call *c, Walk *w)
{
    const AmxEmit *e = c->e;
    int weights = e->p.parts > 1 ? w->k->packed_param : w->k->weight_param;
    LLVMValueRef all = amx_parts(&e->s) ? amx_parts_at(e, w) : w->base[weights];
    return tile_at(w, e->elem, all, c->t->scalar[S_GROUP], e->wt_group);
}

static void call_sums(Call *c, Walk *w)
{
    const AmxEmit *e = c->e;
    LLVMValueRef acc[MAX_ACC];
    LLVMValueRef in = tile_at(w, e->elem, first_cell(c, w), c->start, e->depth);
    LLVMValueRef wt = group_weights(c, w);
    Nest n = {.elem = e->elem,
              .nlevel = 1,
              .body = channel_products,
              .user = c,
              .level = {{"channels", e->s.data_ch / e->depth, 1, e->p.parts * e->c.channels,
                         e->wt_channels}}};
    for (int64_t i = 0; i < c->tiles * e->p.c; i++) amx_zero(w, i);
    if (amx_parts(&e->s))
        amx_part_products(e, w, c->tiles, in, wt);
    else if (e->c.slot)
        nest_emit(w, &n, in, wt, acc);
}

/* ---- results ---- */
/* Sums of a block of results, all tiles of points one behind the other. */
static LLVMValueRef sums_at(const Call *c, Walk *w, int64_t j, int64_t point)
{
    int64_t at = (j * c->tiles * c->e->c.points + point) * AMX_LANES;
    return tile_at_const(w, walk_type(w, DT_F32), w->base[w->k->scratch_param], at);
}

static void keep_sums(const Call *c, Walk *w)
{
    for (int64_t t = 0; t < c->tiles; t++)
        for (int64_t j = 0; j < c->e->p.c; j++)
            amx_store(w, amx_sum_tile(c->e, t, j), sums_at(c, w, j, t * c->e->c.points), LINE);
}

typedef struct Row {
    const Call *c;
    LLVMValueRef index, point; /* of the row in its block; its first among the sums */
} Row;

static void store_point(Walk *w, void *user, LLVMValueRef col)
{
    const Row *r = user;
    const AmxEmit *e = r->c->e;
    LLVMTypeRef f32 = walk_type(w, DT_F32), vec = walk_vec(w, DT_F32, AMX_LANES);
    LLVMValueRef point = LLVMBuildAdd(w->b, r->point, col, "");
    walk_bind(w, e->axis[A_COL], tile_affine(w, col, e->c.x.a.step, e->c.x.a.first));
    for (int64_t j = 0; j < e->p.c; j++) {
        LLVMValueRef at = tile_at(w, f32, sums_at(r->c, w, j, 0), point, AMX_LANES);
        walk_bind(w, e->axis[A_BLOCK], tile_affine(w, r->c->t->scalar[S_GROUP], e->p.c, j));
        walk_set(w, w->k->heavy, tile_load(w, vec, at, LINE));
        walk_stores(w);
    }
}

static LLVMValueRef least(Walk *w, LLVMValueRef a, LLVMValueRef b)
{
    return LLVMBuildSelect(w->b, LLVMBuildICmp(w->b, LLVMIntSLT, a, b, ""), a, b, "");
}

LLVMValueRef amx_at_least_0(Walk *w, LLVMValueRef a)
{
    LLVMValueRef zero = walk_i64(w, 0);
    return LLVMBuildSelect(w->b, LLVMBuildICmp(w->b, LLVMIntSGT, a, zero, ""), a, zero, "");
}

/* Row i of the block: columns of it that are among the results at hand. */
static void store_row(Walk *w, void *user, LLVMValueRef i)
{
    const Call *c = user;
    const AmxEmit *e = c->e;
    int64_t cols = e->c.x.a.points;
    LLVMValueRef before = tile_affine(w, i, cols, 0);
    LLVMValueRef from = amx_at_least_0(w, LLVMBuildSub(w->b, c->first, before, ""));
    LLVMValueRef to = least(w, LLVMBuildSub(w->b, c->end, before, ""), walk_i64(w, cols));
    LLVMValueRef point = LLVMBuildSub(w->b, tile_affine(w, i, e->c.width, 0), c->start, "");
    Row r = {.c = c, .index = i, .point = point};
    LLVMValueRef row = LLVMBuildAdd(w->b, tile_affine(w, c->block, e->c.rows, 0), i, "");
    walk_bind(w, e->axis[A_ROW], tile_affine(w, row, e->c.y.a.step, e->c.y.a.first));
    tile_range(w, "col", from, to, store_point, &r);
}

static void call_stores(Call *c, Walk *w)
{
    const AmxEmit *e = c->e;
    int64_t cols = e->c.x.a.points;
    LLVMValueRef last = tile_affine(w, c->end, 1, -1);
    walk_bind(w, e->axis[A_SAMPLE], c->t->scalar[S_SAMPLE]);
    walk_bind(w, e->axis[A_LANE], walk_i64(w, 0));
    tile_range(w, "row", walk_quotient(w, c->first, cols),
               tile_affine(w, walk_quotient(w, last, cols), 1, 1), store_row, c);
}

/* Results before a point of the run, row by row. */
static LLVMValueRef results_before(const AmxEmit *e, Walk *w, LLVMValueRef point)
{
    LLVMValueRef row = walk_quotient(w, point, e->c.width);
    LLVMValueRef col = LLVMBuildSub(w->b, point, tile_affine(w, row, e->c.width, 0), "");
    col = least(w, col, walk_i64(w, e->c.x.a.points));
    return LLVMBuildAdd(w->b, tile_affine(w, row, e->c.x.a.points, 0), col, "");
}

/* The last call of a run begins early enough to end with it, and stores only what is new. A lone
 * call may begin some points before the run: what lies there is the scratch's, and not stored. */
static void place(Call *c, Walk *w)
{
    const AmxEmit *e = c->e;
    int64_t points = c->tiles * e->c.points;
    LLVMValueRef unit = c->t->scalar[S_UNIT];
    c->block = walk_quotient(w, unit, e->c.calls);
    LLVMValueRef i = LLVMBuildSub(w->b, unit, tile_affine(w, c->block, e->c.calls, 0), "");
    LLVMValueRef from = tile_affine(w, i, e->p.t * e->c.points, 0);
    c->ahead = tile_affine(w, i, lines_ahead(e) * LINE / 2, e->wt_group);
    c->start = least(w, from, walk_i64(w, e->c.run - points));
    LLVMValueRef to = least(w, tile_affine(w, from, 1, points), walk_i64(w, e->c.run));
    c->first = results_before(e, w, from);
    c->end = results_before(e, w, to);
}

Tile amx_call(const AmxEmit *e, int64_t tiles)
{
    char suffix[64];
    snprintf(suffix, sizeof suffix, "amx%lldx%lld", (long long)tiles, (long long)e->p.c);
    Tile t = tile_begin(e->w, suffix);
    Call c = {.e = e, .t = &t, .tiles = tiles};
    place(&c, &t.w);
    call_sums(&c, &t.w);
    keep_sums(&c, &t.w);
    call_stores(&c, &t.w);
    tile_end(&t);
    return t;
}
