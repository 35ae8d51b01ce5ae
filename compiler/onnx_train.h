/* SPDX-License-Identifier: Apache-2.0 */
/* Files with other values in their initializers. */
#ifndef ADJ_COMPILER_ONNX_TRAIN_H
#define ADJ_COMPILER_ONNX_TRAIN_H

#include "ir/graph.h"

typedef struct OnnxValue { /* of one f32 initializer */
    const char *name;
    int64_t count;
    double (*at)(const struct OnnxValue *, int64_t i);
    const void *data;
} OnnxValue;

/* A copy of the model with these values. */
void onnx_save(const char *from, const char *to, int n, const OnnxValue *);

#endif
