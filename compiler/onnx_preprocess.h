/* SPDX-License-Identifier: Apache-2.0 */
/* Preprocessing as nodes: pixels in [0,1] to what a model was trained on. */
#ifndef ADJ_COMPILER_ONNX_PREPROCESS_H
#define ADJ_COMPILER_ONNX_PREPROCESS_H

#include "onnx.h"

/* Makes the public input `name` and returns the value, of type `model`, that the model is fed. */
Ref onnx_preprocess(Graph *, const char *name, Type model, const OnnxOptions *);

#endif
