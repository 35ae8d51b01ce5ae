/* SPDX-License-Identifier: Apache-2.0 */
/* What amxconv does for first layers, whose data and weights are f32 (amxplan.h): both are split
 * into parts of bf16, x = hi + lo + at most 2^-17 x, weights once a call of the kernel, data row by
 * row as they are copied; and of four products of parts the three large ones are summed. Data are
 * finite: hi of a number beyond bf16, or of infinity, makes lo NaN, and what a product reads beyond
 * a kernel's columns meets weights of 0. */
#include "amxemit.h"

#include <string.h>

enum { LINE = 64, PARTS = 2 };
enum { HI, LO };

/* ---- places ---- */
/* {result / 16C} {ky} {kx} {data} {(result / 16) % C} {result % 16} */
Layout amx_part_weights(const TapShape *s, int64_t c)
{
    Layout l = {.rank = 4};
    layout_push(&l, s->result_dim, AMX_LANES * c, s->result_ch / (AMX_LANES * c));
    layout_push(&l, 2, 1, s->kernel[0]);
    layout_push(&l, 3, 1, s->kernel[1]);
    layout_push(&l, s->data_dim, 1, s->data_ch);
    if (c > 1) layout_push(&l, s->result_dim, AMX_LANES, c);
    layout_push(&l, s->result_dim, 1, AMX_LANES);
    return l;
}

void amx_part_halo(const TapShape *s, int64_t high[2])
{
    int64_t beyond = amx_row_pixels(s) - s->pad[1] - s->data[1];
    if (beyond > high[1]) high[1] = beyond;
}

/* In the scratch: [group][ky][part][block of the group][pair of elements][result][2] */
void amx_part_places(AmxEmit *e)
{
    e->wt_tile = AMX_TILE_BYTES / 2;
    e->wt_tap = PARTS * e->wt_tile * e->p.c;
    e->wt_channels = e->wt_group = e->wt_tap * e->s.kernel[0];
}

LLVMValueRef amx_parts_at(const AmxEmit *e, Walk *w)
{
    return tile_at_const(w, e->elem, w->base[w->k->scratch_param], amx_sum_bytes() / 2);
}

/* ---- splitting ---- */
/* Rounded to bf16 in the lower half of i32: vcvtneps2bf16. */
static LLVMValueRef rounded(Walk *w, LLVMValueRef f)
{
    static const char name[] = "llvm.x86.avx512bf16.cvtneps2bf16.512";
    unsigned id = LLVMLookupIntrinsicID(name, sizeof name - 1);
    LLVMValueRef fn = LLVMGetIntrinsicDeclaration(w->mod, id, NULL, 0);
    LLVMTypeRef i16 = LLVMVectorType(LLVMInt16TypeInContext(w->ctx), AMX_LANES);
    LLVMTypeRef i32 = LLVMVectorType(LLVMInt32TypeInContext(w->ctx), AMX_LANES);
    LLVMValueRef h = LLVMBuildCall2(w->b, LLVMIntrinsicGetType(w->ctx, id, NULL, 0), fn, &f, 1, "");
    return LLVMBuildZExt(w->b, LLVMBuildBitCast(w->b, h, i16, ""), i32, "");
}

static LLVMValueRef upper(Walk *w, LLVMValueRef half)
{
    LLVMTypeRef type = LLVMTypeOf(half), i32 = LLVMInt32TypeInContext(w->ctx);
    LLVMValueRef lane[AMX_LANES];
    for (int i = 0; i < AMX_LANES; i++) lane[i] = LLVMConstInt(i32, 16, 0);
    check(LLVMGetVectorSize(type) == AMX_LANES);
    return LLVMBuildShl(w->b, half, LLVMConstVector(lane, AMX_LANES), "");
}

static void split(Walk *w, LLVMValueRef at, LLVMValueRef part[PARTS])
{
    LLVMTypeRef vec = walk_vec(w, DT_F32, AMX_LANES);
    LLVMValueRef f = tile_load(w, vec, at, 4);
    part[HI] = rounded(w, f);
    LLVMValueRef hi = LLVMBuildBitCast(w->b, upper(w, part[HI]), vec, "");
    part[LO] = rounded(w, LLVMBuildFSub(w->b, f, hi, ""));
}

