/* SPDX-License-Identifier: Apache-2.0 */
/* The memory of calls. */
#include "tools/chunk.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/load.h"
#include "tools/say.h"

enum { SAMPLES = 256, MOST_BYTES = 64 << 20 };

int64_t chunk_samples(const Harness *h, const AdjEntry *entry, int64_t total)
{
    int64_t full = (int64_t)h->env.workers * entry->slots, n = SAMPLES;
    int64_t fit = MOST_BYTES / (int64_t)(tensor_bytes(&entry->io[0]) + 1);
    if (n > fit) n = fit;
    if (n < full) n = full;
    return n < total ? n : total;
}

static int find(const Buffers *b, const char *name)
{
    int k = adj_io(b->entry, name);
    return k < ENTRY_TENSORS ? k : -1;
}

static int fail_missing(const Buffers *b, const char *name)
{
    return fail_input("entry %s has no tensor %s", b->entry->name, name);
}

int buffers_add(Buffers *b, const char *name)
{
    int k = find(b, name);
    if (k < 0) return fail_missing(b, name);
    b->io[k] = tensor_new(&b->entry->io[k], b->samples);
    return b->io[k] ? 0 : STATUS_INPUT;
}

int buffers_lend(Buffers *b, const char *name, void *memory)
{
    int k = find(b, name);
    if (k < 0) return fail_missing(b, name);
    b->io[k] = memory;
    b->borrowed[k] = true;
    return 0;
}

const AdjTensor *buffers_tensor(const Buffers *b, const char *name)
{
    int k = find(b, name);
    return k < 0 ? NULL : &b->entry->io[k];
}

void *buffers_data(const Buffers *b, const char *name)
{
    int k = find(b, name);
    return k < 0 ? NULL : b->io[k];
}

void buffers_free(Buffers *b)
{
    for (int k = 0; k < ENTRY_TENSORS; k++)
        if (!b->borrowed[k]) free(b->io[k]);
    memset(b, 0, sizeof *b);
}
