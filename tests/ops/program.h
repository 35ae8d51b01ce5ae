/* SPDX-License-Identifier: Apache-2.0 */
/* Graphs as programs of a module, run by the kernel interpreter and as compiled code. All memory a
 * run may write lies between fences, and what it may only read must be as it was. */
#ifndef ADJ_TESTS_OPS_PROGRAM_H
#define ADJ_TESTS_OPS_PROGRAM_H

#include "passes/lower.h"
#include "runtime/adjoint_abi.h"
#include "tests/ops/point.h"

/* What is run: a graph for one sample and what must come out of it. */
typedef struct Subject {
    const OpCase *c;
    const char *label;           /* "op-add.adj:12 gradient f32" */
    const Graph *graph;          /* for one sample */
    Graph *batched[SAMPLES + 1]; /* by samples: [1], and unless nobatch [SLOTS] and [SAMPLES] */
    DType precision;
    double slack; /* sums may cancel: added to what a tolerance is relative to */
    bool signs;   /* the sign of a zero counts */
    Point point;
    Eval *want; /* of all samples, or of one if nobatch */
} Subject;

enum { SLOTS = 3 };

/* Inputs and outputs become tensors of the caller, but those of the slot machine. */
ProgramSpec program_spec(const char *name, Graph *, int slots);
/* Each runs n samples; NULL, or what is wrong. */
const char *program_interpret(Arena *, const Subject *, const Module *, const Program *, int n);
const char *program_call(Arena *, const Subject *, const AdjEntry *, const Program *, int n);

/* NULL, or the first element that differs. */
const char *tensor_differ(Arena *, Type, const void *got, const void *want, double tol,
                          double slack, bool signs);
double dtype_tolerance(DType);

#endif
