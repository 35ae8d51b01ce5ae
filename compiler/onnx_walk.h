/* SPDX-License-Identifier: Apache-2.0 */
/* Between the parts of the importer that walk over a model: values by name in nested scopes, its
 * inputs, its nodes. */
#ifndef ADJ_COMPILER_ONNX_WALK_H
#define ADJ_COMPILER_ONNX_WALK_H

#include "onnx.h"
#include "onnx_model.h"
#include "onnx_node.h"

typedef struct Onnx__GraphProto Onnx__GraphProto;

typedef struct Value {
    const char *name;
    const Onnx__TensorProto *init; /* not yet read */
    bool sparse;
    Ref ref;
} Value;

/* Names of a graph, a function's body, or a branch, which also sees what is around it. */
typedef struct Scope {
    const struct Scope *outer; /* NULL: sees nothing */
    Value *value;              /* open addressing */
    uint32_t mask, used;
} Scope;

typedef struct OnnxWalk {
    const char *path;
    const OnnxOptions *opts;
    Arena *result_arena;
    Graph *result;
    /* scratch from here */
    Graph *g;
    const Onnx__ModelProto *model;
    OnnxFold fold;
    Scope *scope;
    const OnnxNode *caller; /* the call of the function that is walked over; NULL: the graph */
    int64_t opset, batch;
    bool single;      /* f16, bf16 and f64 become f32: see onnx_inputs.c */
    uint64_t weights; /* numbered so far */
    int random;       /* operators that draw, so far */
    uint32_t norm_cap;
    Ref *norm; /* what the batch normalisations of opts->params read */
    int depth; /* of calls and branches */
    int64_t nodes_left;
} OnnxWalk;

/* onnx_scope.c */
void scope_enter(OnnxWalk *, Scope *, const Scope *outer);
Value *scope_define(OnnxWalk *, const char *name, Ref); /* err()s if it is defined */
Value *scope_find(const Scope *, const char *name);     /* NULL if nothing defines it */
/* The value for the node called `label`, or for nobody (NULL); err()s if there is none. */
Ref scope_value(OnnxWalk *, const char *label, const char *name);
void scope_initializers(OnnxWalk *, const Onnx__GraphProto *);

/* onnx_train.c: is it a weight that training changes? */
bool onnx_trains(const Onnx__ModelProto *, const char *initializer);
void walk_norms(OnnxWalk *); /* the outputs "norm.i" */

/* onnx_inputs.c */
void walk_inputs(OnnxWalk *, const Onnx__GraphProto *);

static inline const char *walk_text(const char *s)
{
    return s ? s : "";
}

#endif
