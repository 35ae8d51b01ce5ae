/* SPDX-License-Identifier: Apache-2.0 */
/* Where the bytes of the weights go: what each face of the convolutions (conv, conv_dx) needs in
 * the layout of the emitter that claimed it, or of the generic lowering. Winograd weights are four
 * times those of the model. */
#include <string.h>

#include "compiler/compiled.h"

static const char other_face[] = "other";

typedef struct Faces {
    const Module *m; /* the blob's parts: those of any variant */
    int *owner;      /* row of each part; -1: of nobody yet */
    AdjPacked *row;
    int n, most;
} Faces;

static int row_of(Faces *f, const char *face, const char *by)
{
    for (int i = 0; i < f->n; i++)
        if (!strcmp(f->row[i].face, face) && !strcmp(f->row[i].by, by)) return i;
    check(f->n < f->most);
    f->row[f->n] = (AdjPacked){face, by, 0};
    return f->n++;
}

static uint32_t part_at(const Module *m, int64_t offset)
{
    uint32_t lo = 0, hi = m->npart;
    while (hi - lo > 1) {
        uint32_t mid = (lo + hi) / 2;
        *(m->part[mid]->offset <= offset ? &lo : &hi) = mid;
    }
    check(lo < m->npart && m->part[lo]->offset == offset);
    return lo;
}

/* The weights of a kernel's convolution; its other constants are biases and the like. */
static void take_weights(Faces *f, const Program *p, const Call *c, const Kernel *k)
{
    int i = k->packed_param >= 0 ? k->packed_param : k->weight_param;
    if (k->contract.op == OP_COUNT || i < 0) return;
    const Buffer *b = &p->buffer[c->buf[i]];
    if (b->kind != BUF_CONST || b->definition) return;
    int *owner = &f->owner[part_at(f->m, b->offset)];
    if (*owner < 0)
        *owner = row_of(f, op_info[k->contract.op].name, target_claim_name(k->offer.claim));
}

static void take_phase(Faces *f, const Module *m, const Program *p, const Phase *phase)
{
    for (int i = 0; i < phase->ncall; i++)
        take_weights(f, p, &phase->call[i], m->kernel[phase->call[i].kernel]);
}

static void take_module(Faces *f, const Module *m)
{
    for (int i = 0; i < m->nprogram; i++) {
        const Program *p = &m->program[i];
        take_phase(f, m, p, &p->init);
        take_phase(f, m, p, &p->step);
        take_phase(f, m, p, &p->judge);
        take_phase(f, m, p, &p->finish);
    }
}

static void add_up(Faces *f)
{
    for (uint32_t i = 0; i < f->m->npart; i++) {
        int r = f->owner[i] < 0 ? row_of(f, other_face, "") : f->owner[i];
        f->row[r].bytes += f->m->part[i]->bytes;
    }
}

typedef struct Job {
    AdjCompiled *c;
    AdjPacked *row;
    int n;
} Job;

static void list(void *arg)
{
    Job *j = arg;
    AdjCompiled *c = j->c;
    Faces f = {.m = c->module, .row = j->row, .most = ADJ_PACKED_ROWS};
    f.owner = NEW_N(c->arena, int, c->module->npart + 1);
    for (uint32_t i = 0; i < c->module->npart; i++) f.owner[i] = -1;
    for (int i = 0; i < c->nvariant; i++) take_module(&f, c->variant[i].module);
    add_up(&f);
    j->n = f.n;
}

int adj_packed(AdjCompiled *c, AdjPacked row[ADJ_PACKED_ROWS], AdjError *e)
{
    Job j = {c, row, 0};
    return guarded_call(list, &j, e) ? j.n : -1;
}
