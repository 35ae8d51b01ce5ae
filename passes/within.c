/* SPDX-License-Identifier: Apache-2.0 */
/* An arena of at most so many bytes: as few values are computed again as bring it there. How large
 * it gets is known only when all is placed, so programs are lowered on trial, in modules that
 * nobody keeps. */
#include "passes/lower.h"

typedef struct Trial {
    const Module *m;
    const Target *t;
    ProgramSpec spec;
    int all; /* values that could be computed again */
} Trial;

static int64_t arena_with(Trial *x, int again)
{
    Module *m = module_new(x->m->arena, x->m->prefix);
    m->precision = x->m->precision;
    m->embed = x->m->embed;
    x->spec.again = again;
    x->all = lower_program(m, x->t, &x->spec);
    return m->program[0].shared_bytes + m->program[0].worker_bytes;
}

/* The fewest of 1..all: all are enough. */
static int fewest(Trial *x, int64_t most)
{
    int few = 0, enough = x->all;
    while (enough - few > 1) {
        int half = few + (enough - few) / 2;
        if (arena_with(x, half) <= most)
            enough = half;
        else
            few = half;
    }
    return enough;
}

void lower_program_within(Module *m, const Target *t, const ProgramSpec *s, int64_t most)
{
    Trial x = {.m = m, .t = t, .spec = *s};
    int again = 0;
    if (most) {
        int64_t plain = arena_with(&x, 0), least = plain;
        if (plain > most && x.all) least = arena_with(&x, x.all);
        if (least > plain) least = plain;
        if (least > most)
            err("--max-arena",
                "%lld bytes are too few for %s; the least that it can do with is %lld",
                (long long)most, s->name, (long long)least);
        if (plain > most) again = fewest(&x, most);
    }
    x.spec.again = again;
    lower_program(m, t, &x.spec);
}
