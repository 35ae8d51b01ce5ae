/* SPDX-License-Identifier: Apache-2.0 */
/* Weights for a graph that has none: every constant that a row of fill.c's table knows as a weight
 * becomes an initializer of its own, with values of its own. */
#ifndef ADJ_TOOLS_FILL_H
#define ADJ_TOOLS_FILL_H

#include "ir/base.h"

#include "onnx.pb-c.h"

typedef struct FillCount {
    int tensors;
    int64_t values;
} FillCount;

/* Memory is the arena's. err()s name the node, not the file. Only the main graph is filled, not the
 * bodies of If and Loop nor functions. */
FillCount fill_weights(Arena *, Onnx__GraphProto *, uint64_t seed);

/* constants.c: names that the file leaves out become "". The other functions need that. */
void name_all(Onnx__GraphProto *);

/* constants.c: what is known of a value before the graph runs. False if it depends on an input. */
typedef struct Shape {
    int rank, type; /* the element type as ONNX numbers it */
    int64_t dim[8];
} Shape;
bool constant_shape(const Onnx__GraphProto *, const char *name, Shape *);

/* constants.c: the first node with that output, the first that reads it, or NULL. */
const Onnx__NodeProto *node_making(const Onnx__GraphProto *, const char *name);
const Onnx__NodeProto *node_reading(const Onnx__GraphProto *, const char *name);

/* constants.c: removes initializers and constant nodes that nothing reads. */
void drop_unread(Onnx__GraphProto *);

#endif
