/* SPDX-License-Identifier: Apache-2.0 */
/* Between the parts of the importer that read protobuf: the file, its tensors, its element
 * types. */
#ifndef ADJ_COMPILER_ONNX_MODEL_H
#define ADJ_COMPILER_ONNX_MODEL_H

#include <stdio.h>

#include "ir/graph.h"

typedef struct Onnx__ModelProto Onnx__ModelProto;
typedef struct Onnx__TensorProto Onnx__TensorProto;
typedef struct Onnx__AttributeProto Onnx__AttributeProto;
typedef struct Onnx__OperatorSetIdProto Onnx__OperatorSetIdProto;

/* onnx_load.c: for reading, deferred; NULL if there is none. Never waits, as for the other end of a
 * pipe. */
FILE *onnx_open(const char *path);
/* onnx_load.c: everything lives in the arena. Errors do not name the file; onnx_within does. */
Onnx__ModelProto *onnx_load(Arena *, const char *path);
Onnx__TensorProto *onnx_load_tensor(Arena *, const char *path);
Onnx__AttributeProto *onnx_unpack_attribute(Arena *, size_t n, const uint8_t *);
int64_t onnx_model_opset(const Onnx__ModelProto *); /* of the default domain; 0: none */
int64_t onnx_default_opset(size_t n, Onnx__OperatorSetIdProto *const *);

/* onnx_tensor.c: a constant of the graph, or ONNX_EMPTY. External data is looked for beside
 * `path`. The message must live as long as the graph, which refers to its data. */
Ref onnx_tensor(Graph *, const char *path, const Onnx__TensorProto *);
bool onnx_dtype_of(int64_t number, DType *);
const char *onnx_dtype_name(int64_t number); /* "uint16", for messages */

/* onnx_fold.c: what is constant becomes a constant, node by node, as far as literals may need
 * it. */
enum { ONNX_BUDGET = 1 << 26 }; /* elements read and written in one import */
typedef struct OnnxFold {
    Ref *map; /* of the nodes seen so far, what stands for each */
    uint32_t n, cap;
    int64_t left; /* of the budget */
} OnnxFold;
void onnx_fold_new_nodes(OnnxFold *, Graph *);
Ref onnx_folded(const OnnxFold *, Ref); /* NOREF and ONNX_EMPTY are themselves */

/* A name of the file in one line of print: control characters become '?'. */
char *onnx_printable(Arena *, const char *name);
/* Runs fn(arg) and puts "path: " in front of its error, if any. The arena that fn gets is
 * scratch. */
void onnx_within(const char *path, void (*fn)(void *, Arena *scratch), void *arg);

#endif
