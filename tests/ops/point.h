/* SPDX-License-Identifier: Apache-2.0 */
/* A point: values of all inputs of a case, for SAMPLES samples. A program that runs for fewer takes
 * the first ones. Sample i of an input whose values the case gives has them rotated by i
 * elements. */
#ifndef ADJ_TESTS_OPS_POINT_H
#define ADJ_TESTS_OPS_POINT_H

#include "ir/eval.h"
#include "tests/ops/opcase.h"

enum { SAMPLES = 7, SEED = 99, FIRST_ID = 1000 };

typedef struct PointInput {
    const char *name;
    Type type;  /* of one sample: leading extent 1, or rank 0 */
    void *data; /* SAMPLES of them; one if rank 0 */
} PointInput;

typedef struct Point {
    int n;
    PointInput in[MAX_VALUES];
} Point;

Point point_new(Arena *, const OpCase *, const Graph *one_sample);
const PointInput *point_find(const Point *, const char *name);
/* The evaluator with the first n samples bound, n being the leading extent of the inputs. */
Eval *point_bind(const Point *, const Graph *);
/* "seed", "id" and "t" come from the call and the slots, not from the caller's tensors. */
bool is_slot_name(const char *name);
double point_uniform(double lo, double hi); /* the same sequence in every run */

#endif
