/* SPDX-License-Identifier: Apache-2.0 */
/* Passes that end in print, for adjtest: the graph becomes the step of a program for a made-up
 * target with vectors of 32 bytes, which bids for convolutions and asks for blocks and a halo.
 *
 *   kernels    a line a call: kernel, what it reads, what it writes and of which node
 *   plan       a line a buffer: layout, place and the calls between which it lives; arena totals
 *
 * Inputs and outputs of the graph are tensors of the caller, but for "state.NAME" and what the
 * slot machine has ("seed", "id", "t", "limit", "done"). There are as many slots as the leading
 * extent of the inputs. */
#ifndef ADJ_TOOLS_OPT_LOWER_PRINT_H
#define ADJ_TOOLS_OPT_LOWER_PRINT_H

#include "ir/graph.h"

bool lower_print_is(const char *pass);
void lower_print(Arena *, const Graph *, const char *pass, Str *out);

#endif
