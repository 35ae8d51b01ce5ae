/* SPDX-License-Identifier: Apache-2.0 */
/* The ONNX front end: a file becomes a graph of table rows. Opsets up to ONNX_OPSET_LAST of the
 * default domain; the operators, and the opset from which each form is known, are the rows of
 * onnx_ops.def. Every fault of the file is an err() of one line that opens with the file's name and
 * names the ONNX node where there is one. */
#ifndef ADJ_COMPILER_ONNX_H
#define ADJ_COMPILER_ONNX_H

#include "ir/graph.h"

enum { ONNX_MAX_DIMS = 8, ONNX_OPSET_LAST = 27 };

typedef struct OnnxDim { /* the extent of a symbolic dimension */
    const char *name;    /* as the file calls it, or "input.axis" where it has no name */
    int64_t value;
} OnnxDim;

/* An input of the file that is given a constant, and so is no input of the graph: a shape, say. */
typedef struct OnnxFixed {
    const char *name;
    const Const *value; /* NULL: a tensor without elements */
} OnnxFixed;

/* Preprocessing becomes nodes in front of the model, so that the graph's public input stays pixels
 * in [0,1], [1,C,H,W]. The model is fed (pixel * scale - mean[c]) / std[c]: scale 255 means it
 * wants 0..255, and mean and std are in the units after scale. All zero: nothing is put in
 * front. */
typedef struct OnnxParam {
    const char *name;
    const Const *value;
} OnnxParam;

typedef struct OnnxNorm {   /* a batch normalisation, whose input is the graph's output "norm.i" */
    const char *mean, *var; /* the params that hold its running statistics */
    double momentum;        /* of which it keeps so much a step */
} OnnxNorm;

typedef struct OnnxParams {
    Arena *arena; /* the caller's: names and values live there */
    uint32_t n, cap;
    OnnxParam *param;
    /* Only what training changes becomes a param (onnx_train.c has the table), and batch
     * normalisations are listed. */
    bool trainable;
    uint32_t nnorm, norm_cap;
    OnnxNorm *norm;
} OnnxParams;

typedef struct OnnxOptions {
    int nmean; /* 0, 1 (for all channels) or C */
    double mean[4];
    int nstd;
    double std[4];
    double scale; /* 0 and 1 mean none */
    bool nhwc;    /* the model's own input is [N,H,W,C]: a transpose is put in front */
    /* Keep literal leading extents of inputs. Without it the leading extent of each input is 1,
     * whatever the file says: a graph describes one sample. */
    bool keep_batch;
    int ndims;
    OnnxDim dims[ONNX_MAX_DIMS];
    /* Float initializers of rank 1 and up become OP_param by their names, not constants, for
     * graphs that are differentiated in the weights; their values are listed here. NULL:
     * constants. */
    struct OnnxParams *params;
    const char **image; /* NULL, or gets the file's name of the input that the graph calls "x" */
    /* Float initializers of rank 1 and up become graph_weight()s, numbered as they are first used:
     * files of one architecture make graphs of one structure, whatever their values and names. */
    bool weights;
    int nfixed;
    const OnnxFixed *fixed;
} OnnxOptions;

/* The graph lives in the arena. One output for each ONNX output, by name. The first input that is
 * not an initializer is named "x"; further ones keep their names (one named "x" becomes "x_"). Opts
 * may be NULL. */
Graph *onnx_import(Arena *, const char *path, const OnnxOptions *opts);

/* A file of one serialized tensor (input_0.pb). NULL if it has no elements. *name is "" if it has
 * none; name may be NULL. */
const Const *onnx_read_tensor(Arena *, const char *path, const char **name);

/* ---- what a file says of itself, for `adjoint inspect` ---- */
typedef struct OnnxCount {
    const char *op;
    int count;
} OnnxCount;

typedef struct OnnxFacts {
    int64_t ir_version, opset;                       /* opset 0: none given */
    const char *producer, *producer_version, *graph; /* "" where absent */
    int nnodes, ninitializers;
    int nops; /* distinct operators, by name */
    OnnxCount *ops;
} OnnxFacts;

/* Needs no operator to be known. */
OnnxFacts *onnx_facts(Arena *, const char *path);

#endif
