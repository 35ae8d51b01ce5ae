/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels around a claimed convolution, built by hand as the passes would, for the test and the
 * bench of the CPU's claims: result = relu(conv + bias + residual), and optionally the bits of
 * result > 0. */
#ifndef ADJ_TESTS_TAPKERNEL_H
#define ADJ_TESTS_TAPKERNEL_H

#include "ir/kernel.h"
#include "ir/target.h"
#include "targets/targets.h"

enum { P_DATA, P_WEIGHT, P_BIAS, P_RESIDUAL, P_OUT, P_MASK, NPARAM };
enum { P_SCRATCH = NPARAM, P_PACKED, ALL_PARAMS }; /* where the offer wants them */

typedef struct Case {
    DType dtype;
    Op op;
    int64_t n, ic, oc, ih, iw, kh, kw, stride, dilation;
    int64_t pad[4]; /* top, left, bottom, right */
    int64_t halo;   /* of residual and results, and beyond what the data needs */
    bool io;        /* results go to the caller's memory, plain, through the table */
    bool epilogue;  /* bias, residual, relu, mask; else the bare result */
    int64_t groups; /* 0: one */
    bool bf16;      /* operands are; of an epilogue also the residual and the results */
} Case;

Contract case_contract(const Case *);
Type case_type(const Case *, int param); /* of a parameter as a dense tensor */
/* Whether this process may run the target's code with matrix tiles; asks the system for them, as
 * kernels alone do not. */
bool tiles_granted(const Target *);
/* NULL if the target makes no offer. */
Kernel *case_kernel(Arena *, const Case *, const Target *, const char *name);
/* Runs its code over samples [lo, hi), pieces [from, to); stride: bytes a sample of the caller's
 * memory. */
void case_call(const Kernel *, void *code, const int64_t *table, int64_t lo, int64_t hi,
               int64_t from, int64_t to, void *const mem[ALL_PARAMS], int64_t stride);

#endif
