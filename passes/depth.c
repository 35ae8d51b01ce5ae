/* SPDX-License-Identifier: Apache-2.0 */
/* Depth first: where a kernel's samples do not fit the L2 cache together, it and those that follow
 * run for as many slots as do, then for the next, so that each finds in the cache what the one
 * before left there. With
 *
 *   D = bytes of a slot that a call and the one before it read and write
 *   W = bytes of everything else that the call does, room = 0.85 L2 - W
 *
 *   fits = the lesser of room and of the larger of 0.4 L2 and 1.5 W, / D: half-filled the L2 loses
 *          less of what it holds (pages lie anywhere, and some of its sets are full long before the
 *          rest). All slots where W is more than half of the L2, or they depend on each other
 *
 * calls are cut into stretches with a chunk each, so that the bytes of a slot from beyond the L2
 * are fewest:
 *
 *   W / chunk              of a call, for W, but for its scratch, is read again for each chunk
 *   D * (chunk/fits - 1)   of a call, at least 0, at most D
 *   2 X                    between stretches of two chunks, X = bytes of a slot that the call
 *                          finds there, less where those of all slots are less than 0.4 L2
 *
 * No bit depends on it, as none does on how samples are shared among workers.
 *
 * Memory: calls of a stretch follow each other anew for each chunk, so what it finds there, and
 * what it leaves, lives all along. Values that live within have places for one chunk, which all
 * chunks take in turn: less memory, and still in the cache. Only, a load that a guard may forbid
 * reads the first slot's place instead, so what is loaded so has all of them. */
#include "lowering.h"

#include <math.h>

static const double l2_share = 0.85, l2_enough = 0.4, again = 1.5, most_weights = 0.5;

typedef struct Traffic {
    double slot, other; /* bytes */
    double scratch;     /* of other */
    bool splits;        /* any slots may run before the others */
} Traffic;

static Traffic traffic_of(const Module *m, const Program *p, const Call *c)
{
    const Kernel *k = m->kernel[c->kernel];
    Traffic t = {.splits = !c->across};
    for (int i = 0; i < c->nbuf; i++) {
        const Buffer *b = &p->buffer[c->buf[i]];
        if (b->definition) continue;
        if (k->param[i].sample)
            t.slot += (double)b->bytes / (double)p->slots;
        else
            t.other += (double)b->bytes;
        if (b->kind == BUF_SCRATCH) t.scratch += (double)b->bytes;
        if (k->param[i].out && !k->param[i].sample && b->kind != BUF_SCRATCH) t.splits = false;
    }
    return t;
}

static bool touches(const Call *c, int buffer)
{
    for (int i = 0; i < c->nbuf; i++)
        if (c->buf[i] == buffer) return true;
    return false;
}

/* Bytes of a slot that `before` touches and `c` does not. */
static double left_behind(const Module *m, const Program *p, const Call *before, const Call *c)
{
    double bytes = 0;
    for (int i = 0; i < before->nbuf; i++)
        if (m->kernel[before->kernel]->param[i].sample && !touches(c, before->buf[i]))
            bytes += (double)p->buffer[before->buf[i]].bytes / (double)p->slots;
    return bytes;
}

/* Bytes of a slot that c finds: call number i. */
static double found(const Module *m, const Program *p, const Call *c, int i)
{
    double bytes = 0;
    for (int k = 0; k < c->nbuf; k++) {
        const Buffer *b = &p->buffer[c->buf[k]];
        if (m->kernel[c->kernel]->param[k].sample && b->kind == BUF_TEMP && b->first < i)
            bytes += (double)b->bytes / (double)p->slots;
    }
    return bytes;
}

typedef struct Want {           /* of a call */
    double slot, reread, found; /* bytes; reread: for each chunk */
    double fits;
    bool whole; /* it must not be cut */
} Want;

static Want want_of(const Module *m, const Program *p, const Target *target, const Phase *f, int i)
{
    Traffic t = traffic_of(m, p, &f->call[i]);
    double l2 = (double)target->l2, room = l2_share * l2 - t.other;
    Want w = {t.slot, t.other - t.scratch, found(m, p, &f->call[i], i), p->slots,
              !t.splits || t.slot <= 0};
    if (w.whole || t.other > most_weights * l2) return w;
    if (i > 0) w.slot += left_behind(m, p, &f->call[i - 1], &f->call[i]);
    w.fits = fmin(room, fmax(l2_enough * l2, again * t.other)) / w.slot;
    if (w.fits < 1) w.fits = 1;
    return w;
}

/* Bytes of a slot from beyond the L2 that a call with `chunk` slots at once costs. */
static double call_cost(const Want *w, int chunk, int slots)
{
    if (w->whole && chunk < slots) return INFINITY;
    double over = chunk / w->fits - 1;
    return w->reread / chunk + w->slot * fmin(fmax(over, 0), 1);
}

static double cut_cost(const Want *w, int slots, const Target *t)
{
    return 2 * w->found * fmin(1, slots * w->found / (l2_enough * (double)t->l2));
}

static bool lives_in(const Buffer *b, int phase)
{
    return b->kind == BUF_TEMP && b->phase == phase;
}

/* Buffers that are alive at either end are so all along. */
static void keep_alive(Program *p, int phase, int from, int to)
{
    for (int i = 0; i < p->nbuffer; i++) {
        Buffer *b = &p->buffer[i];
        if (!lives_in(b, phase) || b->first >= to || b->last < from) continue;
        bool before = b->first < from, after = b->last >= to;
        if (before && !after) b->to = to - 1;
        if (after && !before) b->from = from;
    }
}

/* ---- places that chunks take in turn ---- */

