/* SPDX-License-Identifier: Apache-2.0 */
/* What the Square attacks share: the schedule of windows, random choices, the search. A norm adds
 * its first image and its candidates. Query t draws at draw t, each use from its own stream. */
#ifndef ADJ_COMPILER_PROGRAMS_SQUARE_H
#define ADJ_COMPILER_PROGRAMS_SQUARE_H

#include "compiler/programs/attack.h"

typedef struct Square {
    double eps, most;         /* the radius: its default, and the largest */
    Ref (*first)(Attack *);   /* query 0's image */
    Ref (*another)(Attack *); /* a later query's */
} Square;

void square_build(const Model *, ProgramSpec *, const Square *);

/* Uniforms in [0,1) of shape [b, dims]. */
Ref square_draw(Attack *, int rank, const int64_t *dim, Ref draw, int stream);
/* -1 or 1 for each uniform. */
Ref square_sign(Attack *, Ref u);
/* Query t's side of a window, [b]: round(sqrt(p H W)), then at least `least` and at most H and W;
 * `odd`: one more if it is even (before the most). */
Ref square_side(Attack *, int least, bool odd);
/* [b, 1, H, W]: rows (axis 2) or columns (3) past the first one of a window whose place the uniform
 * [b] says. */
Ref square_past(Attack *, int axis, Ref u, Ref side);
/* bool [b, 1, H, W] */
Ref square_inside(Attack *, Ref down, Ref right, Ref side);

#endif
