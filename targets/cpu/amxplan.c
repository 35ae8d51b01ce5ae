/* SPDX-License-Identifier: Apache-2.0 */
/* Geometry and plan of amxconv. Costs, in cycles, by what instructions take on Sapphire and Emerald
 * Rapids (measured):
 *
 *   a product of m points           m, whatever its depth
 *   copying a cell                  COPY_CYCLES a vector of 16 channels
 *   a vector of results             STORE_CYCLES: out of the tile, and a usual epilogue
 *   tiles' loads                    beside products, L2_RATE bytes a cycle from the L2 cache
 *   a call                          CALL_CYCLES
 */
#include "amxplan.h"

#include <stdio.h>

#include "targets/llvm/walk.h"

enum { COPY_CYCLES = 2, SPLIT_CYCLES = 3 }; /* the latter in thirds */
enum { STORE_CYCLES = 4, CALL_CYCLES = 60, L2_RATE = 32 };
enum { MOST_SAMPLES = 16, FETCH_BYTES = 64 << 10 };
#define PARTS_ERROR 8e-6    /* at most, of the largest result (test_parts) */
#define THIRDS_ERROR 1.5e-6 /* (test_thirds) */

/* ---- geometry ---- */
int64_t amx_depth(const TapShape *s)
{
    if (amx_parts(s)) return AMX_PIXEL * s->stride[1];
    return s->data_ch % (2 * AMX_LANES) == 0 ? 2 * AMX_LANES : AMX_LANES;
}

int64_t amx_row_bytes(const TapShape *s)
{
    return 2 * (amx_parts(s) ? AMX_PIXEL * AMX_PIXELS : amx_depth(s));
}

int64_t amx_part_bytes(const TapShape *s)
{
    return amx_parts(s) ? 2 * s->kernel[0] * (s->result_ch / AMX_LANES) * AMX_TILE_BYTES : 0;
}

static int64_t phase_of(AmxAxis *x, int64_t offset)
{
    for (int64_t i = 0; i < x->phases; i++)
        if (x->phase[i] == offset) return i;
    x->phase[x->phases] = offset;
    return x->phases++;
}

static AmxAxis amx_axis(const TapShape *s, int axis, int64_t class)
{
    AmxAxis x = {.a = tap_axis(s, axis, class)};
    int64_t span = (x.a.taps - 1) * x.a.in_tap, low = span < 0 ? span : 0;
    for (int64_t t = 0; t < x.a.taps; t++) {
        int64_t from = t * x.a.in_tap - low, stride = x.a.in_point;
        int64_t p = x.plane[t] = phase_of(&x, from % stride);
        x.shift[t] = from / stride;
        if (x.shift[t] > x.cells[p]) x.cells[p] = x.shift[t];
        if (x.shift[t] > x.reach) x.reach = x.shift[t];
    }
    for (int64_t i = 0; i < x.phases; i++) x.phase[i] += x.a.in0 + low;
    return x;
}

/* All columns of the kernel are one tap: of as many cells as 8 pixels begin. */
static AmxAxis part_columns(const TapShape *s)
{
    AmxAxis x = {.a = tap_axis(s, 1, 0), .phases = 1};
    x.a.taps = 1;
    x.phase[0] = x.a.in0;
    x.reach = x.cells[0] = (AMX_PIXELS - 1) / s->stride[1];
    return x;
}

static AmxAxis amx_columns(const TapShape *s, int64_t class)
{
    return amx_parts(s) ? part_columns(s) : amx_axis(s, 1, class);
}

int64_t amx_row_pixels(const TapShape *s)
{
    return (s->result[1] + part_columns(s).reach) * s->stride[1];
}

/* Steps of depth that a copy holds. */
static int64_t copy_steps(const TapShape *s, const AmxPlan *p)
{
    return amx_parts(s) ? 2 : s->data_ch / amx_depth(s) * p->parts;
}

static int64_t divisor_up_to(int64_t n, int64_t most)
{
    int64_t d = most < n ? most : n;
    while (n % d != 0) d--;
    return d;
}

static void cut_run(AmxClass *c, const AmxPlan *p)
{
    c->run = (c->rows - 1) * c->width + c->x.a.points;
    c->tiles = (c->run + AMX_ROWS - 1) / AMX_ROWS;
    c->points = (c->run + c->tiles - 1) / c->tiles;
    c->calls = (c->tiles + p->t - 1) / p->t;
}

AmxClass amx_class(const TapShape *s, const AmxPlan *p, int64_t row_class, int64_t col_class)
{
    AmxClass c = {.y = amx_axis(s, 0, row_class), .x = amx_columns(s, col_class)};
    if (c.y.a.points == 0 || c.x.a.points == 0) return c;
    c.rows = divisor_up_to(c.y.a.points, p->rows);
    c.blocks = c.y.a.points / c.rows;
    c.width = c.x.a.points + c.x.reach;
    c.height = c.rows + c.y.reach;
    c.plane = c.width * c.height;
    c.channels = c.plane * c.y.phases * c.x.phases * amx_depth(s);
    c.slot = c.channels * copy_steps(s, p);
    cut_run(&c, p);
    return c;
}

