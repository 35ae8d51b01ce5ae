/* SPDX-License-Identifier: Apache-2.0 */
/* Choosing tiles. For every tile of t points by c blocks whose t*c sums, c weights and one datum
 * fit the registers, with rate = multiply-adds a cycle, and as many loads:
 *
 *   step  = max(t*c, t + c, chains) / rate   multiply-adds, loads, results in flight that hide
 *                                            latency (5 * rate, at least 8); without fused ones
 *                                            t/2 more (tap_shuffles), and weights take no
 *                                            registers (tap_held)
 *   step  = max(step, bytes of c vectors / 32)   where a group's weights do not stay in the L1
 *   tile  = steps of the sum * step + CALL_CYCLES
 *   where the K taps of a row share what they read (tap_shares), (t + K - 1) / K + c loads, K*c
 *   weights; tiles of whole rows leave out what meets but halo: of 3x3 over 8 columns a twelfth
 *   a step is one data channel, or two of bf16, whose products take t*c / dot cycles; tiles of one
 *   row leave out rows of taps that find but halo: of 3x3 over 8 rows a twelfth
 *   cost  = tiles of a row, column and group, cut evenly, of size and one smaller, * tile
 *
 * the least cost wins, then the larger t*c. Parts of several rows are taken to cost 3% more.
 *
 * Order, with W = bytes of all weights, D = bytes of data that a sample's results read:
 *
 *   B   if batch > 1 and W > L2/2: each group's weights are read once a batch
 *   C   if W <= L2/2, D > L2/4 and there are several groups: of each row of data all groups are
 *       made while it is in the L1 cache, which a block of rows fills
 *   A   else
 *
 * A map of one point is a row of a matrix product: there columns of tiles are samples, in order B,
 * and what is left of them goes by ever smaller tiles. Weights that exceed the L1 come at the L3's
 * rate: between two calls a net reads all others'.
 *
 * Weights that do not stay in the L1 cache are fetched ahead where multiply-adds are of 32 or 64
 * bytes. If two start a cycle a tile of 14 points by 2 blocks reads 9 bytes a cycle, as many as
 * come from an L3 cache (Emerald Rapids), and the hardware's own prefetching begins anew on every
 * page: they come a page ahead. If one does (Zen 4) they come four pages ahead to the L2 cache, for
 * a shared L3 cache does not hold all that a net reads. Where weights serve few points, their first
 * use, which comes from memory, takes a part of the time that cannot be hidden behind one tile: of
 * a group with K steps K * c vectors at `memory_rate`, beside K * c / rate * points. At 64 bytes
 * and 5 a cycle that is 26 / points: 13% at 14x14, half at 7x7. So where two multiply-adds start a
 * cycle, each row of tiles fetches a part of the next group's into the L2 cache.
 *
 * More than 4 k-steps in a basic block let LLVM's scheduler hoist loads until it spills, which
 * costs half the speed. */
#include "tapplan.h"

#include <stdio.h>

#include "targets/llvm/walk.h"

enum { SHUFFLE_SPARE = 7 }; /* what LLVM shuffles ahead of its use */
enum { CALL_CYCLES = 40, MOST_BLOCKS = 8, MOST_STEPS = 4 };
enum { CHAINS_A_RATE = 5 };           /* sums in flight for each multiply-add a cycle */
enum { FEW_POINTS = 800 };            /* of all samples, to fetch the next group's weights */
static const double PART_ROWS = 1.03; /* tiles of several rows, none of them whole */

Cut cut_evenly(int64_t length, int64_t most)
{
    int64_t pieces = (length + most - 1) / most;
    Cut c = {.size = length / pieces, .longer = length % pieces};
    c.rest = pieces - c.longer;
    return c;
}

double tap_rate(const Target *t)
{
    return t->rate;
}

/* Registers left for sums when `others` are in use and what scheduling wants stays free.
 * AVX-512 broadcasts within the multiply-add; before it a broadcast takes a register, and without
 * fused multiply-adds a product too. */
