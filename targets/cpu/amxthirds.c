/* SPDX-License-Identifier: Apache-2.0 */
/* What amxconv does for data of f32 in many channels (amxplan.h): x = hi + mid + lo, each of bf16.
 * After G. Henry, P. Tang and A. Heinecke, "Leveraging the bfloat16 artificial intelligence
 * datatype for higher-precision computations", ARITH 2019. Data are cut, which is exact; weights
 * are rounded, so that their mid and lo have either sign and the products that are left out no
 * tendency. Data are finite: of infinity mid is NaN. */
#include "amxemit.h"

#include <math.h>
#include <string.h>

enum { HI, MID, LO };

/* ---- weights, when the model is compiled ---- */
Layout amx_third_layout(const TapShape *s)
{
    Layout l = {.rank = 4};
    layout_push(&l, 0, 1, s->dx ? s->data_ch : s->result_ch);
    layout_push(&l, 1, 1, s->dx ? s->result_ch : s->data_ch);
    for (int i = 0; i < 2; i++) layout_push(&l, 2 + i, 1, s->kernel[i]);
    return l;
}

/* {result / 16C} {data / 32} {ky} {kx} {part} {(result / 16) % C} {data % 16} {result % 16}
 * {(data % 32) / 16} */
void amx_third_places(AmxEmit *e)
{
    e->wt_tile = e->depth * AMX_LANES;
    e->wt_tap = e->wt_tile * e->p.c * AMX_THIRDS;
    e->wt_channels = e->wt_tap * e->s.kernel[0] * e->s.kernel[1];
    e->wt_group = e->wt_channels * (e->s.data_ch / e->depth);
}

/* To nearest, ties to even; infinity and NaN as they are. */
static uint16_t nearest(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    if (isfinite(f)) u += 0x7fff + (u >> 16 & 1);
    return (uint16_t)(u >> 16);
}