/* What a target's claim computes by itself has no guards: it reads within halos. */
static bool loads_guarded(const Kernel *k, int param)
{
    uint8_t *used = NEW_N(k->arena, uint8_t, k->nexpr);
    for (int i = 0; i < k->nstore; i++) {
        used[k->store[i].value] = 1;
        for (int d = 0; d < k->store[i].rank; d++) used[k->store[i].index[d]] = 1;
    }
    for (uint32_t i = k->nexpr; i-- > 0;) { /* arguments come before what they are of */
        const KExpr *e = &k->expr[i];
        if (!used[i] || (k->offer.claim >= 0 && i == k->heavy)) continue;
        if (e->kop == K_LOAD && e->param == param && e->guard != NOK) return true;
        for (int a = 0; a < e->nargs; a++) used[e->arg[a]] = 1;
        if (e->kop == K_LOAD && e->guard != NOK) used[e->guard] = 1;
    }
    return false;
}

static bool guarded(const Module *m, const Call *c, int buffer)
{
    for (int i = 0; i < c->nbuf; i++)
        if (c->buf[i] == buffer && loads_guarded(m->kernel[c->kernel], i)) return true;
    return false;
}

static bool takes_turns(const Module *m, const Program *p, const Phase *f, int buffer, int from,
                        int to)
{
    const Buffer *b = &p->buffer[buffer];
    if (b->first < from || b->last >= to || !b->sample || b->layout.digit[0].low) return false;
    if (b->layout.digit[0].extent != p->slots || b->bytes % (CONST_ALIGN * p->slots)) return false;
    for (int i = b->first; i <= b->last; i++)
        if (guarded(m, &f->call[i], buffer)) return false;
    return true;
}

static void take_turns(const Module *m, Program *p, const Phase *f, int phase, int from)
{
    int to = from + f->call[from].stretch, chunk = f->call[from].chunk;
    for (int i = 0; i < p->nbuffer; i++) {
        Buffer *b = &p->buffer[i];
        if (!lives_in(b, phase) || !takes_turns(m, p, f, i, from, to)) continue;
        b->bytes = b->bytes / p->slots * chunk;
        b->layout.digit[0].extent = b->dim[0] = b->chunk = chunk;
        if (chunk < p->team_slots) p->team_slots = chunk;
    }
}

static void places(const Module *m, Program *p, const Phase *f, int phase)
{
    for (int i = 0; i < f->ncall; i++)
        if (f->call[i].stretch) take_turns(m, p, f, phase, i);
}

/* ---- stretches ---- */

/* As many chunks, alike. */
static int evenly(int slots, int chunk)
{
    int n = (slots + chunk - 1) / chunk;
    return (slots + n - 1) / n;
}

/* The cheapest way to call i - 1, in chunks of choice k, and the choice before. */
typedef struct Way {
    double cost;
    int before;
} Way;

/* Chunks that divide the slots evenly, from 1 on; the last is all of them. */
static int choices(int slots, int chunk[])
{
    int n = 0;
    for (int c = 1; c <= slots; c++)
        if (evenly(slots, c) == c) chunk[n++] = c;
    return n;
}

static void extend(Way *to, const Way *from, const Want *w, const int *chunk, int n, double cut)
{
    int best = 0;
    for (int k = 1; k < n; k++)
        if (from[k].cost < from[best].cost) best = k;
    for (int k = 0; k < n; k++) {
        bool stays = from[k].cost <= from[best].cost + cut;
        to[k].before = stays ? k : best;
        to[k].cost =
            (stays ? from[k].cost : from[best].cost + cut) + call_cost(w, chunk[k], chunk[n - 1]);
    }
}

static void mark(Phase *f, Program *p, int phase, int from, int to, int chunk)
{
    if (to - from < 2 || chunk == p->slots) return;
    f->call[from].stretch = to - from;
    f->call[from].chunk = chunk;
    keep_alive(p, phase, from, to);
}

/* Calls from the last to the first, each with the choice that led there. */
static void mark_all(Phase *f, Program *p, int phase, const Way *way, const int *chunk, int n)
{
    int k = 0, end = f->ncall;
    for (int c = 1; c < n; c++)
        if (way[f->ncall * n + c].cost < way[f->ncall * n + k].cost) k = c;
    for (int i = f->ncall - 1; i >= 0; i--) {
        int before = i ? way[(i + 1) * n + k].before : -1;
        if (before == k) continue;
        mark(f, p, phase, i, end, chunk[k]);
        end = i;
        k = before;
    }
}

static void stretches(const Module *m, Program *p, const Target *t, Phase *f, int phase)
{
    int *chunk = NEW_N(m->arena, int, p->slots), n = choices(p->slots, chunk);
    Way *way = NEW_N(m->arena, Way, (f->ncall + 1) * n);
    for (int i = 0; i < f->ncall; i++) {
        Want w = want_of(m, p, t, f, i);
        double cut = i ? cut_cost(&w, p->slots, t) : 0;
        extend(&way[(i + 1) * n], &way[i * n], &w, chunk, n, cut);
    }
    mark_all(f, p, phase, way, chunk, n);
}

void lower_depth(const Module *m, Program *p, const Target *t)
{
    for (int i = 0; i < p->nbuffer; i++) {
        p->buffer[i].from = p->buffer[i].first;
        p->buffer[i].to = p->buffer[i].last;
    }
    p->team_slots = p->slots;
    if (!t->depth_first || t->gpu || p->whole || p->slots < 2) return;
    Phase *phase[] = {&p->init, &p->step, &p->judge, &p->finish};
    for (int i = 0; i < COUNT(phase); i++) stretches(m, p, t, phase[i], i);
    for (int i = 0; i < COUNT(phase); i++) places(m, p, phase[i], i);
}
