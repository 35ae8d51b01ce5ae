/* SPDX-License-Identifier: Apache-2.0 */
/* Whether Winograd pays for gradients in weights, in which form, and its tiles. With rate =
 * multiply-adds a cycle, tiles of s by c as in dwplan.c (s counts those of joint pieces), and
 * pieces, groups, slabs of winodw.h:
 *
 *   products   = planes * pieces / joint * (tiles * max(s*c, s + c, TAP_CHAINS)
 *                                           + blocks * (2*s*c + CALL_CYCLES))
 *   transforms = tiles * (blocks of x * data_cycles * slabs along dy's
 *                         + blocks of dy * spread_cycles * slabs along x's)
 *                        * 1.3 where the planes are made in parts
 *   results    = vectors of sums * TAPS_CYCLES
 *   cost       = their sum / rate
 *
 * The sums of a slab and the transforms of a block of tiles take a part of the L2 cache each, which
 * costs transforms done again where channels are many; slabs are as good as square. Few tiles and
 * many channels are left with more results than products. */
#include "winodw.h"

#include "dwconv.h"
#include "tapplan.h"

#include <stdio.h>

enum { MOST_VECTORS = 4, CALL_CYCLES = 20, TAPS_CYCLES = 300, PARTS_TENTHS = 13 };
enum { LEAST_BLOCK = 16, MOST_BLOCK = 64, NEAR_BLOCK = 8 }; /* tiles */
enum { RUN = 16 };                                          /* blocks */
enum { CACHE_PART = 4, SUMS_TENTHS = 3 }; /* of the L2 cache: a quarter, three tenths */

typedef struct Model {
    const Target *target;
    const TapShape *s;
    const WinoForm *f;
    int64_t tiles, form;
    int lanes;
} Model;

static int64_t x_blocks(const Model *m)
{
    return m->s->data_ch / m->lanes;
}

static int64_t y_blocks(const Model *m)
{
    return m->s->result_ch / m->lanes;
}

WinoDwShape winodw_shape(const TapShape *s, const WinoDwPlan *p, int lanes)
{
    WinoDwShape h = {.groups = p->xs / p->c, .parts = p->ys * lanes / p->s};
    h.slab = h.groups * h.parts;
    h.across = s->data_ch / lanes / p->xs;
    h.down = s->result_ch / lanes / p->ys;
    return h;
}

int64_t winodw_joint(const Target *t, const WinoDwPlan *p, int lanes)
{
    int64_t n = 1;
    while (p->c == 1 && 2 * n * p->s <= lanes && 2 * n * p->s <= tap_registers(t, p->c + 1)) n *= 2;
    return n;
}

int64_t winodw_run(const WinoDwPlan *p, int64_t tiles)
{
    return p->block > NEAR_BLOCK || p->block >= tiles ? 1 : RUN;
}

bool winodw_near(const Target *t, const WinoDwPlan *p, int lanes)
{
    const WinoForm *f = &wino_forms[p->form];
    int64_t patches = f->out * f->out * p->block * (p->xs + p->ys) * lanes, planes = wino_planes(f);
    int64_t made = wino_plane_of(p->xs * lanes, p->block) + wino_plane_of(p->ys * lanes, p->block);
    int64_t sums = wino_plane_of(p->xs * p->ys * lanes * lanes, 1);
    return 4 * (patches + planes / p->parts * (made + sums)) <= t->l1;
}

static double transform_cycles(const Model *m, const WinoDwPlan *p)
{
    double of_x = (double)(x_blocks(m) * (y_blocks(m) / p->ys));
    double of_y = (double)(y_blocks(m) * (x_blocks(m) / p->xs));
    double again = p->parts > 1 ? PARTS_TENTHS / 10.0 : 1;
    return again * (double)m->tiles * (of_x * m->f->data_cycles + of_y * m->f->spread_cycles);
}

/* Of the slabs whose sums that part of the cache has room for, or the least, the one whose
 * transforms are done again least often. */
static void choose_slab(const Model *m, WinoDwPlan *p)
{
    int64_t sums = wino_planes(m->f) * 4 * m->lanes * m->lanes; /* bytes */
    int64_t room = m->target->l2 * SUMS_TENTHS / 10;
    WinoDwPlan q = *p;
    double least = 0;
    for (q.xs = p->c; q.xs <= x_blocks(m); q.xs += p->c)
        for (q.ys = 1; q.ys <= y_blocks(m); q.ys++) {
            if (x_blocks(m) % q.xs || y_blocks(m) % q.ys) continue;
            if (least && sums * q.xs * q.ys > room) continue;
            double again = transform_cycles(m, &q);
            if (least && again >= least) continue;
            least = again;
            p->xs = q.xs, p->ys = q.ys;
        }
}

