/* SPDX-License-Identifier: Apache-2.0 */
/* What the builder of an operator sees: one ONNX node, its inputs as values of the graph, its
 * attributes by name, and a place for its outputs. A builder makes table rows and nothing else;
 * what is constant among them is folded when it returns. Builders are the `build_` functions of
 * onnx_ops.def. */
#ifndef ADJ_COMPILER_ONNX_NODE_H
#define ADJ_COMPILER_ONNX_NODE_H

#include "ir/build.h"

typedef struct Onnx__NodeProto Onnx__NodeProto;
typedef struct Onnx__GraphProto Onnx__GraphProto;
typedef struct Onnx__FunctionProto Onnx__FunctionProto;

/* The IR has no tensors without elements; ONNX has, in shape arithmetic. A value without elements
 * is this, whatever its type: concat drops it, lists of integers read it as (), all else refuses
 * it. */
#define ONNX_EMPTY (NOREF - 1)

typedef struct OnnxNode {
    Graph *g;
    struct OnnxWalk *walk;               /* for nodes that have a body */
    const struct OnnxNode *caller;       /* the call in whose body this node is; NULL: none */
    const Onnx__FunctionProto *function; /* of a call, what it calls */
    const Onnx__NodeProto *proto;
    const char *path; /* of the model */
    const char *op;
    const char *label; /* "Conv_12 (Conv)", as errors and profiles name it */
    int opset;
    bool single;     /* f16, bf16 and f64 are f32 in this model */
    int64_t batch;   /* the literal leading extent that inputs had in the file; 0: none */
    int64_t *budget; /* elements of constants that may still be made, by folding and by builders */
    int nin, nout;
    Ref *in;  /* NOREF: absent */
    Ref *out; /* NOREF: not computed, an error only if something uses it */
} OnnxNode;

typedef void OnnxBuild(OnnxNode *);
#define ONNX(op, since, build, limits) OnnxBuild build;
#define REFUSED(op, reason)
#include "onnx_ops.def"
#undef ONNX
#undef REFUSED

_Noreturn void onnx_fail(const OnnxNode *, const char *fmt, ...) PRINTF(2, 3);

/* ---- inputs and outputs ---- */
Ref onnx_in(const OnnxNode *, int i);  /* err()s if absent or without elements */
Ref onnx_opt(const OnnxNode *, int i); /* NOREF if absent */
Type onnx_type(const OnnxNode *, Ref);
void onnx_out(OnnxNode *, int i, Ref);
Ref onnx_single(Graph *, Ref); /* a float as f32 */
/* Zeroed elements for a constant, out of the budget; err()s when that is spent, so that a small
 * file cannot ask for much memory. */
void *onnx_data(const OnnxNode *, Type);

/* ---- attributes (onnx_attr.c); err() if one has another kind ---- */
bool onnx_has(const OnnxNode *, const char *name);
int64_t onnx_int(const OnnxNode *, const char *name, int64_t absent);
double onnx_float(const OnnxNode *, const char *name, double absent);
const char *onnx_str(const OnnxNode *, const char *name, const char *absent);
int onnx_ints(const OnnxNode *, const char *name, int64_t *out, int max);  /* count; -1: absent */
int onnx_floats(const OnnxNode *, const char *name, double *out, int max); /* likewise */
/* A tensor, number or list of numbers as a constant (i64 or f32), or NOREF, or ONNX_EMPTY. */
Ref onnx_attr_const(const OnnxNode *, const char *name);
const Onnx__GraphProto *onnx_graph_attr(const OnnxNode *, const char *name); /* or an err() */
/* The type for the ONNX element type of that number, or an err(). */
DType onnx_dtype(const OnnxNode *, int64_t number);

/* ---- literals (onnx_fold.c) ---- */
/* The integers of a constant of rank <= 1. *n: room in out, then their count. False if it is no
 * such. */
bool onnx_const_ints(const OnnxNode *, Ref, int64_t *out, int *n);
/* Input i as literals; -1 if absent; err()s if it depends on the data. */
int onnx_ints_in(const OnnxNode *, int i, int64_t *out, int max);
/* Attribute `name` or, since a later opset, input i. */
int onnx_ints_at(const OnnxNode *, const char *name, int i, int64_t *out, int max);
const Const *onnx_constant(const OnnxNode *, Ref); /* NULL if it is none */
/* Input i as literal numbers; -1 if absent, 0 if it has no elements. */
int onnx_numbers_in(const OnnxNode *, int i, double *out, int max);
/* Input i as one literal number. */
double onnx_number_in(const OnnxNode *, int i, double absent);

/* ---- axes (onnx_axes.c) ---- */
int onnx_axis(const OnnxNode *, int64_t axis, int rank); /* -1 is the last */
/* Attribute or input "axes" (input i): count, or -1 if absent; sorted, distinct. */
int onnx_axes(const OnnxNode *, int i, int rank, int *axes);
Ref onnx_drop_axes(const OnnxNode *, Ref, int naxes, const int *axes); /* of extent 1 */
/* A vector [C] as [1,C,1,..], of x's rank, to broadcast along axis 1. */
Ref onnx_channels(const OnnxNode *, Ref vector, Ref x);
/* i64 indices in [0, extent): negative ones count from the end. A constant's are checked. */
Ref onnx_indices(const OnnxNode *, Ref, int64_t extent);
/* The axis repeated, as a whole or each element on its own. */
Ref onnx_repeat(const OnnxNode *, Ref, int axis, int64_t times, bool each);
double onnx_lowest(DType); /* neutral for max: -inf, or the least integer */
double onnx_highest(DType);
/* f of two operands under numpy broadcast; b_align and b_binary in one. */
Ref onnx_binary(const OnnxNode *, Op, Ref, Ref);

/* ---- windows (onnx_spatial.c), shared by convolutions and pools ---- */
typedef struct Spatial { /* k axes, those from 2 on */
    int k;
    int64_t size[3], strides[3], dilations[3], low[3], high[3];
    int64_t out[3]; /* result extents */
    int64_t in[3];
} Spatial;
/* kernel: extents of the window if they are known from elsewhere (weights), else NULL. */
Spatial onnx_spatial(const OnnxNode *, Type x, const int64_t *kernel);

/* ---- training (onnx_train.c) ---- */
void onnx_note_norm(const OnnxNode *, Ref x, Ref mean, Ref var);

/* ---- builders' own, shared ---- */
Ref onnx_conv(const OnnxNode *, Ref x, Ref w, Ref bias); /* with the node's attributes */
Ref onnx_matmul(const OnnxNode *, Ref, Ref);             /* numpy's */
Ref onnx_lp_norm(const OnnxNode *, Ref, int naxes, const int *axes); /* p: the node's */
Ref onnx_log_softmax(Graph *, Ref, int axis);

#endif
