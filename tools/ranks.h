/* SPDX-License-Identifier: Apache-2.0 */
/* Ranks: the processes that mpirun started for one run. Each has the whole plan, computes its share
 * and gets what the others computed; rank 0 alone prints and writes. One rank, where nothing was
 * started by mpirun or MPI is not built in: then everything here is as if it were not there.
 *
 * All of it is collective: every rank calls the same functions in the same order. A rank that dies
 * takes the others with it. */
#ifndef ADJ_TOOLS_RANKS_H
#define ADJ_TOOLS_RANKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Joins the other ranks, if mpirun started several or it is asked for; says so and returns an exit
 * status if MPI is not built in. From then on only rank 0 prints; the ranks part at exit. */
int ranks_join(int asked);
int ranks_count(void);
int ranks_index(void);
int ranks_here(void); /* on this machine */
/* Threads other than the first may call these functions too, one at a time. */
bool ranks_any_thread(void);

/* The status of the first rank whose status is not 0, on every rank; rank 0 says that rank's line.
 */
int ranks_agree(int status);

int64_t ranks_least(int64_t);
int64_t ranks_most(int64_t);
int64_t ranks_sum(int64_t);
double ranks_slowest(double);

/* An array in shares of `share` bytes, one a rank and the last ones shorter, `bytes` in all: each
 * rank has its own, then all have all. */
void ranks_gather(void *array, size_t share, size_t bytes);
/* What rank 0 has there, to all. */
void ranks_spread(void *array, size_t bytes);

#endif
