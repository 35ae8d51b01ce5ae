/* SPDX-License-Identifier: Apache-2.0 */
/* Whether Winograd pays, in which form, and its tiles. With rate = multiply-adds a cycle and tiles
 * of t by c as in tapplan.c, shuffles counted:
 *
 *   products   = planes * tiles / t * result blocks / c * (data channels * max(t*c, t + c,
 *                TAP_CHAINS) + t*c stores + CALL_CYCLES) / rate; the first register tile of a
 *                block meets c vectors of weights in each step, which may take the L3 longer. The
 *                planes are pairs of data and kernel; stores and calls as many as of products
 *   stream     = bytes of weights / bytes a cycle whence they come, for each block of tiles; 0: the
 *                L2. A call's first block finds them in memory, the others in the L3 if they fit
 *   transforms = tiles * (data blocks * data_cycles + result blocks * sums_cycles) / rate
 *   planes     = their bytes, written and read, / the L2's rate / 2; 0: a block's stay in the L1
 *   cost       = the larger of products and stream, 1/8 of the other, transforms, planes
 *
 * The transformed weights are larger than the direct ones (four times for F(4,3)) and are read once
 * a block of tiles, so few tiles and many channels leave it waiting for memory. Between two calls
 * of a layer a net reads others' weights, so that the first block finds its own in the L3 even
 * where they would fit the L2. Fast multiply-adds want them sooner than they come: then a register
 * tile is of many tiles and few vectors of weights, blocks are large, and as in tapplan.c weights
 * are fetched ahead. */
#include "wino.h"

#include <stdio.h>

#include "tapplan.h"

enum { MOST_BLOCKS = 4, CALL_CYCLES = 20 };
enum { MOST_SUMS = 16 };                  /* more wait for each other when they are stored */
enum { FEW_TILES = 16, MANY_TILES = 30 }; /* of a block, where weights are near or are not */
enum { PLANES_SEEN = 2 };                 /* of their way to the L2 and back a part delays */
static const double l1_share = 0.75;      /* for planes, beside patches, weights and results */
enum { USUAL_BATCH = 8 };                 /* that the choice is made for, see choice_batch */
static const double l3_share = 16 << 20;

void wino_tiles(const TapShape *s, const WinoForm *f, int64_t tiles[2])
{
    int64_t span = wino_span(f);
    for (int i = 0; i < 2; i++) tiles[i] = (s->result[i] + span - 1) / span;
}

typedef struct Model {
    const Target *target;
    const TapShape *s;
    const WinoForm *f;
    int64_t tiles, each; /* in all; of a sample */
    int lanes;
} Model;

static double weight_bytes(const Model *m)
{
    return (double)(wino_planes(m->f) * 4 * m->s->data_ch * m->s->result_ch);
}

/* Register tiles of t that all tiles take: depth first a sample's are all that a call has. */
static double calls_of(const Model *m, int64_t t, int64_t block)
{
    int64_t run = m->each > block ? m->each : m->tiles;
    return (double)(m->tiles / run * ((run + t - 1) / t));
}

/* Cycles of all products with register tiles of t by c. */
static double product_cycles(const Model *m, int64_t t, int64_t c, int64_t block)
{
    double rate = tap_rate(m->target), step = t * c;
    step += tap_shuffles(m->target, (double)t);
    if (t + c > step) step = t + c;
    if (step < TAP_CHAINS) step = TAP_CHAINS;
    double weights = (double)c * m->target->vec_bytes / m->target->l3_rate * rate;
    double late = weights > step ? weights - step : 0;
    double planes = wino_many(m->f) * wino_many(m->f);
    double ends = (double)(wino_sums(m->f) * wino_sums(m->f)) / planes;
    double call = (double)m->s->data_ch * step + ((double)(t * c) + CALL_CYCLES) * ends;
    double calls = calls_of(m, t, block), blocks = (double)((m->tiles + block - 1) / block);
    int64_t groups = m->s->result_ch / m->lanes / c;
    double all = calls * call + blocks * (double)m->s->data_ch * late;
    return planes * (double)groups * all / rate;
}

/* Cycles in which weights that do not stay in the L2 cache come, if nothing else were done. */
static double stream_cycles(const Model *m, int64_t block)
{
    double bytes = weight_bytes(m);
    if (bytes <= (double)m->target->l2) return 0;
    double again = (double)((m->tiles + block - 1) / block - 1),
           rate = bytes > l3_share ? m->target->memory_rate : m->target->l3_rate;
    return bytes / m->target->memory_rate + again * bytes / rate;
}

static double transform_cycles(const Model *m)
{
    double blocks = (double)(m->s->data_ch / m->lanes) * m->f->data_cycles +
                    (double)(m->s->result_ch / m->lanes) * m->f->sums_cycles;
    return blocks * (double)m->tiles / tap_rate(m->target);
}

