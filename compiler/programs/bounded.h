/* SPDX-License-Identifier: Apache-2.0 */
/* Attacks that climb a loss within a ball around the image: one builder for all, see bounded.c. */
#ifndef ADJ_COMPILER_PROGRAMS_BOUNDED_H
#define ADJ_COMPILER_PROGRAMS_BOUNDED_H

#include "compiler/programs/attack.h"

typedef struct Bounded {
    enum { BALL_LINF, BALL_L2, BALL_L1 } ball; /* and the norm of a step */
    bool momentum; /* of gradients divided by their L1 norm; hyperparameter mu */
    bool once;     /* a single step of size eps from the image; else step, start, keep, stop */
    bool random;   /* default of the random start; momentum has none */
    double eps, step;
} Bounded;

void bounded_build(const Model *, ProgramSpec *, const Bounded *);

#endif
