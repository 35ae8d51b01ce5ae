/* SPDX-License-Identifier: Apache-2.0 */
/* The arena of a call: the one block of working memory that an entry uses. It holds nothing between
 * calls, so one arena of the largest size serves every entry, one call at a time. */
#ifndef ADJ_RUNTIME_ARENA_H
#define ADJ_RUNTIME_ARENA_H

#include "adjoint_abi.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { ADJ_ARENA_ALIGN = 64 }; /* bytes; of arenas and of weights */

/* Bytes that let `workers` (below 1: one) run at once; 0 if that does not fit a size_t. */
size_t adj_arena_bytes(const AdjEntry *, int workers);

/* Uninitialised memory at a multiple of ADJ_ARENA_ALIGN; NULL if there is none. From 2 MB on Linux
 * is asked to lay it on huge pages (madvise). */
void *adj_arena_new(size_t bytes);
void adj_arena_free(void *);

#ifdef __cplusplus
}
#endif
#endif