static bool is_dense(const AmxClass *c)
{
    bool one = c->y.phases == 1 && c->x.phases == 1;
    return one && c->y.a.in_point == 1 && c->x.a.in_point == 1;
}

/* A lone call may begin before its run, which only copies allow. */
void amx_read_direct(AmxClass *c, const AmxPlan *p, int64_t width, int64_t channels)
{
    AmxClass d = *c;
    if (!is_dense(c)) return;
    d.direct = true;
    d.width = width;
    d.channels = channels;
    cut_run(&d, p);
    bool inside = d.calls > 1 || d.tiles * d.points == d.run;
    if (inside && width - c->x.a.points < AMX_ROWS / 2) *c = d;
}

int64_t amx_slot(const TapShape *s, const AmxPlan *p)
{
    int64_t most = 0;
    for (int64_t a = 0; a < tap_classes(s, 0); a++)
        for (int64_t b = 0; b < tap_classes(s, 1); b++) {
            int64_t slot = amx_class(s, p, a, b).slot;
            most = slot > most ? slot : most;
        }
    return most;
}

/* ---- what can be ---- */
static bool axis_fits(const TapShape *s, int axis)
{
    return s->kernel[axis] <= AMX_MOST_TAPS && s->result[axis] * s->stride[axis] < INT32_MAX / 64;
}

/* A tile that met no result at all, between two rows, would have nothing to store. */
static bool rows_meet(const TapShape *s)
{
    AmxPlan one = {.t = 1, .c = 1, .rows = 1};
    for (int64_t b = 0; b < tap_classes(s, 1); b++)
        if (amx_class(s, &one, 0, b).x.reach >= AMX_ROWS / 2) return false;
    return true;
}

/* Rows of pixels are split 16 at a time. */
static bool parts_fit(const Target *t, const Contract *c, const TapShape *s)
{
    if (!t->bf16_parts || c->bf16 || s->dx) return false;
    if (t->max_error > 0 && t->max_error < PARTS_ERROR) return false;
    if (s->kernel[1] > AMX_PIXELS || s->dilation[1] != 1) return false;
    return amx_row_pixels(s) >= AMX_ROWS;
}

bool amx_thirds(const Contract *c, const TapShape *s)
{
    return !c->bf16 && !amx_parts(s);
}

static bool thirds_fit(const Target *t, const Contract *c, const TapShape *s)
{
    if (!t->f32_tiles || c->varies || s->data_ch % (2 * AMX_LANES) != 0) return false;
    return t->max_error == 0 || t->max_error >= THIRDS_ERROR;
}

static bool data_fit(const Target *t, const Contract *c, const TapShape *s)
{
    if (amx_parts(s)) return parts_fit(t, c, s);
    return c->bf16 ? s->data_ch % AMX_LANES == 0 : thirds_fit(t, c, s);
}

bool amx_fits(const Target *t, const Contract *c, const TapShape *s)
{
    if (t->tiles <= 0 || c->dtype != DT_F32 || s->groups != 1) return false;
    if (target_lanes(t, c->dtype) != AMX_LANES) return false;
    if (s->result_ch % AMX_LANES != 0 || !data_fit(t, c, s)) return false;
    if (s->kernel[0] * s->kernel[1] > AMX_MOST_UNROLL) return false;
    return axis_fits(s, 0) && axis_fits(s, 1) && rows_meet(s);
}

/* ---- costs ---- */
int64_t amx_weight_bytes(const TapShape *s, const AmxPlan *p)
{
    if (amx_parts(s)) return amx_part_bytes(s);
    return 2 * p->parts * s->data_ch * s->result_ch * s->kernel[0] * s->kernel[1];
}

static double weight_bytes(const TapShape *s, const AmxPlan *p)
{
    return (double)amx_weight_bytes(s, p);
}

bool amx_fetches(const TapShape *s, const AmxPlan *p, const AmxClass *c)
{
    return !amx_parts(s) && c->blocks == 1 && weight_bytes(s, p) >= FETCH_BYTES;
}

/* Bytes that the calls of a block read from the L2 cache: data, where they do not stay in the L1,
 * once a group of results; a group's weights once, or, where they do not stay beside data, in each
 * call. */
static double block_traffic(const Target *t, const TapShape *s, const AmxPlan *p, const AmxClass *c)
{
    double groups = (double)(s->result_ch / AMX_LANES) / (double)p->c;
    double weights = weight_bytes(s, p), data = 2.0 * (double)c->slot;
    bool data_stay = data <= (double)t->l1 * 3 / 4;
    double beside = data_stay ? data : data / (double)c->calls;
    bool weights_stay = weights / groups + beside <= (double)t->l1;
    return weights * (weights_stay ? 1 : (double)c->calls) + (data_stay ? 0 : data * groups);
}

/* Once a block weights come from an outer cache, if they are too many for the L2. */
static double block_loads(const Target *t, const TapShape *s, const AmxPlan *p, const AmxClass *c)
{
    double bytes = weight_bytes(s, p), far = bytes > (double)t->l2 / 2 ? bytes / t->l3_rate : 0;
    return block_traffic(t, s, p, c) / L2_RATE + far / (double)p->samples;
}

