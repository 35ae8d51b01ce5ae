/* SPDX-License-Identifier: Apache-2.0 */
/* Tiles for gradients in weights. Per pixel a tile of s scalars, t taps and c vectors does s*t*c
 * multiply-adds, and loads the operand that the taps move t times as often as the other; both have
 * about the same rate (tapplan.c). With one channel a group t*c multiply-adds load t*c vectors of x
 * and c of dy. Pixels come in chunks small enough for the nearest cache, and for an even tree of
 * sums: a chunk's sum starts at 0 and is added to that of the chunks before. */
#include "dwconv.h"

#include "tapplan.h"

#include <stdio.h>

enum { MOST_BLOCKS = 4, MOST_TAPS = 7, CHUNK = 256 };

/* Whether lanes are channels of x; false in *fits: nothing fills a vector. */
static bool lanes_on_x(const Contract *c, int lanes, bool *fits)
{
    *fits = c->ic % lanes == 0 || c->oc % lanes == 0;
    return c->ic % lanes == 0 && !dw_depthwise(c);
}

/* Cycles a multiply-add of vectors; 0: the registers do not hold the sums. */
static double cycles(const Target *t, const Contract *c, const DwPlan *p)
{
    int64_t step = p->s * p->taps * p->c, vectors = p->lanes_x ? p->taps * p->c : p->c;
    int64_t sums = step, loads = vectors + (p->lanes_x ? p->s : p->s * p->taps);
    if (dw_depthwise(c)) loads = p->c + step;
    if (sums > tap_registers(t, vectors + 1)) return 0;
    if (loads > step) step = loads;
    if (step < TAP_CHAINS) step = TAP_CHAINS;
    return (double)step / (double)sums / tap_rate(t);
}

static void consider(const Target *t, const Contract *c, DwPlan p, DwPlan *best)
{
    p.cost = cycles(t, c, &p);
    bool larger = p.s * p.taps * p.c > best->s * best->taps * best->c;
    if (!p.cost || (best->c && (p.cost > best->cost || (p.cost == best->cost && !larger)))) return;
    *best = p;
}

int64_t dw_unit(const DwPlan *p, const Contract *c, int lanes)
{
    int64_t scalars = p->lanes_x ? c->oc : dw_depthwise(c) ? 1 : c->ic;
    return scalars % lanes ? scalars : lanes;
}

static int64_t blocks_of(const DwPlan *p, const Contract *c, int lanes)
{
    return (p->lanes_x ? c->ic : c->oc) / lanes;
}

static void consider_scalars(const Target *t, const Contract *c, DwPlan p, int64_t unit,
                             DwPlan *best)
{
    for (p.s = 1; p.s <= unit && p.s <= t->vec_regs; p.s++)
        if (unit % p.s == 0) consider(t, c, p, best);
}

static void plan_chunk(const Contract *c, DwPlan *p)
{
    p->rows = (CHUNK + c->ow - 1) / c->ow;
    p->images = 1;
    if (p->rows < c->oh) return;
    p->rows = c->oh;
    p->images = CHUNK / (c->oh * c->ow);
    if (p->images < 1) p->images = 1;
    if (p->images > c->batch) p->images = c->batch;
}

static void set_cost(const Contract *c, int lanes, DwPlan *p)
{
    double pixels = (double)(c->batch * c->oh * c->ow);
    p->cost *= pixels * (double)(c->kh * c->kw * c->ic * c->oc / c->groups) / lanes;
}

bool dw_plan(const Target *t, const Contract *c, DwPlan *plan)
{
    int lanes = target_lanes(t, c->dtype);
    bool fits;
    DwPlan p = {.lanes_x = lanes_on_x(c, lanes, &fits)}, best = {0};
    if (!fits) return false;
    int64_t blocks = blocks_of(&p, c, lanes), unit = dw_unit(&p, c, lanes);
    for (p.c = 1; p.c <= MOST_BLOCKS; p.c++)
        for (p.taps = 1; p.taps <= MOST_TAPS && blocks % p.c == 0; p.taps++)
            if (p.taps == 1 || p.taps == c->kw) consider_scalars(t, c, p, unit, &best);
    if (!best.c) return false;
    set_cost(c, lanes, &best);
    plan_chunk(c, &best);
    *plan = best;
    return true;
}

/* ---- plans of schedules ---- */
static bool known_tile(const Target *t, const Contract *c, DwPlan *p, char *why)
{
    int lanes = target_lanes(t, c->dtype);
    int64_t unit = dw_unit(p, c, lanes), blocks = blocks_of(p, c, lanes);
    bool parts = p->s > 0 && p->taps > 0 && p->c > 0 && !(unit % p->s) && !(c->kw % p->taps) &&
                 !(blocks % p->c);
    p->cost = parts ? cycles(t, c, p) : 0;
    if (!parts)
        snprintf(why, PLAN_WHY, "a tile of %lldx%lldx%lld does not divide %lldx%lldx%lld",
                 (long long)p->s, (long long)p->taps, (long long)p->c, (long long)unit,
                 (long long)c->kw, (long long)blocks);
    else if (!p->cost)
        snprintf(why, PLAN_WHY, "the registers do not hold a tile of %lldx%lldx%lld",
                 (long long)p->s, (long long)p->taps, (long long)p->c);
    set_cost(c, lanes, p);
    return p->cost > 0;
}

static bool known_chunk(const Contract *c, const DwPlan *p, char *why)
{
    bool rows = p->rows > 0 && p->rows <= c->oh, images = p->images > 0 && p->images <= c->batch;
    if (rows && images && (p->images == 1 || p->rows == c->oh)) return true;
    snprintf(why, PLAN_WHY, "no chunk of %lldx%lld; there are %lld rows of %lld images",
             (long long)p->rows, (long long)p->images, (long long)c->oh, (long long)c->batch);
    return false;
}

bool dw_plan_fit(const Target *t, const Contract *c, DwPlan *p, char *why)
{
    DwPlan own;
    if (!dw_plan(t, c, &own)) {
        snprintf(why, PLAN_WHY, "dwconv wants channels on one side that fill vectors");
        return false;
    }
    p->lanes_x = own.lanes_x;
    if (p->s < 0) p->s = own.s, p->taps = own.taps, p->c = own.c;
    if (p->rows < 0) p->rows = own.rows, p->images = own.images;
    return known_tile(t, c, p, why) && known_chunk(c, p, why);
}