/* Tiles whose transforms take a part of the cache too. */
static int64_t most_tiles(const Model *m, const WinoDwPlan *p)
{
    int64_t bytes = wino_planes(m->f) / p->parts * 4 * m->lanes * (p->xs + p->ys);
    int64_t most = m->target->l2 / CACHE_PART / bytes;
    if (most < LEAST_BLOCK) most = LEAST_BLOCK;
    return most < MOST_BLOCK ? most : MOST_BLOCK;
}

static int64_t most_parts(const WinoForm *f)
{
    int64_t n = WINODW_PARTS;
    while (wino_in(f) % n) n--;
    return n;
}

static bool can_be_near(const Model *m, const WinoDwPlan *p)
{
    WinoDwPlan q = *p;
    q.block = NEAR_BLOCK;
    return m->tiles > NEAR_BLOCK && winodw_near(m->target, &q, m->lanes);
}

/* All blocks alike. */
static int64_t block_tiles(const Model *m, const WinoDwPlan *p)
{
    int64_t most = most_tiles(m, p), blocks = (m->tiles + most - 1) / most;
    return can_be_near(m, p) ? NEAR_BLOCK : (m->tiles + blocks - 1) / blocks;
}

static double product_cycles(const Model *m, const WinoDwPlan *p, const WinoDwShape *h)
{
    double joint = (double)winodw_joint(m->target, p, m->lanes), s = joint * (double)p->s;
    double c = (double)p->c, blocks = (double)((m->tiles + p->block - 1) / p->block);
    double step = s * c > s + c ? s * c : s + c;
    if (step < TAP_CHAINS) step = TAP_CHAINS;
    double piece = ((double)m->tiles * step + blocks * (2 * s * c + CALL_CYCLES)) / joint;
    return wino_planes(m->f) * piece * (double)(h->slab * h->across * h->down);
}

static double cycles(const Model *m, const WinoDwPlan *p)
{
    WinoDwShape h = winodw_shape(m->s, p, m->lanes);
    double results = (double)(x_blocks(m) * m->s->result_ch) * TAPS_CYCLES;
    double work = product_cycles(m, p, &h) + transform_cycles(m, p) + results;
    return work / tap_rate(m->target);
}

/* Parts cost loads of the patches. They pay where that keeps all in the nearest cache, or makes one
 * block of all tiles. */
static void choose_parts(const Model *m, WinoDwPlan *p)
{
    WinoDwPlan one = *p, many = *p;
    one.parts = 1;
    many.parts = most_parts(m->f);
    one.block = block_tiles(m, &one);
    many.block = block_tiles(m, &many);
    bool whole = many.block == m->tiles && cycles(m, &many) < cycles(m, &one);
    *p = whole || can_be_near(m, &many) ? many : one;
}

static bool in_registers(const Model *m, const WinoDwPlan *p)
{
    return p->s * p->c <= tap_registers(m->target, p->c + 1);
}

/* Two workers want two pieces, which cost one of them next to nothing. */
static bool can_be_shared(const Model *m, const WinoDwPlan *p)
{
    return x_blocks(m) / p->c * (m->s->result_ch / p->s) > 1;
}

/* The tile of least cost, of equal ones the largest; 0: none fits. */
static double best_tile(const Model *m, WinoDwPlan *best)
{
    WinoDwPlan p = {.form = m->form};
    double least = 0;
    for (p.c = 1; p.c <= MOST_VECTORS; p.c++)
        for (p.s = m->lanes; p.s > 0; p.s--) {
            if (x_blocks(m) % p.c || m->lanes % p.s) continue;
            if (!in_registers(m, &p) || !can_be_shared(m, &p)) continue;
            choose_slab(m, &p);
            choose_parts(m, &p);
            double cost = cycles(m, &p);
            if (least && cost >= least) continue;
            least = cost;
            *best = p;
        }
    return least;
}

static Model model(const Target *t, const Contract *c, const TapShape *s, int64_t form)
{
    int64_t tiles[2];
    wino_tiles(s, &wino_forms[form], tiles);
    return (Model){.target = t,
                   .s = s,
                   .f = &wino_forms[form],
                   .tiles = c->batch * tiles[0] * tiles[1],
                   .form = form,
                   .lanes = target_lanes(t, c->dtype)};
}