int64_t tap_registers(const Target *t, int64_t others)
{
    int64_t spare = t->vec_regs >= 32 ? 0 : t->fma ? 1 : 3;
    return t->vec_regs - others - spare;
}

int64_t tap_unroll(int64_t steps)
{
    int64_t most = steps < MOST_STEPS + 2 ? steps : MOST_STEPS;
    while (steps % most != 0) most--;
    return most;
}

typedef struct Model {
    const Target *target;
    double steps;       /* k-steps of an element's sum, mean over classes */
    double met;         /* of those, the share that tiles of one row have */
    double products;    /* vectors of them a cycle */
    int64_t rows, cols; /* points of the largest class */
    int64_t beside;     /* vectors of data that wait beside the sums of each point */
    int64_t aside;      /* registers that shuffling wants for itself */
    bool far;           /* a group's weights do not stay in the L1 cache */
    bool samples;       /* columns are samples */
    int64_t taps;       /* of a row that share what they read (tap_shares); else 1 */
    int64_t data;       /* columns */
    double across;      /* share of those taps that meet data */
} Model;

/* Of a tile's columns of data those that a step of the sum reads: a part of them where taps share
 * what they read, and no halo where the tile is a whole row. */
static double columns_read(const Model *m, int64_t tw)
{
    int64_t n = tw + m->taps - 1;
    if (tw == m->cols && n > m->data) n = m->data;
    return m->taps == 1 ? (double)tw : (double)n / (double)m->taps;
}

static double tile_cycles(const Model *m, double steps, int64_t th, int64_t tw, int64_t c)
{
    double met = tw == m->cols ? m->across : 1, points = (double)th * columns_read(m, tw);
    double step = (double)(th * tw * c) * met, loads = (points + (double)c) / tap_rate(m->target);
    step += tap_shuffles(m->target, points);
    double chains = CHAINS_A_RATE * tap_rate(m->target);
    if (chains < TAP_CHAINS) chains = TAP_CHAINS;
    if (step < chains) step = chains;
    step /= m->products;
    if (loads > step) step = loads;
    double stream =
        (double)c * m->target->vec_bytes / (m->samples ? m->target->l3_rate : TAP_L2_RATE);
    if (m->far && stream > step) step = stream;
    return steps * step + CALL_CYCLES;
}

static bool parts_of_rows(const Model *m, int64_t th, int64_t tw)
{
    return th > 1 && tw < m->cols;
}

/* The same where columns are samples. */
static double panel_cycles(const Model *m, int64_t tw, int64_t c)
{
    double sum = 0;
    for (int64_t left = m->cols, t = tw; t > 0; left %= t, t = tap_next_panel(t))
        sum += (double)(left / t) * tile_cycles(m, m->steps, 1, t, c);
    return sum;
}

/* Cycles of all tiles of one group of c blocks. */
static double group_cycles(const Model *m, int64_t th, int64_t tw, int64_t c)
{
    if (m->samples) return panel_cycles(m, tw, c);
    Cut y = cut_evenly(m->rows, th), x = cut_evenly(m->cols, tw);
    double sum = 0, steps = th == 1 ? m->steps * m->met : m->steps;
    for (int i = 0; i < 4; i++) {
        int64_t ny = i & 1 ? y.longer : y.rest, nx = i & 2 ? x.longer : x.rest;
        int64_t rows = y.size + (i & 1), cols = x.size + ((i >> 1) & 1);
        if (ny * nx > 0) sum += (double)(ny * nx) * tile_cycles(m, steps, rows, cols, c);
    }
    return parts_of_rows(m, th, tw) ? PART_ROWS * sum : sum;
}

