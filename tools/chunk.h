/* SPDX-License-Identifier: Apache-2.0 */
/* Running an entry over a data set in chunks: one call a chunk, so that progress shows and memory
 * is bounded. Results do not depend on the chunks: samples are known by their index in the set. */
#ifndef ADJ_TOOLS_CHUNK_H
#define ADJ_TOOLS_CHUNK_H

#include "tools/images.h"

/* The tensors of an entry for one chunk; an output that is not wanted stays NULL. */
typedef struct Buffers {
    const AdjEntry *entry;
    int64_t samples; /* room for so many */
    void *io[ENTRY_TENSORS];
    bool borrowed[ENTRY_TENSORS];
} Buffers;

/* Samples a call: enough for every worker, not more than some memory. */
int64_t chunk_samples(const Harness *, const AdjEntry *, int64_t total);

/* The tensor of that name and its memory; a message and a status if the entry has none. */
int buffers_add(Buffers *, const char *name);
/* The same, in memory of the caller. */
int buffers_lend(Buffers *, const char *name, void *memory);
const AdjTensor *buffers_tensor(const Buffers *, const char *name);
void *buffers_data(const Buffers *, const char *name);
void buffers_free(Buffers *);

#endif
