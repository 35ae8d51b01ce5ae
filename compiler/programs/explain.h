/* SPDX-License-Identifier: Apache-2.0 */
/* What explanations share. */
#ifndef ADJ_COMPILER_PROGRAMS_EXPLAIN_H
#define ADJ_COMPILER_PROGRAMS_EXPLAIN_H

#include "compiler/programs/attack.h"

/* Inputs x and y, output map; one forward and one backward pass a step. */
void explain_tensors(const Model *, ProgramSpec *, Type map, const char *help);

#endif