/* Of parts: hi*hi alone, or all but mid*lo, lo*mid and lo*lo. */
static int64_t products_of(int64_t parts)
{
    return parts * (parts + 1) / 2;
}

static double class_cycles(const Target *t, const TapShape *s, const AmxPlan *p, const AmxClass *c)
{
    int64_t channels = amx_parts(s) ? 3 : s->data_ch / amx_depth(s) * products_of(p->parts);
    double steps = (double)(c->y.a.taps * c->x.a.taps * channels);
    double blocks = (double)(s->result_ch / AMX_LANES), tiles = (double)c->tiles;
    double products = tiles * blocks * steps * (double)c->points;
    double loads = block_loads(t, s, p, c);
    double stores = (double)(c->rows * c->x.a.points) * blocks * STORE_CYCLES;
    double calls = (double)c->calls * blocks / (double)p->c * CALL_CYCLES;
    bool copied = !is_dense(c) || amx_parts(s) || p->parts > 1;
    double cell = p->parts > 1 ? SPLIT_CYCLES : COPY_CYCLES;
    double copies = copied ? (double)c->slot / AMX_LANES * cell : 0;
    return (double)c->blocks * ((products > loads ? products : loads) + stores + calls + copies);
}

static double plan_cycles(const Target *t, const Contract *k, const TapShape *s, const AmxPlan *p)
{
    double sum = 0;
    for (int64_t a = 0; a < tap_classes(s, 0); a++)
        for (int64_t b = 0; b < tap_classes(s, 1); b++) {
            AmxClass c = amx_class(s, p, a, b);
            if (c.blocks > 0) sum += class_cycles(t, s, p, &c);
        }
    return sum * (double)k->batch;
}

/* ---- the choice ---- */
/* Sums, a tile of weights for each block of results, and one of data at least. */
static bool registers_hold(int64_t t, int64_t c)
{
    return t >= 1 && c >= 1 && t * c + c + 1 <= AMX_TILES;
}

static bool weights_stay(const Target *t, const TapShape *s, const AmxPlan *p)
{
    return weight_bytes(s, p) <= (double)t->l2 / 2;
}

static int64_t usual_samples(const Target *t, const Contract *c, const TapShape *s,
                             const AmxPlan *p)
{
    int64_t slot = amx_slot(s, p) * 2, n = slot > 0 ? t->l2 / 4 / slot : 1;
    if (weights_stay(t, s, p) || p->rows < tap_axis(s, 0, 0).points) return 1;
    n = n < MOST_SAMPLES ? n : MOST_SAMPLES;
    n = n < c->batch ? n : c->batch;
    return n > 1 ? n : 1;
}

/* As many rows as leave most of the L2 cache to what they are copied from and to results: each
 * block reads all weights again, and a lone one fetches them ahead. */
static int64_t usual_rows(const Target *t, const TapShape *s, AmxPlan p)
{
    int64_t all = tap_axis(s, 0, 0).points, most = t->l2 / (amx_parts(s) ? 16 : 4);
    p.rows = all;
    while (p.rows > 1 && amx_slot(s, &p) * 2 > most) p.rows--;
    return divisor_up_to(all, p.rows > 1 ? p.rows : 1);
}

static void complete(const Target *t, const Contract *c, const TapShape *s, AmxPlan *p)
{
    p->parts = amx_thirds(c, s) ? AMX_THIRDS : 1;
    if (p->c < 0) p->c = s->result_ch / AMX_LANES % 2 == 0 ? 2 : 1;
    if (p->t < 0) p->t = p->c == 2 ? 2 : 4;
    if (p->rows < 0) p->rows = usual_rows(t, s, *p);
    p->rows = divisor_up_to(tap_axis(s, 0, 0).points, p->rows);
    if (p->samples < 0) p->samples = usual_samples(t, c, s, p);
    if (p->samples > c->batch) p->samples = c->batch;
    p->cost = plan_cycles(t, c, s, p);
}

void amx_plan(const Target *t, const Contract *c, const TapShape *s, AmxPlan *p)
{
    *p = (AmxPlan){.t = -1, .c = -1, .rows = -1, .samples = -1};
    complete(t, c, s, p);
}

bool amx_plan_fit(const Target *t, const Contract *c, const TapShape *s, AmxPlan *p, char *why)
{
    int64_t blocks = s->result_ch / AMX_LANES;
    bool tile = p->t >= 0;
    if (tile && (!registers_hold(p->t, p->c) || blocks % p->c != 0)) {
        snprintf(why, PLAN_WHY,
                 "a tile of %lldx%lld wants T*B + B + 1 of %d registers, and B to divide the %lld "
                 "blocks of channels",
                 (long long)p->t, (long long)p->c, AMX_TILES, (long long)blocks);
        return false;
    }
    if (p->rows == 0 || p->samples == 0) {
        snprintf(why, PLAN_WHY, "rows and samples are at least 1");
        return false;
    }
    complete(t, c, s, p);
    return true;
}