/* Tiles whose planes stay in the L1 cache from stage to stage; 0: fewer than a register tile. */
static int64_t near_tiles(const Model *m)
{
    int64_t data = wino_in(m->f) * wino_in(m->f) * m->s->data_ch,
            result = wino_sums(m->f) * wino_sums(m->f) * m->s->result_ch;
    double each = 4 * (double)(data > result ? data : result);
    int64_t most = (int64_t)(l1_share * (double)m->target->l1 / each);
    return most >= TAP_CHAINS ? most : 0;
}

/* Twice as many multiply-adds a cycle come with an L2 cache that is twice as fast. */
static double plane_cycles(const Model *m, int64_t block)
{
    if (block <= near_tiles(m)) return 0;
    int64_t in = wino_in(m->f) * wino_in(m->f), out = wino_sums(m->f) * wino_sums(m->f);
    int64_t vectors = (m->s->data_ch * in + m->s->result_ch * out) / m->lanes;
    double bytes = (double)(2 * vectors * m->target->vec_bytes * m->tiles);
    return bytes / (TAP_L2_RATE * tap_rate(m->target)) / PLANES_SEEN;
}

static int64_t block_tiles(const Model *m, int64_t t)
{
    double bytes = weight_bytes(m);
    bool late = tap_outruns(m->target) && bytes > (double)m->target->l1,
         far = late || bytes > (double)m->target->l2;
    int64_t want = far ? MANY_TILES : FEW_TILES;
    int64_t most = (m->tiles + t - 1) / t * t, block = (want + t / 2) / t * t;
    return block < most ? block : most;
}

static double block_cycles(const Model *m, int64_t t, int64_t c, int64_t block)
{
    double products = product_cycles(m, t, c, block), stream = stream_cycles(m, block);
    double most = products > stream ? products : stream;
    return most + (products + stream - most) / 8 + /* never quite at once */
           transform_cycles(m) + plane_cycles(m, block);
}

/* With two multiply-adds a cycle a sum of one block of channels is no loop: its few turns cost a
 * sixth of it. */
static int64_t usual_unroll(const Model *m)
{
    bool one = m->s->data_ch == m->lanes && m->f->stride == 1 && m->target->rate >= 2;
    return one ? m->lanes : tap_unroll(m->lanes);
}

/* The usual block of tiles, or one whose planes stay in the L1 cache. */
static int64_t best_block(const Model *m, int64_t t, int64_t c, double *cost)
{
    int64_t usual = block_tiles(m, t), near = near_tiles(m) / t * t;
    *cost = block_cycles(m, t, c, usual);
    if (near == 0 || near >= usual) return usual;
    double less = block_cycles(m, t, c, near);
    if (less >= *cost) return usual;
    *cost = less;
    return near;
}

/* Tiles and blocks of least cost; 0: none fits. */
static double best_tile(const Model *m, WinoPlan *p)
{
    double best = 0;
    for (int64_t c = 1; c <= MOST_BLOCKS; c++) {
        if (m->s->result_ch / m->lanes % c != 0) continue;
        int64_t sums = tap_registers(m->target, tap_held(m->target, c) + 1);
        if (sums > MOST_SUMS) sums = MOST_SUMS;
        for (int64_t t = 1; t <= m->tiles && t * c <= sums; t++) {
            double cost;
            int64_t block = best_block(m, t, c, &cost);
            if (best > 0 && cost >= best * 0.999999) continue;
            best = cost;
            *p = (WinoPlan){.t = t, .c = c, .block = block};
        }
    }
    p->unroll = usual_unroll(m);
    return best;
}

static Model model(const Target *t, const Contract *c, const TapShape *s, int64_t batch,
                   const WinoForm *f)
{
    int64_t tiles[2];
    wino_tiles(s, f, tiles);
    return (Model){.target = t,
                   .s = s,
                   .f = f,
                   .tiles = batch * tiles[0] * tiles[1],
                   .each = tiles[0] * tiles[1],
                   .lanes = target_lanes(t, c->dtype)};
}

/* Images that form and claim are chosen for. The usual batch, so that one sample's bits do not
 * depend on how many come with it; but weights beyond an L3 share (512 channels at 7x7) come from
 * memory in each call, and a few images do not repay that: their choice is for as many. */
static int64_t choice_batch(const Target *t, const Contract *c, const TapShape *s)
{
    double most = 0;
    for (int i = 0; i < WINO_FORMS; i++) {
        if (!wino_form_fits(&wino_forms[i], s)) continue;
        Model m = model(t, c, s, 1, &wino_forms[i]);
        if (weight_bytes(&m) > most) most = weight_bytes(&m);
    }
    return most > l3_share && c->batch < USUAL_BATCH ? c->batch : USUAL_BATCH;
}

