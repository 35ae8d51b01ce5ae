/* SPDX-License-Identifier: Apache-2.0 */
/* A file op-<name>.adj holds the cases of one row of ir/ops.def:
 *
 *   # run: ops smooth range=0.5:2      flags, see below
 *   # what the case is about           any further comment lines
 *   # in: x = [1, 2, nan]              an input's values; inputs without a line are random
 *   # expect: y = [2, 4, nan]          what the evaluator must say, worked out by hand
 *   graph t { .. }
 *
 * The evaluator is the definition of the rest: whatever runs the graph must agree with it. Every
 * input has a leading extent of 1, the sample axis. Flags:
 *
 *   smooth        first and second derivatives are checked against differences
 *   linear        the graph is linear in all its float inputs together: <A x, y> = <x, A' y>
 *   bilinear      it is linear in each of them
 *   range=LO:HI   of random inputs; else [-1, 1], for integers 0 to 3
 *   nobatch       passes/batch must refuse the graph, which runs for one sample only
 *   nogpu         PTX is not asked for
 *
 * A line "# skip: reason" says that no kernel can be made of the graph yet; once one can, the case
 * fails until the line is gone. */
#ifndef ADJ_TESTS_OPS_OPCASE_H
#define ADJ_TESTS_OPS_OPCASE_H

#include "ir/graph.h"

enum { MAX_VALUES = 8 };

typedef struct OpValue {
    const char *name, *text; /* "x" and "[1, 2, nan]" or "splat(1)" */
    int line;
} OpValue;

typedef struct OpCase {
    const char *file, *text;
    int line; /* of the run line */
    bool smooth, linear, bilinear, nobatch, nogpu, ranged;
    double lo, hi;
    const char *skip;
    int nin, nexpect;
    OpValue in[MAX_VALUES], expect[MAX_VALUES];
} OpCase;

/* All cases of a file; err()s name the line that is ill-formed. */
OpCase *opcase_read(Arena *, const char *path, const char *name, int *n);
/* The dense elements of a value of type t. */
void *opcase_value(Arena *, const OpCase *, const OpValue *, Type t);
/* The value of that name, or NULL. */
const OpValue *opcase_find(const OpValue *, int n, const char *name);

#endif