/* Of the forms whose error is allowed; 0: none. */
static double best_plan(const Target *t, const Contract *c, const TapShape *s, WinoDwPlan *best)
{
    double least = 0;
    for (int i = 0; i < WINO_DENSE; i++) {
        if (t->max_error > 0 && wino_forms[i].error > t->max_error) continue;
        Model m = model(t, c, s, i);
        WinoDwPlan p;
        double cost = best_tile(&m, &p);
        if (cost <= 0 || (least > 0 && cost >= least)) continue;
        least = cost;
        *best = p;
    }
    return least;
}

bool winodw_plan(const Target *t, const Contract *c, const TapShape *s, WinoDwPlan *p, double *cost)
{
    DwPlan direct;
    *cost = best_plan(t, c, s, p);
    return *cost > 0 && (!dw_plan(t, c, &direct) || *cost < 0.9 * direct.cost);
}

/* ---- plans of schedules ---- */

static bool known_form(const Target *t, const Contract *c, const TapShape *s, WinoDwPlan *p,
                       char *why)
{
    WinoDwPlan own;
    if (p->form < 0 && best_plan(t, c, s, &own) > 0) p->form = own.form;
    if (p->form >= 0 && (t->max_error == 0 || wino_forms[p->form].error <= t->max_error))
        return true;
    snprintf(why, PLAN_WHY, "%s errs more than --max-error allows",
             p->form < 0 ? "winograd" : wino_forms[p->form].name);
    return false;
}

static bool known_tile(const Model *m, const WinoDwPlan *p, char *why)
{
    int64_t vectors = x_blocks(m);
    bool parts = p->s > 0 && p->c > 0 && m->lanes % p->s == 0 && vectors % p->c == 0;
    if (!parts)
        snprintf(why, PLAN_WHY, "a tile of %lldx%lld does not divide %dx%lld", (long long)p->s,
                 (long long)p->c, m->lanes, (long long)vectors);
    else if (!in_registers(m, p))
        snprintf(why, PLAN_WHY, "the registers do not hold a tile of %lldx%lld", (long long)p->s,
                 (long long)p->c);
    return parts && in_registers(m, p);
}

static bool known_slab(const Model *m, const WinoDwPlan *p, char *why)
{
    int64_t x = x_blocks(m), y = y_blocks(m);
    bool parts = p->xs > 0 && p->ys > 0 && x % p->xs == 0 && y % p->ys == 0;
    if (parts && p->xs % p->c == 0) return true;
    snprintf(why, PLAN_WHY, "a slab of %lldx%lld does not cut %lldx%lld blocks of channels",
             (long long)p->xs, (long long)p->ys, (long long)x, (long long)y);
    return false;
}

static bool known_block(const Model *m, const WinoDwPlan *p, char *why)
{
    if (p->block > 0 && p->block <= m->tiles) return true;
    snprintf(why, PLAN_WHY, "no block of %lld; there are %lld tiles", (long long)p->block,
             (long long)m->tiles);
    return false;
}

static bool known_parts(const Model *m, const WinoDwPlan *p, char *why)
{
    if (p->parts > 0 && p->parts <= most_parts(m->f) && wino_in(m->f) % p->parts == 0) return true;
    snprintf(why, PLAN_WHY, "%s has no %lld parts", m->f->name, (long long)p->parts);
    return false;
}

bool winodw_plan_fit(const Target *t, const Contract *c, const TapShape *s, WinoDwPlan *p,
                     double *cost, char *why)
{
    WinoDwPlan own;
    if (!known_form(t, c, s, p, why)) return false;
    Model m = model(t, c, s, p->form);
    if (p->s < 0 && best_tile(&m, &own) > 0) p->s = own.s, p->c = own.c;
    if (!known_tile(&m, p, why)) return false;
    if (p->xs < 0) choose_slab(&m, p);
    if (!known_slab(&m, p, why)) return false;
    own = *p;
    choose_parts(&m, &own);
    if (p->parts < 0) p->parts = own.parts;
    if (!known_parts(&m, p, why)) return false;
    if (p->block < 0) p->block = block_tiles(&m, p);
    if (!known_block(&m, p, why)) return false;
    *cost = cycles(&m, p);
    return true;
}