/* Numbers of channels 2i and 2i + 1, side by side; channels that are not there are 0. */
static void split_pair(Walk *w, LLVMValueRef at, int64_t channel, int64_t i, int64_t channels,
                       LLVMValueRef pair[PARTS])
{
    LLVMTypeRef f32 = walk_type(w, DT_F32);
    LLVMTypeRef vec = LLVMVectorType(LLVMInt32TypeInContext(w->ctx), AMX_LANES);
    LLVMValueRef odd[PARTS];
    for (int p = 0; p < PARTS; p++) pair[p] = LLVMConstNull(vec);
    if (2 * i < channels) split(w, tile_at_const(w, f32, at, 2 * i * channel), pair);
    if (2 * i + 1 >= channels) return;
    split(w, tile_at_const(w, f32, at, (2 * i + 1) * channel), odd);
    for (int p = 0; p < PARTS; p++) pair[p] = LLVMBuildOr(w->b, pair[p], upper(w, odd[p]), "");
}

static void put(Walk *w, LLVMValueRef v, LLVMValueRef at)
{
    LLVMSetAlignment(LLVMBuildStore(w->b, v, at), 2);
}

/* ---- weights ---- */
typedef struct Split {
    const AmxEmit *e;
    LLVMValueRef from, to; /* the group, or row, at hand */
} Split;

static void split_taps(const Split *s, Walk *w, int64_t x, int64_t j, LLVMValueRef from,
                       LLVMValueRef to)
{
    const AmxEmit *e = s->e;
    int64_t lanes = AMX_LANES * e->p.c, channels = x < e->s.kernel[1] ? e->s.data_ch : 0;
    LLVMValueRef tap =
        tile_at_const(w, walk_type(w, DT_F32), from, x * e->s.data_ch * lanes + j * AMX_LANES);
    for (int64_t i = 0; i < AMX_PIXEL / 2; i++) {
        LLVMValueRef pair[PARTS];
        int64_t row = x * AMX_PIXEL / 2 + i;
        split_pair(w, tap, lanes, i, channels, pair);
        for (int64_t p = 0; p < PARTS; p++) {
            int64_t at = (p * e->p.c + j) * e->wt_tile + row * AMX_LANES * 2;
            put(w, pair[p], tile_at_const(w, e->elem, to, at));
        }
    }
}

/* Weights lie row after row, group after group, before and after. */
static void split_kernel_row(Walk *w, void *user, LLVMValueRef row)
{
    const Split *s = user;
    const AmxEmit *e = s->e;
    int64_t f32s = e->s.kernel[1] * e->s.data_ch * AMX_LANES * e->p.c;
    LLVMValueRef from = tile_at(w, walk_type(w, DT_F32), s->from, row, f32s);
    LLVMValueRef to = tile_at(w, e->elem, s->to, row, e->wt_tap);
    for (int64_t x = 0; x < AMX_PIXELS; x++)
        for (int64_t j = 0; j < e->p.c; j++) split_taps(s, w, x, j, from, to);
}

void amx_split_weights(const AmxEmit *e)
{
    Tile t = tile_begin(e->w, "weights");
    Walk *w = &t.w;
    LLVMValueRef none[TILE_SCALARS];
    Split s = {.e = e, .from = w->base[w->k->weight_param], .to = amx_parts_at(e, w)};
    int64_t groups = e->s.result_ch / (AMX_LANES * e->p.c);
    tile_for(w, "row", 0, groups * e->s.kernel[0], 1, split_kernel_row, &s);
    tile_end(&t);
    for (int i = 0; i < TILE_SCALARS; i++) none[i] = walk_i64(e->w, 0);
    tile_call(e->w, &t, none);
}

/* ---- data ---- */
/* 16 pixels, two pairs of channels each. */
static void put_pixels(const Split *s, Walk *w, LLVMValueRef even, LLVMValueRef odd,
                       LLVMValueRef at)
{
    LLVMTypeRef i32 = LLVMInt32TypeInContext(w->ctx);
    for (unsigned h = 0; h < 2; h++) {
        LLVMValueRef lane[AMX_LANES];
        for (unsigned i = 0; i < AMX_LANES; i++)
            lane[i] = LLVMConstInt(i32, h * AMX_LANES / 2 + i / 2 + i % 2 * AMX_LANES, 0);
        LLVMValueRef mask = LLVMConstVector(lane, AMX_LANES);
        put(w, LLVMBuildShuffleVector(w->b, even, odd, mask, ""),
            tile_at_const(w, s->e->elem, at, h * AMX_LANES * 2));
    }
}