/* Where taps share what they read, LLVM loads a datum before it is done with the one before. */
static int64_t room_for_sums(const Model *m, int64_t c)
{
    bool ahead = m->taps > 1 && m->target->vec_regs >= 32;
    int64_t others = tap_held(m->target, m->taps * c) + 1 + ahead + m->aside;
    return tap_registers(m->target, others);
}

static void consider(const Model *m, int64_t th, int64_t tw, int64_t c, int64_t groups,
                     TapPlan *best)
{
    if (th * tw * (c + m->beside) > room_for_sums(m, c)) return;
    if (c == 1 && m->target->vec_regs < 32 && parts_of_rows(m, th, tw)) return; /* they spill */
    double cost = group_cycles(m, th, tw, c) * (double)groups;
    bool larger = th * tw * c > best->th * best->tw * best->c;
    bool tie = best->c && cost <= best->cost * 1.000001 && larger;
    if (!best->c || cost < best->cost * 0.999999 || tie)
        *best = (TapPlan){.th = th, .tw = tw, .c = c, .cost = cost};
}

/* Heights and widths that cut columns and rows evenly; any number of samples. */
static void consider_blocks(const Model *m, int64_t c, int64_t groups, TapPlan *best)
{
    int64_t most = m->target->vec_regs;
    for (int64_t tw = 1; m->samples && tw <= m->cols && tw <= most; tw++)
        consider(m, 1, tw, c, groups, best);
    if (m->samples) return;
    for (int64_t y = m->rows; y >= 1; y--) {
        int64_t th = (m->rows + y - 1) / y;
        if (th > most || (y < m->rows && th == (m->rows + y) / (y + 1))) continue;
        for (int64_t x = 1; x <= m->cols; x++) {
            int64_t tw = (m->cols + x - 1) / x;
            if (th * tw <= most) consider(m, th, tw, c, groups, best);
        }
    }
}

static double mean_steps(const TapShape *s)
{
    double taps = (double)(s->kernel[0] * s->kernel[1]);
    return taps * (double)tap_depth(s) / (double)(tap_classes(s, 0) * tap_classes(s, 1));
}

/* The share of taps that tiles of one row do not leave out, mean over all rows. */
static double met_share(const TapShape *s)
{
    int64_t met = 0, all = 0;
    for (int64_t class = 0; class < tap_classes(s, 0); class ++) {
        TapAxis y = tap_axis(s, 0, class);
        bool skips = tap_skips(&y, s->data[0], 1);
        for (int64_t row = 0; row < y.points; row++) {
            int64_t from = 0, to = y.taps;
            if (skips) tap_met(&y, s->data[0], row, 1, &from, &to);
            met += to - from;
            all += y.taps;
        }
    }
    return all ? (double)met / (double)all : 1;
}

/* The same of a row's taps, at all its points; of stride 1. */
static double met_across(const TapShape *s)
{
    TapAxis x = tap_axis(s, 1, 0);
    int64_t met = 0;
    for (int64_t i = 0; i < x.points * x.taps; i++) {
        int64_t at = x.in0 + i / x.taps * x.in_point + i % x.taps * x.in_tap;
        met += at >= 0 && at < s->data[1];
    }
    return x.points ? (double)met / (double)(x.points * x.taps) : 1;
}

/* Shuffles beyond 16 bytes take their lanes from a register, each k-step another. */
static int64_t shuffle_registers(const Target *t, const TapShape *s, int lanes)
{
    int64_t bytes = tap_depth(s) * t->vec_bytes / lanes;
    return bytes > 16 ? SHUFFLE_SPARE + 2 + tap_depth(s) : SHUFFLE_SPARE;
}

