/* SPDX-License-Identifier: Apache-2.0 */
/* Models as files. */
#ifndef ADJ_COMPILER_ONNX_WRITE_H
#define ADJ_COMPILER_ONNX_WRITE_H

#include "compiler/onnx_model.h"

/* All or nothing: the file appears by renaming. err()s name the file. */
void onnx_write(Arena *, const Onnx__ModelProto *, const char *path);

/* A float tensor without values: raw_data has room for them, zeroed. */
Onnx__TensorProto *onnx_new_tensor(Arena *, const char *name, int rank, const int64_t *dim);
/* Element i of such a tensor, little-endian whatever this machine is. */
void onnx_put_float(Onnx__TensorProto *, int64_t i, float);

#endif
