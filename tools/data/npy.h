/* SPDX-License-Identifier: Apache-2.0 */
/* Whole NumPy .npy and .npz files: little-endian arrays in C order. */
#ifndef ADJ_TOOLS_DATA_NPY_H
#define ADJ_TOOLS_DATA_NPY_H

#include "data.h"

typedef enum { NPY_F16, NPY_F32, NPY_F64, NPY_U8, NPY_I32, NPY_I64, NPY_I8, NPY_BOOL } NpyType;

typedef struct {
    NpyType type;
    int rank; /* 0 for a scalar */
    int64_t shape[DATA_MAX_RANK];
    int64_t elements;
    void *data; /* owned; never NULL after a successful read */
} NpyArray;

/* Bytes of one element. */
size_t npy_size(NpyType type);

bool npy_read(const char *path, NpyArray *out, DataError *e);
void npy_free(NpyArray *a);

/* Writes a temporary file beside `path` and renames it: readers see the old file or the whole
 * new one. */
bool npy_write(const char *path, NpyType type, int rank, const int64_t *shape, const void *data,
               DataError *e);

/* ---- .npz: arrays by name in a zip file, each a member NAME.npy ---- */

bool npz_probe(const char *path);
/* The first n bytes of a regular file; fewer if it is shorter, 0 if it is none. */
size_t file_head(const char *path, void *head, size_t n);
/* The array of that name; if there is none and the file holds one array only, that. */
bool npz_read(const char *path, const char *name, NpyArray *out, DataError *e);

typedef struct {
    const char *name;
    NpyType type;
    int rank;
    int64_t shape[DATA_MAX_RANK];
    const void *data;
} NpzMember;

/* Uncompressed, as numpy.savez writes it; the same arrays give the same bytes. */
bool npz_write(const char *path, int n, const NpzMember *member, DataError *e);

#endif