static void split_pixels(Walk *w, void *user, LLVMValueRef col)
{
    const Split *s = user;
    const AmxEmit *e = s->e;
    LLVMValueRef from = tile_at(w, walk_type(w, DT_F32), s->from, col, 1), even[PARTS], odd[PARTS];
    LLVMValueRef to = tile_at(w, e->elem, s->to, col, AMX_PIXEL);
    split_pair(w, from, e->in_block, 0, e->s.data_ch, even);
    split_pair(w, from, e->in_block, 1, e->s.data_ch, odd);
    for (int p = 0; p < PARTS; p++)
        put_pixels(s, w, even[p], odd[p], tile_at_const(w, e->elem, to, p * e->c.channels));
}

/* The last 16 pixels of a row may have been split already. */
static void split_row(Walk *w, void *user, LLVMValueRef row)
{
    Split s = *(const Split *)user;
    const AmxEmit *e = s.e;
    int64_t pixels = amx_row_pixels(&e->s), whole = pixels / AMX_LANES;
    s.from = tile_at(w, walk_type(w, DT_F32), s.from, row, e->c.y.a.in_point * e->in_row);
    s.to = tile_at(w, e->elem, s.to, row, e->c.width * e->depth);
    tile_for(w, "pixel", 0, whole, AMX_LANES, split_pixels, &s);
    if (pixels % AMX_LANES) split_pixels(w, &s, walk_i64(w, pixels - AMX_LANES));
}

Tile amx_split(const AmxEmit *e)
{
    Tile t = tile_begin(e->w, "split");
    Walk *w = &t.w;
    LLVMValueRef from = amx_block_data(e, &t, t.scalar[S_BLOCK]), to = amx_slot_at(e, &t);
    for (int64_t y = 0; y < e->c.y.phases; y++) {
        int64_t row = e->c.y.phase[y] + e->in_low[0], col = e->c.x.phase[0] + e->in_low[1];
        Split s = {.e = e};
        s.from = tile_at_const(w, walk_type(w, DT_F32), from, row * e->in_row + col);
        s.to = tile_at_const(w, e->elem, to, y * e->c.plane * e->depth);
        tile_for(w, "row", 0, e->c.rows + e->c.y.cells[y], 1, split_row, &s);
    }
    tile_end(&t);
    return t;
}

/* ---- products ---- */
typedef struct Products {
    const AmxEmit *e;
    int64_t tiles;
    LLVMValueRef in, wt; /* of the kernel row, hi of both */
} Products;

static void load_weights(const Products *p, Walk *w, int part)
{
    const AmxEmit *e = p->e;
    for (int64_t j = 0; j < e->p.c; j++) {
        int64_t at = (part * e->p.c + j) * e->wt_tile;
        amx_load(w, amx_weight_tile(e, j), tile_at_const(w, e->elem, p->wt, at), LINE);
    }
}

static void multiply(const Products *p, Walk *w, int part, bool loaded)
{
    const AmxEmit *e = p->e;
    for (int64_t t = 0; t < p->tiles; t++) {
        int64_t at = part * e->c.channels + t * e->c.points * e->depth;
        if (!loaded)
            amx_load(w, amx_data_tile(e, t), tile_at_const(w, e->elem, p->in, at), 2 * e->depth);
        for (int64_t j = 0; j < e->p.c; j++)
            amx_product(w, amx_sum_tile(e, t, j), amx_data_tile(e, t), amx_weight_tile(e, j));
    }
}

void amx_part_products(const AmxEmit *e, Walk *w, int64_t tiles, LLVMValueRef in, LLVMValueRef wt)
{
    bool stay = tiles <= AMX_TILES - amx_weight_tile(e, e->p.c);
    for (int64_t y = 0; y < e->s.kernel[0]; y++) {
        int64_t cell = e->c.y.plane[y] * e->c.plane + e->c.y.shift[y] * e->c.width;
        Products p = {.e = e, .tiles = tiles};
        p.in = tile_at_const(w, e->elem, in, cell * e->depth);
        p.wt = tile_at_const(w, e->elem, wt, y * e->wt_tap);
        load_weights(&p, w, HI);
        multiply(&p, w, LO, false);
        multiply(&p, w, HI, false);
        load_weights(&p, w, LO);
        multiply(&p, w, HI, stay);
    }
}
