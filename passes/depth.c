/* SPDX-License-Identifier: Apache-2.0 */
/* Depth first: where a kernel's samples do not fit the L2 cache together, it and those that follow
 * run for as many slots as do, then for the next, so that each finds in the cache what the one
 * before left there. With
 *
 *   D = bytes of a slot that a call and the one before it read and write
 *   W = bytes of everything else that the call does, room = 0.85 L2 - W
 *
 *   chunk = the lesser of room and of the larger of 0.4 L2 and 1.5 W, / D, rounded, at least 1; all
 *           slots where W is more than half of the L2
 *
 * W is read again for each chunk, so chunks are small only where it is: half-filled the L2 loses
 * less of what it holds (pages lie anywhere, and some of its sets are full long before the rest).
 *
 * a stretch is two or more calls in a row that want fewer than all slots, none of them twice what
 * another wants, and has the least of their chunks. No bit depends on it, as none does on how
 * samples are shared among workers.
 *
 * Memory: calls of a stretch follow each other anew for each chunk, so what it finds there, and
 * what it leaves, lives all along; values that live within share their places as ever, for what a
 * chunk left of them is no longer wanted. */
#include "lowering.h"

#include <math.h>

static const double l2_share = 0.85, l2_enough = 0.4, again = 1.5, most_weights = 0.5;

typedef struct Traffic {
    double slot, other; /* bytes */
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

/* Slots that call i would run for at once. */
static int chunk_of(const Module *m, const Program *p, const Target *target, const Phase *f, int i)
{
    Traffic t = traffic_of(m, p, &f->call[i]);
    double l2 = (double)target->l2, room = l2_share * l2 - t.other;
    if (!t.splits || t.slot <= 0 || t.other > most_weights * l2) return p->slots;
    if (i > 0) t.slot += left_behind(m, p, &f->call[i - 1], &f->call[i]);
    double enough = fmax(l2_enough * l2, again * t.other);
    double chunk = fmin(room, enough) / t.slot + 0.5;
    return chunk < 1 ? 1 : chunk > p->slots ? p->slots : (int)chunk;
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

/* As many chunks, alike. */
static int evenly(int slots, int chunk)
{
    int n = (slots + chunk - 1) / chunk;
    return (slots + n - 1) / n;
}

static void stretches(const Module *m, Program *p, const Target *t, Phase *phase, int number)
{
    for (int i = 0, end; i < phase->ncall; i = end) {
        int least = chunk_of(m, p, t, phase, i), chunk = least;
        for (end = i + 1; end < phase->ncall && chunk < p->slots; end++) {
            chunk = chunk_of(m, p, t, phase, end);
            if (chunk == p->slots || chunk >= 2 * least || 2 * chunk <= least) break;
            if (chunk < least) least = chunk;
        }
        if (end - i < 2) continue;
        phase->call[i].stretch = end - i;
        phase->call[i].chunk = evenly(p->slots, least);
        keep_alive(p, number, i, end);
    }
}

void lower_depth(const Module *m, Program *p, const Target *t)
{
    for (int i = 0; i < p->nbuffer; i++) {
        p->buffer[i].from = p->buffer[i].first;
        p->buffer[i].to = p->buffer[i].last;
    }
    if (!t->depth_first || t->gpu || p->whole || p->slots < 2) return;
    stretches(m, p, t, &p->init, 0);
    stretches(m, p, t, &p->step, 1);
    stretches(m, p, t, &p->judge, 2);
    stretches(m, p, t, &p->finish, 3);
}
