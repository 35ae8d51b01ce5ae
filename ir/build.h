/* SPDX-License-Identifier: Apache-2.0 */
/* Shorthand for building nodes: one function a row of ops.def, plus the few compositions that every
 * front end, derivative rule and program needs. All may err() as graph_node does. */
#ifndef ADJ_IR_BUILD_H
#define ADJ_IR_BUILD_H

#include "graph.h"

typedef struct ConvAttrs { /* k spatial axes; pads = k lows then k highs */
    int k;
    int64_t strides[3], pads[6], dilations[3], groups;
} ConvAttrs;
ConvAttrs conv_attrs(const Node *conv_any); /* of conv, conv_dx or conv_dw */

Ref b_input(Graph *, const char *name, Type);
Ref b_param(Graph *, const char *name, Type);
Ref b_iota(Graph *, Type, int axis);
Ref b_rng(Graph *, Ref seed, Ref id, Ref draw, Type, int stream);
Ref b_unary(Graph *, Op, Ref);
Ref b_binary(Graph *, Op, Ref, Ref); /* equal shapes */
Ref b_select(Graph *, Ref cond, Ref a, Ref b);
Ref b_cast(Graph *, Ref, DType);                           /* no node if already of that dtype */
Ref b_reshape(Graph *, Ref, int rank, const int64_t *dim); /* no node if already of that shape */
Ref b_transpose(Graph *, Ref, const int *perm);
Ref b_broadcast(Graph *, Ref, int rank, const int64_t *dim); /* same rank; no node if equal */
Ref b_slice(Graph *, Ref, const int64_t *starts, const int64_t *sizes, const int64_t *steps);
Ref b_slice_axis(Graph *, Ref, int axis, int64_t start, int64_t size, int64_t step);
Ref b_pad(Graph *, Ref, const int64_t *low, const int64_t *high, const int64_t *inner,
          double value);
Ref b_reverse(Graph *, Ref, int naxes, const int *axes);
Ref b_window(Graph *, Ref, int k, const int64_t *size, const int64_t *strides, const int64_t *dil);
Ref b_fold(Graph *, Ref, int k, const int64_t *in, const int64_t *strides, const int64_t *dil);
Ref b_concat(Graph *, int n, const Ref *, int axis);
Ref b_reduce(Graph *, Op, Ref, int naxes, const int *axes); /* sum prod max min argmax */
Ref b_scan(Graph *, Ref, int axis, bool reverse, bool exclusive);
Ref b_argsort(Graph *, Ref, int axis, int64_t k);
Ref b_matmul(Graph *, Ref, Ref);
Ref b_conv(Graph *, Ref x, Ref w, const ConvAttrs *);
Ref b_conv_dx(Graph *, Ref dy, Ref w, const ConvAttrs *, const int64_t *in);
Ref b_conv_dw(Graph *, Ref x, Ref dy, const ConvAttrs *, const int64_t *kernel);
Ref b_gather(Graph *, Ref data, Ref idx, int axis, int batch);
Ref b_scatter_add(Graph *, Ref upd, Ref idx, int axis, int batch, int64_t size);

/* Compositions. */
Ref b_like(Graph *, Ref model, double value); /* splat of model's type */
Ref b_sum_samples(Graph *, Ref);              /* sum over all axes but the first: [B,1,..] */
Ref b_broadcast_to(Graph *, Ref, Type);       /* numpy rules: prepends 1s, then broadcasts */
void b_align(Graph *, Ref *a, Ref *b);        /* numpy broadcast of two operands */
Ref b_relu(Graph *, Ref);
Ref b_clip(Graph *, Ref, Ref lo, Ref hi); /* min2(hi, max2(lo, x)) */
Ref b_normal(Graph *, Ref uniforms);      /* [0,1) of 24 bits -> mean 0, variance 1 (normal.c) */
Ref b_onehot(Graph *, Ref index_i64_b, Type logits); /* bool [B,K]: iota == index */

#endif
