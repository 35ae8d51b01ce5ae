/* SPDX-License-Identifier: Apache-2.0 */
/* A graph as its user drew it: the nodes of the ONNX file, and the tensors that flow between them.
 * What depends on no input (weights, folded statistics) is left out. */
#ifndef ADJ_COMPILER_LAYERS_H
#define ADJ_COMPILER_LAYERS_H

#include "ir/graph.h"

typedef enum LayerKind { LAYER_NODE, LAYER_INPUT, LAYER_OUTPUT } LayerKind;

typedef struct Layer {
    LayerKind kind;
    const char *name; /* "Conv_12 (Conv)", or that of an input or output */
    Type type;        /* of its last value */
    double macs;      /* multiply-adds a sample */
} Layer;

typedef struct LayerEdge {
    int from, to; /* layers */
    Type type;
} LayerEdge;

typedef struct Layers {
    uint32_t n, cap, nedge, edge_cap;
    Layer *layer;
    LayerEdge *edge;
    double macs; /* of all */
} Layers;

Layers *layers_of(Arena *, const Graph *);

#endif
