/* SPDX-License-Identifier: Apache-2.0 */
/* Geometry and plan of amxconv. Costs, in cycles, by what instructions take on Sapphire and Emerald
 * Rapids (measured):
 *
 *   a product of m points           m, whatever its depth
 *   copying a cell                  COPY_CYCLES a vector of 16 channels
 *   a vector of results             STORE_CYCLES: out of the tile, and a usual epilogue
 *   a call                          CALL_CYCLES
 *
 * A block has as many rows as keep its data in the L1 cache; where weights do not stay in the L2,
 * they are read once a block, so it is the whole map then, and several samples'. */
#include "amxplan.h"

#include <stdio.h>

#include "targets/llvm/walk.h"

enum { COPY_CYCLES = 2, STORE_CYCLES = 4, CALL_CYCLES = 60, MOST_SAMPLES = 16 };

/* ---- geometry ---- */
int64_t amx_depth(const TapShape *s)
{
    return s->data_ch % (2 * AMX_LANES) == 0 ? 2 * AMX_LANES : AMX_LANES;
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

static int64_t divisor_up_to(int64_t n, int64_t most)
{
    int64_t d = most < n ? most : n;
    while (n % d != 0) d--;
    return d;
}

AmxClass amx_class(const TapShape *s, const AmxPlan *p, int64_t row_class, int64_t col_class)
{
    AmxClass c = {.y = amx_axis(s, 0, row_class), .x = amx_axis(s, 1, col_class)};
    if (c.y.a.points == 0 || c.x.a.points == 0) return c;
    c.rows = divisor_up_to(c.y.a.points, p->rows);
    c.blocks = c.y.a.points / c.rows;
    c.width = c.x.a.points + c.x.reach;
    c.height = c.rows + c.y.reach;
    c.plane = c.width * c.height;
    c.channels = c.plane * c.y.phases * c.x.phases * amx_depth(s);
    c.slot = c.channels * (s->data_ch / amx_depth(s));
    c.run = (c.rows - 1) * c.width + c.x.a.points;
    c.tiles = (c.run + AMX_ROWS - 1) / AMX_ROWS;
    c.points = (c.run + c.tiles - 1) / c.tiles;
    c.calls = (c.tiles + p->t - 1) / p->t;
    return c;
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

bool amx_fits(const Target *t, const Contract *c, const TapShape *s)
{
    if (t->tiles <= 0 || !c->bf16 || c->dtype != DT_F32 || s->groups != 1) return false;
    if (target_lanes(t, c->dtype) != AMX_LANES) return false;
    if (s->data_ch % AMX_LANES != 0 || s->result_ch % AMX_LANES != 0) return false;
    if (s->kernel[0] * s->kernel[1] > AMX_MOST_UNROLL) return false;
    return axis_fits(s, 0) && axis_fits(s, 1) && rows_meet(s);
}

/* ---- costs ---- */
static double class_cycles(const TapShape *s, const AmxPlan *p, const AmxClass *c)
{
    double steps = (double)(c->y.a.taps * c->x.a.taps * s->data_ch / amx_depth(s));
    double blocks = (double)(s->result_ch / AMX_LANES), tiles = (double)c->tiles;
    double products = tiles * blocks * steps * (double)c->points;
    double stores = (double)(c->rows * c->x.a.points) * blocks * STORE_CYCLES;
    double calls = (double)c->calls * blocks / (double)p->c * CALL_CYCLES;
    return (double)c->blocks *
           (products + stores + calls + (double)c->slot / AMX_LANES * COPY_CYCLES);
}

static double plan_cycles(const Contract *k, const TapShape *s, const AmxPlan *p)
{
    double sum = 0;
    for (int64_t a = 0; a < tap_classes(s, 0); a++)
        for (int64_t b = 0; b < tap_classes(s, 1); b++) {
            AmxClass c = amx_class(s, p, a, b);
            if (c.blocks > 0) sum += class_cycles(s, p, &c);
        }
    return sum * (double)k->batch;
}

/* ---- the choice ---- */
/* Sums, a tile of weights for each block of results, and one of data at least. */
static bool registers_hold(int64_t t, int64_t c)
{
    return t >= 1 && c >= 1 && t * c + c + 1 <= AMX_TILES;
}

static bool weights_stay(const Target *t, const TapShape *s)
{
    return s->data_ch * s->result_ch * s->kernel[0] * s->kernel[1] * 2 <= t->l2 / 2;
}

static int64_t usual_rows(const Target *t, const TapShape *s, AmxPlan p)
{
    int64_t room = weights_stay(t, s) ? t->l1 * 3 / 4 : t->l2 / 4;
    p.rows = tap_axis(s, 0, 0).points;
    while (p.rows > 1 && amx_slot(s, &p) * 2 > room) p.rows--;
    return p.rows > 1 ? p.rows : 1;
}

static int64_t usual_samples(const Target *t, const Contract *c, const TapShape *s,
                             const AmxPlan *p)
{
    int64_t slot = amx_slot(s, p) * 2, n = slot > 0 ? t->l2 / 4 / slot : 1;
    if (weights_stay(t, s) || p->rows < tap_axis(s, 0, 0).points) return 1;
    n = n < MOST_SAMPLES ? n : MOST_SAMPLES;
    n = n < c->batch ? n : c->batch;
    return n > 1 ? n : 1;
}

static void complete(const Target *t, const Contract *c, const TapShape *s, AmxPlan *p)
{
    if (p->c < 0) p->c = s->result_ch / AMX_LANES % 2 == 0 ? 2 : 1;
    if (p->t < 0) p->t = p->c == 2 ? 2 : 4;
    if (p->rows < 0) p->rows = usual_rows(t, s, *p);
    if (p->samples < 0) p->samples = usual_samples(t, c, s, p);
    p->cost = plan_cycles(c, s, p);
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
