/* SPDX-License-Identifier: Apache-2.0 */
/* A call of any entry, from the model's own description: every tensor in a buffer of its own,
 * inputs made from their index in whole numbers, so that every machine makes the same bits. Needs
 * the generated header of a model with prefix `m`. */
#ifndef ADJ_TESTS_PLATFORMS_CALL_H
#define ADJ_TESTS_PLATFORMS_CALL_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "m.h"

enum { MOST_IO = 16, STEPS = 3 };

typedef struct Io {
    void *at[MOST_IO];
    size_t bytes[MOST_IO];
} Io;

static size_t element_bytes(int dtype)
{
    static const size_t bytes[] = {8, 4, 2, 2, 8, 4, 1, 1, 1};
    return bytes[dtype];
}

static void *buffer(size_t bytes)
{
    void *p = NULL;
    if (posix_memalign(&p, 64, bytes ? bytes : 1)) exit(2);
    memset(p, 0, bytes);
    return p;
}

static void make_input(const AdjTensor *t, void *p, size_t n)
{
    size_t i;
    for (i = 0; i < n; i++) {
        if (t->dtype == ADJ_F32) ((float *)p)[i] = (float)((i * 37 + i / 97) % 256) / 256.0f;
        if (t->dtype == ADJ_I64) ((int64_t *)p)[i] = (int64_t)(i % 10);
    }
}

/* Buffers for n samples. An input that may be NULL is. */
static Io make_io(const AdjEntry *e, int64_t n)
{
    Io io;
    int k, d;
    memset(&io, 0, sizeof io);
    for (k = 0; k < e->nio; k++) {
        const AdjTensor *t = &e->io[k];
        size_t count = (size_t)n;
        if (!t->output && t->optional) continue;
        for (d = 0; d < t->rank; d++) count *= (size_t)t->dim[d];
        io.bytes[k] = count * element_bytes(t->dtype);
        io.at[k] = buffer(io.bytes[k]);
        if (!t->output) make_input(t, io.at[k], count);
    }
    return io;
}

static AdjCall make_call(const AdjEntry *e, const Io *io, int64_t n)
{
    AdjCall call;
    memset(&call, 0, sizeof call);
    call.size = sizeof call;
    call.n = n;
    call.seed = 7;
    call.steps = e->steps ? STEPS : 0;
    call.io = io->at;
    call.arena_bytes = (size_t)(e->shared_bytes + e->worker_bytes);
    call.arena = buffer(call.arena_bytes);
    return call;
}

static void free_call(Io *io, AdjCall *call)
{
    int k;
    for (k = 0; k < MOST_IO; k++) free(io->at[k]);
    free(call->arena);
}

#endif
