/* SPDX-License-Identifier: Apache-2.0 */
/* Arrays by name, as NAME=FILE on the command line: .npy, .npz (the member NAME, or the only one),
 * ONNX TensorProto (.pb). Elements are taken as they are: bytes are numbers here, not pixels. */
#ifndef ADJ_TOOLS_ARRAY_H
#define ADJ_TOOLS_ARRAY_H

#include <stddef.h>

#include "compiler/adjoint.h"

/* "NAME=FILE" into a name on the heap and the file within the text; option names the culprit.
 * Returns an exit status. */
int named_file(const char *option, const char *text, char **name, const char **file);

/* Reads the array called name (kept, not copied); what is not .npy or .npz is read as ONNX's. */
int array_read(const char *path, const char *name, AdjArray *out);
void array_free(AdjArray *);

int64_t array_elements(const AdjArray *);
size_t dtype_size(int dtype); /* of an ABI element type */
const char *dtype_text(int dtype);

/* A list of them: "--const a=x.npy --const b=y.pb". NULL text is an empty list. */
typedef struct Arrays {
    int n;
    AdjArray *a;
} Arrays;
int arrays_read(const char *option, char *const *texts, Arrays *out);
void arrays_free(Arrays *);
/* By name, or NULL. */
const AdjArray *arrays_find(const Arrays *, const char *name);

#endif
