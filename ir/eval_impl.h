/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the evaluator share. Each evaluator of ops.def is one `eval_<name>` function
 * over an EvalCall. Strides and offsets count elements throughout. */
#ifndef ADJ_IR_EVAL_IMPL_H
#define ADJ_IR_EVAL_IMPL_H

#include "eval.h"

typedef struct EvalCall {
    Op op;
    const Attr *attr;   /* in schema order */
    const Const *value; /* OP_const only */
    int nargs;
    const Tensor *args;
    Tensor *out;
} EvalCall;

typedef void EvalFn(const EvalCall *);

enum { EVAL_BLOCK = 256 }; /* elements that pass through Scalars at a time */

/* A zeroed block from the heap, never NULL (exhaustion is an err()); free() it. */
void *eval_alloc(int64_t n, size_t size);
/* A whole tensor as scalars; free() it. */
Scalar *scalars_new(const Tensor *);

void dense_strides(int rank, const int64_t *dim, int64_t *stride);
/* Strides of window's result in its image, [.., OH, OW, KH, KW] over [.., H, W]; k axes slide. */
void window_strides(int rank, const int64_t *image, int k, const int64_t *strides,
                    const int64_t *dilations, int64_t *out);
int64_t count_dims(const int64_t *dim, int from, int to); /* product of dim[from, to) */
/* dst[i . dst_stride] = src[i . src_stride] for every index i in dim; bytes is 1, 2, 4 or 8. */
void strided_copy(int rank, const int64_t *dim, void *dst, const int64_t *dst_stride,
                  const void *src, const int64_t *src_stride, int bytes);

EvalFn eval_const, eval_iota, eval_rng, eval_copy;
EvalFn eval_unary, eval_binary, eval_compare, eval_logic, eval_select, eval_cast;
EvalFn eval_reshape, eval_transpose, eval_broadcast, eval_slice, eval_pad, eval_reverse,
    eval_window;
EvalFn eval_concat, eval_reduce, eval_argmax, eval_scan, eval_fold, eval_argsort;
EvalFn eval_matmul, eval_conv, eval_conv_dx, eval_conv_dw, eval_gather, eval_scatter_add;

#endif