static Model model(const Target *t, const Contract *k, const TapShape *s, int lanes)
{
    bool shuffled = tap_within(s, lanes);
    TapAxis y = tap_axis(s, 0, 0), x = tap_axis(s, 1, 0);
    return (Model){.target = t,
                   .steps = mean_steps(s) / (double)tap_step(k),
                   .met = met_share(s),
                   .samples = tap_is_product(s),
                   .products = k->bf16 ? t->dot : tap_rate(t),
                   .rows = y.points,
                   .cols = tap_is_product(s) ? k->batch : x.points,
                   .beside = shuffled,
                   .taps = tap_shares(t, s, tap_step(k)) ? x.taps : 1,
                   .data = s->data[1],
                   .across = tap_shares(t, s, tap_step(k)) ? met_across(s) : 1,
                   .aside = shuffled ? shuffle_registers(t, s, lanes) : 0};
}

static void set_panel(Model *m, int64_t c)
{
    m->far = m->steps * m->target->vec_bytes * (double)c > (double)m->target->l1 / 2;
}

/* ---- order, and what is fetched ahead ---- */

/* Bytes of a sample that are read: where points are apart not all there are. */
static double data_bytes(const Contract *c, const TapShape *s)
{
    double n = 1;
    for (int i = 0; i < 2; i++) {
        TapAxis a = tap_axis(s, i, 0);
        int64_t met = a.points * a.taps;
        n *= (double)(met < s->data[i] ? met : s->data[i]);
    }
    return n * (double)(s->data_ch * dtype_bytes(c->dtype) / tap_step(c));
}

static TapOrder usual_order(const Target *t, const Contract *c, const TapShape *s, int64_t blocks)
{
    double weights =
        (double)(c->ic * c->oc / c->groups * c->kh * c->kw * dtype_bytes(c->dtype) / tap_step(c));
    int64_t groups = tap_width(s) / (blocks * target_lanes(t, c->dtype));
    bool stay = weights <= (double)t->l2 / 2;
    if (tap_is_product(s) || (c->batch > 1 && !stay)) return TAP_BY_GROUP;
    bool again = groups > 1 && data_bytes(c, s) > (double)t->l2 / 4;
    return again && stay ? TAP_BY_ROWS : TAP_BY_SAMPLE;
}

/* As many as fill the L1 cache. */
int64_t tap_block_rows(const Target *t, const Contract *c, const TapShape *s, const TapPlan *p)
{
    double rows = (double)tap_axis(s, 0, 0).points, row = data_bytes(c, s) * (double)p->th / rows;
    return row > 1 ? 1 + (int64_t)((double)t->l1 / row) : 1;
}

bool tap_fetches(const Target *t, const Contract *c, const TapShape *s, const TapPlan *p)
{
    Model m = model(t, c, s, target_lanes(t, c->dtype));
    set_panel(&m, p->c);
    return m.far && tap_streams(t);
}

bool tap_fetches_next(const Target *t, const Contract *c, const TapShape *s, const TapPlan *p)
{
    TapAxis y = tap_axis(s, 0, 0), x = tap_axis(s, 1, 0);
    bool one = tap_classes(s, 0) * tap_classes(s, 1) == 1;
    bool several = s->result_ch > p->c * target_lanes(t, c->dtype);
    bool shuffled = tap_within(s, target_lanes(t, c->dtype)); /* few weights, no register left */
    return tap_outruns(t) && one && several && !shuffled && p->order != TAP_BY_ROWS &&
           y.points * x.points * c->batch <= FEW_POINTS;
}

static int64_t block_steps(const Contract *c, const TapShape *s, int lanes)
{
    return (tap_depth(s) < lanes ? tap_depth(s) : lanes) / tap_step(c);
}

/* k-steps in a basic block: all of a vector that is shuffled, since each has its own shuffle; of
 * shared data each has all taps of a row. */
static int64_t usual_unroll(const Target *t, const Contract *c, const TapShape *s, int lanes)
{
    if (tap_shares(t, s, tap_step(c))) return block_steps(c, s, lanes) % 2 ? 1 : 2;
    return tap_within(s, lanes) ? tap_depth(s) : tap_unroll(block_steps(c, s, lanes));
}

