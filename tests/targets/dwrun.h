/* SPDX-License-Identifier: Apache-2.0 */
/* A kernel around a claimed gradient in weights, as the passes would make it, on random operands,
 * against the definition in double: for the tests of dwconv and of winodw. What is fused behind it
 * reads a value and stores the sum a second time, in another layout; the scratch starts as NaN, and
 * a byte behind a result must not change. */
#ifndef ADJ_TESTS_DWRUN_H
#define ADJ_TESTS_DWRUN_H

#include "taprun.h"

enum { DW_X, DW_Y, DW_OTHER, DW_OUT, DW_PLAIN, DW_SCRATCH, DW_PARAMS };

typedef struct Dw {
    Arena *a;
    Case c;
    const char *claim; /* the only one that is wanted of the target's own offers */
    const char *plan;  /* instead: the plan of a schedule, which must fit */
    const Target *t;
    bool bare;      /* nothing is fused behind it */
    double allowed; /* error, in units of the largest result */
    Contract k;
    Kernel *kernel; /* NULL: another claim, or none */
    Type type[DW_PARAMS];
    void *mem[DW_PARAMS];
    double *dense[DW_PARAMS], largest, worst;
    int bad;
} Dw;

bool dw_kernel(Dw *); /* makes it; false: it is another claim's */
void dw_fill(Dw *);   /* operands, and a pattern where nobody wrote */
void dw_call(const Dw *, void *code, int64_t from, int64_t to);

typedef struct DwCount {
    int claims, wrong;
    double worst; /* error */
} DwCount;
/* A case, whole and in pieces, in an arena of its own; says what is wrong with it. */
void dw_one(Dw, DwCount *);

#endif
