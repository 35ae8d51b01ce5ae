/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels of amxconv in three parts of bf16 on random operands, for its two tests. */
#ifndef ADJ_TESTS_THIRDSRUN_H
#define ADJ_TESTS_THIRDSRUN_H

#include "taprun.h"

typedef void ThirdsBody(Run *, void *code, const char *plan);

Target thirds_target(Arena *);
bool thirds_granted(Arena *); /* can they run here? */
/* A batch of 3 in f32. The gradient's case has the channels the other way round, so that its data
 * have as many. */
Case thirds_case(Case, Op);
/* Compiles a case by a plan, fills the operands, the same in each call, and calls body; a hash of the
 * bits of results and mask. */
uint64_t thirds_run(Case, const char *plan, ThirdsBody *);
uint64_t thirds_bits(const Run *); /* the same hash */
void thirds_clear(Run *);          /* results and mask */

void thirds_verdict(bool ok, const char *what, const Case *, const char *plan);
int thirds_close(bool ran); /* prints the count; what main returns */

#endif