/* Blocks of result channels that may share a tile. */
static int64_t like_blocks(const TapShape *s, int lanes)
{
    return tap_within(s, lanes) ? 1 : tap_width(s) / lanes;
}

/* How often the points of the model are computed. */
static double times(const Contract *c, const TapShape *s)
{
    int64_t classes = tap_classes(s, 0) * tap_classes(s, 1);
    return (double)(tap_is_product(s) ? 1 : c->batch * classes);
}

bool tap_plan(const Target *t, const Contract *c, const TapShape *s, TapPlan *plan)
{
    int lanes = target_lanes(t, c->dtype);
    int64_t blocks = s->result_ch / lanes;
    Model m = model(t, c, s, lanes);
    TapPlan best = {0};
    for (int64_t n = 1; n <= MOST_BLOCKS; n++) {
        set_panel(&m, n);
        if (like_blocks(s, lanes) % n == 0) consider_blocks(&m, n, blocks / n, &best);
    }
    if (!best.c) return false;
    best.cost *= times(c, s);
    best.unroll = usual_unroll(t, c, s, lanes);
    best.order = usual_order(t, c, s, best.c);
    *plan = best;
    return true;
}

/* ---- plans of schedules ---- */

/* Cut evenly, tiles of `size` are no smaller than they may be. */
static bool is_cut(int64_t length, int64_t size)
{
    if (size < 1 || size > length) return false;
    int64_t pieces = (length + size - 1) / size;
    return (length + pieces - 1) / pieces == size;
}

/* Any number of samples; else tiles that columns are cut into. */
static bool is_width(const Model *m, int64_t tw)
{
    return m->samples ? tw >= 1 && tw <= m->cols : is_cut(m->cols, tw);
}

static bool known_tile(const Model *m, int64_t blocks, const TapPlan *p, char *why)
{
    int64_t room = room_for_sums(m, p->c), sums = p->th * p->tw * (p->c + m->beside);
    if (p->c < 1 || blocks % p->c != 0)
        snprintf(why, PLAN_WHY, "%lld blocks of channels do not divide the %lld there are",
                 (long long)p->c, (long long)blocks);
    else if (!is_cut(m->rows, p->th) || !is_width(m, p->tw))
        snprintf(why, PLAN_WHY, "%lldx%lld results cut evenly do not make tiles of %lldx%lld",
                 (long long)m->rows, (long long)m->cols, (long long)p->th, (long long)p->tw);
    else if (sums > room)
        snprintf(why, PLAN_WHY, "a tile of %lldx%lldx%lld wants %lld registers for sums, of %lld",
                 (long long)p->th, (long long)p->tw, (long long)p->c, (long long)sums,
                 (long long)room);
    else
        return true;
    return false;
}

bool tap_plan_fit(const Target *t, const Contract *c, const TapShape *s, TapPlan *p, char *why)
{
    int lanes = target_lanes(t, c->dtype);
    int64_t blocks = s->result_ch / lanes, steps = block_steps(c, s, lanes);
    Model m = model(t, c, s, lanes);
    TapPlan own;
    if (p->th < 0 && tap_plan(t, c, s, &own)) p->th = own.th, p->tw = own.tw, p->c = own.c;
    if (!known_tile(&m, like_blocks(s, lanes), p, why)) return false;
    if (p->unroll < 0) p->unroll = usual_unroll(t, c, s, lanes);
    if (p->order < 0) p->order = usual_order(t, c, s, p->c);
    bool whole = tap_within(s, lanes) && p->unroll != steps;
    if (p->unroll < 1 || steps % p->unroll != 0 || whole) {
        snprintf(why, PLAN_WHY, "unroll %lld does not cut the %lld channels of a block",
                 (long long)p->unroll, (long long)steps);
        return false;
    }
    set_panel(&m, p->c);
    p->cost = group_cycles(&m, p->th, p->tw, p->c) * (double)(blocks / p->c);
    p->cost *= times(c, s);
    return true;
}
