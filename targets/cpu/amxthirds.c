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

static void split_weight(float w, uint16_t part[AMX_THIRDS])
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
    split_weight(p->dense[(oc * ics + ic) * p->taps + p->tap], part);
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

static void split_pair(Walk *w, LLVMValueRef first, LLVMValueRef second,
                       LLVMValueRef pair[AMX_THIRDS])
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
void amx_split_cell(const AmxEmit *e, Walk *w, LLVMValueRef from, LLVMValueRef to)
{
    LLVMValueRef pair[AMX_THIRDS];
    LLVMTypeRef data = tile_elem(w, w->k->data_param);
    LLVMValueRef next = tile_at_const(w, data, from, e->in_block);
    split_pair(w, tile_data(w, from), tile_data(w, next), pair);
    for (int i = 0; i < AMX_THIRDS; i++) {
        LLVMValueRef at = tile_at_const(w, e->elem, to, i * e->c.channels);
        LLVMSetAlignment(LLVMBuildStore(w->b, pair[i], at), AMX_LINE);
    }
}

/* ---- products ---- */
static void multiply(const AmxEmit *e, Walk *w, int64_t tiles, LLVMValueRef in)
{
    for (int64_t t = 0; t < tiles; t++) {
        int64_t at = t * e->c.points * e->depth;
        amx_load(w, amx_data_tile(e, t), tile_at_const(w, e->elem, in, at), AMX_LINE);
        for (int64_t j = 0; j < e->p.c; j++)
            amx_product(w, amx_sum_tile(e, t, j), amx_data_tile(e, t), amx_weight_tile(e, j));
    }
}

void amx_third_products(const AmxEmit *e, Walk *w, int64_t tiles, LLVMValueRef in, LLVMValueRef wt)
{
    for (int64_t part = LO; part >= HI; part--) { /* of the weights */
        for (int64_t j = 0; j < e->p.c; j++) {
            int64_t at = (part * e->p.c + j) * e->wt_tile;
            amx_load(w, amx_weight_tile(e, j), tile_at_const(w, e->elem, wt, at), AMX_LINE);
        }
        for (int64_t of = LO - part; of >= HI; of--)
            multiply(e, w, tiles, tile_at_const(w, e->elem, in, of * e->c.channels));
    }
}
