/* SPDX-License-Identifier: Apache-2.0 */
/* The hash of a model and its options. With weights beside the object (--weights file) it is of
 * the structure: graphs, in which weights have no values, and place and layout of all that is in
 * the file of weights. Equal hashes mean that the files may be exchanged. */
#include "compiler/compiled.h"

static void put_graphs(Str *s, const ProgramSpec *p)
{
    const Graph *phase[] = {p->init, p->step, p->judge, p->finish};
    for (int i = 0; i < COUNT(phase); i++)
        if (phase[i]) graph_print(s, phase[i]);
}

static void put_places(Str *s, const Module *m)
{
    for (uint32_t i = 0; i < m->nconst; i++) {
        const ModConst *c = &m->constant[i];
        if (c->definition) continue; /* not in the file */
        str_fmt(s, "%llx %lld %lld ", (unsigned long long)c->value->hash, (long long)c->offset,
                (long long)c->bytes);
        layout_text(s, &c->layout);
        if (!c->target) continue;
        str_fmt(s, " %d %d", (int)c->contract->op, c->offer->claim);
        for (int k = 0; k < COUNT(c->offer->number); k++)
            str_fmt(s, " %lld", (long long)c->offer->number[k]);
    }
}

uint64_t model_hash(const AdjCompiled *c)
{
    Str s = {0};
    for (int i = 0; i < c->nspec; i++) put_graphs(&s, &c->spec[i]);
    str_fmt(&s, "%s %s %d %d %d %d %d %d %.17g", c->target->triple, c->cpus, c->opt.weights_file,
            c->opt.trace, c->opt.generic, c->opt.no_winograd, c->opt.tiles, c->opt.no_depth,
            c->opt.max_error);
    schedules_used(c, &s);
    if (c->opt.weights_file)
        for (int i = 0; i < c->nvariant; i++) put_places(&s, c->variant[i].module);
    uint64_t h = hash_bytes(s.s, s.n, 1);
    str_free(&s);
    return h;
}
