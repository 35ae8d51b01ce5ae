/* SPDX-License-Identifier: Apache-2.0 */
/* Compiled models as shared libraries, and finding one's way in a model. A program that links the
 * object needs only the lookups: its AdjModel is the symbol <prefix>_model. */
#ifndef ADJ_RUNTIME_LOAD_H
#define ADJ_RUNTIME_LOAD_H

#include "adjoint_abi.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct AdjLoaded AdjLoaded;

/* Opens the library at path (a file, never a search: "m.so" is ./m.so) and finds <prefix>_model.
 * NULL if there is no such file or symbol, or if it has another ABI version; then msg, of `size`
 * bytes, holds one line that says so. */
AdjLoaded *adj_load(const char *path, const char *prefix, char *msg, size_t size);
const AdjModel *adj_loaded_model(const AdjLoaded *); /* valid until adj_unload */
void adj_unload(AdjLoaded *);                        /* NULL is allowed */

/* The entry or the index of a tensor or hyperparameter of that name; NULL or -1 if there is
 * none. */
const AdjEntry *adj_entry(const AdjModel *, const char *name);
int adj_io(const AdjEntry *, const char *name);
int adj_hyper(const AdjEntry *, const char *name);

/* Bytes of one sample. */
size_t adj_tensor_bytes(const AdjTensor *);

#ifdef __cplusplus
}
#endif
#endif