static float widened(uint16_t half)
{
    uint32_t u = (uint32_t)half << 16;
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

void amx_split_weight(float w, uint16_t part[AMX_THIRDS])
{
    for (int i = 0; i < AMX_THIRDS; i++) {
        part[i] = nearest(w);
        w -= widened(part[i]);
    }
}

typedef struct Pack {
    const TapShape *s;
    const float *dense;
    uint16_t *to;
    int64_t c, tap, taps; /* blocks of results of a group */
} Pack;

static void pack_pair(const Pack *p, int64_t result, int64_t data)
{
    const TapShape *s = p->s;
    int64_t oc = s->dx ? data : result, ic = s->dx ? result : data, across = AMX_LANES * p->c;
    int64_t ics = s->dx ? s->result_ch : s->data_ch;
    int64_t step = result / across * (s->data_ch / (2 * AMX_LANES)) + data / (2 * AMX_LANES);
    int64_t tile = (step * p->taps + p->tap) * AMX_THIRDS * p->c + result % across / AMX_LANES;
    int64_t cell = (data % AMX_LANES * AMX_LANES + result % AMX_LANES) * 2;
    uint16_t part[AMX_THIRDS];
    amx_split_weight(p->dense[(oc * ics + ic) * p->taps + p->tap], part);
    for (int i = 0; i < AMX_THIRDS; i++)
        p->to[(tile + i * p->c) * 2 * AMX_LANES * AMX_LANES + cell + data / AMX_LANES % 2] =
            part[i];
}

void amx_pack_thirds(const TapShape *s, int64_t c, const float *dense, uint16_t *to)
{
    Pack p = {.s = s, .dense = dense, .to = to, .c = c, .taps = s->kernel[0] * s->kernel[1]};
    for (int64_t r = 0; r < s->result_ch; r++)
        for (int64_t d = 0; d < s->data_ch; d++)
            for (p.tap = 0; p.tap < p.taps; p.tap++) pack_pair(&p, r, d);
}

/* ---- splitting ---- */
static LLVMValueRef all_lanes(Walk *w, uint32_t v)
{
    LLVMTypeRef i32 = LLVMInt32TypeInContext(w->ctx);
    LLVMValueRef lane[AMX_LANES];
    for (int i = 0; i < AMX_LANES; i++) lane[i] = LLVMConstInt(i32, v, 0);
    return LLVMConstVector(lane, AMX_LANES);
}

static LLVMValueRef upper_half(Walk *w, LLVMValueRef v)
{
    return LLVMBuildAnd(w->b, v, all_lanes(w, 0xffff0000u), "");
}

static LLVMValueRef without(Walk *w, LLVMValueRef f, LLVMValueRef part)
{
    LLVMTypeRef vec = LLVMTypeOf(f);
    return LLVMBuildFSub(w->b, f, LLVMBuildBitCast(w->b, part, vec, ""), "");
}

/* Parts in the upper halves; below lo is anything. */
static void split(Walk *w, LLVMValueRef f, LLVMValueRef part[AMX_THIRDS])
{
    LLVMTypeRef bits = LLVMVectorType(LLVMInt32TypeInContext(w->ctx), AMX_LANES);
    LLVMValueRef u = LLVMBuildBitCast(w->b, f, bits, "");
    part[HI] = upper_half(w, u);
    LLVMValueRef rest = without(w, f, part[HI]);
    part[MID] = upper_half(w, LLVMBuildBitCast(w->b, rest, bits, ""));
    part[LO] = LLVMBuildBitCast(w->b, without(w, rest, part[MID]), bits, "");
}

void amx_split_pair(Walk *w, LLVMValueRef first, LLVMValueRef second, LLVMValueRef pair[AMX_THIRDS])
{
    LLVMValueRef low[AMX_THIRDS], high[AMX_THIRDS];
    split(w, first, low);
    split(w, second, high);
    for (int i = 0; i < AMX_THIRDS; i++) {
        LLVMValueRef down = LLVMBuildLShr(w->b, low[i], all_lanes(w, 16), "");
        pair[i] = LLVMBuildOr(w->b, down, upper_half(w, high[i]), "");
    }
}

/* A cell of 32 channels, from two blocks in memory. */
static void split_cell(const AmxEmit *e, Walk *w, LLVMValueRef from, LLVMValueRef to)
{
    LLVMValueRef pair[AMX_THIRDS];
    LLVMTypeRef data = tile_elem(w, w->k->data_param);
    LLVMValueRef next = tile_at_const(w, data, from, e->in_block);
    amx_split_pair(w, tile_data(w, from), tile_data(w, next), pair);
    for (int i = 0; i < AMX_THIRDS; i++) {
        LLVMValueRef at = tile_at_const(w, e->elem, to, i * e->c.channels);
        LLVMSetAlignment(LLVMBuildStore(w->b, pair[i], at), AMX_LINE);
    }
}

typedef struct Copy {
    const AmxEmit *e;
    LLVMValueRef from, to; /* the block of channels, then the phase, then the row at hand */
    int64_t cells, down;   /* of a row; from row to row of a phase */
} Copy;

static void split_col(Walk *w, void *user, LLVMValueRef col)
{
    const Copy *c = user;
    const AmxEmit *e = c->e;
    LLVMTypeRef data = tile_elem(w, w->k->data_param);
    split_cell(e, w, tile_at(w, data, c->from, col, e->c.x.a.in_point * e->in_col),
               tile_at(w, e->elem, c->to, col, e->depth));
}

static void split_row(Walk *w, void *user, LLVMValueRef row)
{
    Copy c = *(const Copy *)user;
    const AmxEmit *e = c.e;
    c.from = tile_at(w, tile_elem(w, w->k->data_param), c.from, row, c.down);
    c.to = tile_at(w, e->elem, c.to, row, e->c.width * e->depth);
    tile_for(w, "cell", 0, c.cells, 1, split_col, &c);
}

static void split_phase(const Copy *all, Walk *w, int64_t y, int64_t x)
{
    Copy c = *all;
    const AmxEmit *e = c.e;
    int64_t row = e->c.y.phase[y] + e->in_low[0], col = e->c.x.phase[x] + e->in_low[1];
    int64_t plane = (y * e->c.x.phases + x) * e->c.plane;
    LLVMTypeRef data = tile_elem(w, w->k->data_param);
    c.from = tile_at_const(w, data, c.from, row * e->in_row + col * e->in_col);
    c.to = tile_at_const(w, e->elem, c.to, plane * e->depth);
    c.cells = e->c.x.a.points + e->c.x.cells[x];
    c.down = e->c.y.a.in_point * e->in_row;
    tile_for(w, "row", 0, e->c.rows + e->c.y.cells[y], 1, split_row, &c);
}

static void split_channels(Walk *w, void *user, LLVMValueRef block)
{
    Copy c = *(const Copy *)user;
    const AmxEmit *e = c.e;
    c.from = tile_at(w, tile_elem(w, w->k->data_param), c.from, block, 2 * e->in_block);
    c.to = tile_at(w, e->elem, c.to, block, AMX_THIRDS * e->c.channels);
    for (int64_t y = 0; y < e->c.y.phases; y++)
        for (int64_t x = 0; x < e->c.x.phases; x++) split_phase(&c, w, y, x);
}

Tile amx_split_thirds(const AmxEmit *e)
{
    Tile t = tile_begin(e->w, "split");
    Walk *w = &t.w;
    Copy c = {.e = e, .from = amx_block_data(e, &t, t.scalar[S_BLOCK]), .to = amx_slot_at(e, &t)};
    tile_for(w, "channels", 0, e->s.data_ch / e->depth, 1, split_channels, &c);
    tile_end(&t);
    return t;
}

/* ---- products ---- */
static LLVMValueRef at_byte(Walk *w, LLVMValueRef at, int64_t byte)
{
    return tile_at_const(w, LLVMInt8TypeInContext(w->ctx), at, byte);
}

static int64_t data_tile(const AmxThirds *p, int64_t t)
{
    int64_t first = p->t * p->c + p->c;
    return first + t % (AMX_TILES - first);
}

static void multiply(Walk *w, const AmxThirds *p, LLVMValueRef data)
{
    for (int64_t t = 0; t < p->tiles; t++) {
        amx_load(w, data_tile(p, t), at_byte(w, data, t * p->next), AMX_LINE);
        for (int64_t j = 0; j < p->c; j++)
            amx_product(w, t * p->c + j, data_tile(p, t), p->t * p->c + j);
    }
}

static void load_weights(Walk *w, const AmxThirds *p, LLVMValueRef weights)
{
    for (int64_t j = 0; j < p->c; j++) {
        LLVMValueRef at = at_byte(w, weights, j * AMX_TILE_BYTES);
        for (int64_t i = 0; p->ahead && i < AMX_TILE_BYTES; i += AMX_LINE)
            tile_prefetch_far(w, at_byte(w, at, p->ahead + i));
        amx_load(w, p->t * p->c + j, at, AMX_LINE);
    }
}

void amx_third_products(Walk *w, const AmxThirds *p, LLVMValueRef data, LLVMValueRef weights)
{
    for (int64_t part = LO; part >= HI; part--) { /* of the weights */
        load_weights(w, p, at_byte(w, weights, part * p->c * AMX_TILE_BYTES));
        for (int64_t of = LO - part; of >= HI; of--) multiply(w, p, at_byte(w, data, of * p->part));
    }
}
