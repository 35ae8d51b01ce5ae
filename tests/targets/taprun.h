/* SPDX-License-Identifier: Apache-2.0 */
/* A kernel of tapkernel.h on random operands, and what its results should be, by the definition
 * of the convolution in double. */
#ifndef ADJ_TESTS_TAPRUN_H
#define ADJ_TESTS_TAPRUN_H

#include "tapkernel.h"

typedef struct Run {
    Arena *a;
    Case c;
    const Target *t;
    Kernel *k;
    void *mem[ALL_PARAMS], *want[NPARAM]; /* want: what results should be */
    double *dense[NPARAM];                /* operands, row-major */
    Type type[NPARAM];
    size_t bytes[NPARAM];
    int64_t *table;
    int bad;
} Run;

void run_same_again(void);           /* operands from here on: those of the first runs */
void *run_buffer(Run *, size_t bytes); /* aligned */
/* Operands, packed; results are filled with a pattern that shows what nobody wrote. */
void run_fill(Run *);
void run_define(Run *); /* into want */
void run_call(const Run *, void *code, int64_t lo, int64_t hi);
void run_shared(const Run *, void *code); /* all samples, the kernel in several parts */
int64_t run_stride(const Run *);          /* bytes a sample of the caller's memory */

bool run_possible(const char *cpu); /* here; NULL: the CPU is this one */

#endif
