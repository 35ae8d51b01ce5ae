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

typedef struct Case {
    DType dtype;
    Op op;
    int64_t n, ic, oc, ih, iw, kh, kw, stride, dilation;
    int64_t pad[4]; /* top, left, bottom, right */
    int64_t halo;   /* of residual and results, and beyond what the data needs */
    bool io;        /* results go to the caller's memory, plain, through the table */
    bool epilogue;  /* bias, residual, relu, mask; else the bare result */
} Case;

typedef void KernelFn(const int64_t *table, int64_t lo, int64_t hi, void *data, void *weight,
                      void *bias, void *residual, void *out, void *mask);
typedef void KernelIoFn(const int64_t *table, int64_t lo, int64_t hi, void *data, void *weight,
                        void *bias, void *residual, void *out, int64_t stride, void *mask);

Contract case_contract(const Case *);
Type case_type(const Case *, int param); /* of a parameter as a dense tensor */
/* NULL if the target makes no offer. */
Kernel *case_kernel(Arena *, const Case *, const Target *, const char *name);

#endif
