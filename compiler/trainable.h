/* SPDX-License-Identifier: Apache-2.0 */
/* A model whose weights are arguments. Its parameters lie in one vector, those of rank 2 and up
 * first; the running statistics of its batch normalisations in another, mean and variance of the
 * first, of the second, and so on. Batch normalisation has its two forms: of the batch, or of the
 * running statistics. */
#ifndef ADJ_COMPILER_TRAINABLE_H
#define ADJ_COMPILER_TRAINABLE_H

#include "compiler/onnx.h"
#include "compiler/programs.h"

typedef struct TrainTensor { /* part of a vector */
    const char *name;        /* of the initializer */
    Type type;
    int64_t offset, count;
    const Const *start; /* the file's value */
} TrainTensor;

typedef struct TrainNorm {
    int mean, var; /* its statistics, by number */
    Ref x;         /* what it normalises, [B, C, ..] */
    double momentum;
} TrainNorm;

/* A residual sum: operand `branch` of node `sum` is what goes beside the shortcut. */
typedef struct TrainBlock {
    Ref sum;
    int branch;
} TrainBlock;

typedef struct Trainable {
    const Graph *g; /* params and statistics are OP_param by name */
    int64_t b;
    DType dtype;
    Ref x, logits;
    int nparam, nstat, nnorm;
    TrainTensor *param, *stat;
    TrainNorm *norm;
    int nblock;
    TrainBlock *block;
    int64_t params, decayed, stats; /* elements; of them in tensors of rank 2 and up */
    Arena *arena;
} Trainable;

/* Of the model that programs are built of; imported when first asked for (compile.c). */
const Trainable *model_trainable(const Model *);
const Trainable *trainable_new(const Model *, const char *path, const OnnxOptions *, int64_t batch);

/* The model with given weights, in a graph being built. */
typedef struct TrainNet {
    Graph *g;
    Ref x, params, stats; /* [B, ..], [params], [stats] or NOREF */
    Ref ranks;            /* [1]: statistics are of the batches of so many ranks; NOREF: of this */
    Ref *weight;          /* the parameters one by one */
    Ref *mean, *var;      /* of the batch, [C] each, a norm; NULL unless `batch` */
    Ref logits;
    /* What a block's branch becomes; NULL: it stays. */
    Ref (*branch)(void *user, Graph *, Ref branch, int block);
    void *user;
} TrainNet;
void train_apply(const Trainable *, TrainNet *, bool batch);

#endif