/* The form of least cost among those whose error is allowed; -1: none. */
static int best_form(const Target *t, const Contract *c, const TapShape *s, double *cost)
{
    int64_t batch = choice_batch(t, c, s);
    int best = -1;
    for (int i = 0; i < WINO_FORMS; i++) {
        if (!wino_form_fits(&wino_forms[i], s)) continue;
        if (t->max_error > 0 && wino_forms[i].error > t->max_error) continue;
        Model m = model(t, c, s, batch, &wino_forms[i]);
        WinoPlan p;
        double own = best_tile(&m, &p);
        if (own <= 0 || (best >= 0 && own >= *cost)) continue;
        best = i;
        *cost = own;
    }
    return best;
}

static bool beats_direct(const Target *t, const Contract *c, const TapShape *s, double cost)
{
    Contract as_chosen = *c;
    as_chosen.batch = choice_batch(t, c, s);
    TapPlan direct;
    return !tap_plan(t, &as_chosen, s, &direct) || cost < 0.9 * direct.cost;
}

bool wino_plan(const Target *t, const Contract *c, const TapShape *s, WinoPlan *p, double *cost)
{
    double usual = 0;
    int form = best_form(t, c, s, &usual);
    if (form < 0 || !beats_direct(t, c, s, usual)) return false;
    Model m = model(t, c, s, c->batch, &wino_forms[form]);
    *cost = best_tile(&m, p);
    p->form = form;
    return *cost > 0;
}

bool wino_fetches(const Target *t, int64_t bytes)
{
    return tap_streams(t) && bytes > t->l1;
}

/* ---- plans of schedules ---- */

static bool known_tile(const Model *m, const WinoPlan *p, char *why)
{
    int64_t groups = m->s->result_ch / m->lanes,
            room = tap_registers(m->target, tap_held(m->target, p->c) + 1);
    if (p->t < 1 || p->c < 1)
        snprintf(why, PLAN_WHY, "a tile has at least 1 tile and 1 block");
    else if (groups % p->c != 0)
        snprintf(why, PLAN_WHY, "%lld blocks of channels do not divide the %lld there are",
                 (long long)p->c, (long long)groups);
    else if (p->t * p->c > room)
        snprintf(why, PLAN_WHY, "a tile of %lldx%lld wants %lld registers for sums, of %lld",
                 (long long)p->t, (long long)p->c, (long long)(p->t * p->c), (long long)room);
    else
        return true;
    return false;
}

static bool known_block(const Model *m, const WinoPlan *p, char *why)
{
    int64_t most = (m->tiles + p->t - 1) / p->t * p->t;
    if (p->block < 1 || p->block % p->t != 0 || p->block > most)
        snprintf(why, PLAN_WHY, "a block of %lld is no multiple of %lld up to the %lld there are",
                 (long long)p->block, (long long)p->t, (long long)most);
    else if (p->unroll < 1 || m->lanes % p->unroll != 0)
        snprintf(why, PLAN_WHY, "unroll %lld does not divide the %d channels of a block",
                 (long long)p->unroll, m->lanes);
    else
        return true;
    return false;
}

/* The form that is said, or the heuristic's. */
static bool known_form(const Target *t, const Contract *c, const TapShape *s, WinoPlan *p,
                       char *why)
{
    double cost;
    if (p->form < 0) p->form = best_form(t, c, s, &cost);
    if (p->form >= 0 && !wino_form_fits(&wino_forms[p->form], s)) {
        snprintf(why, PLAN_WHY, "%s is not for this convolution", wino_forms[p->form].name);
        return false;
    }
    if (p->form >= 0 && (t->max_error == 0 || wino_forms[p->form].error <= t->max_error))
        return true;
    snprintf(why, PLAN_WHY, "%s errs more than --max-error allows",
             p->form < 0 ? "winograd" : wino_forms[p->form].name);
    return false;
}

bool wino_plan_fit(const Target *t, const Contract *c, const TapShape *s, WinoPlan *p, double *cost,
                   char *why)
{
    WinoPlan own;
    if (!known_form(t, c, s, p, why)) return false;
    Model m = model(t, c, s, c->batch, &wino_forms[p->form]);
    if (p->t < 0 && best_tile(&m, &own) > 0) p->t = own.t, p->c = own.c;
    if (!known_tile(&m, p, why)) return false;
    if (p->block < 0) p->block = best_block(&m, p->t, p->c, cost);
    if (p->unroll < 0) p->unroll = usual_unroll(&m);
    if (!known_block(&m, p, why)) return false;
    *cost = block_cycles(&m, p->t, p->c, p->block);
    return true;
}
