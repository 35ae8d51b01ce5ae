/* SPDX-License-Identifier: Apache-2.0 */
/* What the readers share: bytes of a file, the set that a reader fills in, the two tables' rows.
 * A failing function has written its line through data_fail and returns false. */
#ifndef ADJ_TOOLS_DATA_FORMAT_H
#define ADJ_TOOLS_DATA_FORMAT_H

#include <signal.h>
#include <stdio.h>

#include "data.h"
#include "npy.h"

/* The contents of a file, mapped or decompressed. */
typedef struct {
    const uint8_t *p;
    size_t n;
    bool mapped;
} Bytes;

/* Paths in the byte order of their names. */
typedef struct {
    char **path;
    size_t n, cap;
} PathList;

/* A reader sets type, shape, hwc, count and then either base and stride or fetch. */
struct Data {
    char *path;
    bool folder;
    DataResize resize;
    Bytes bytes; /* of the file; empty for a folder */
    NpyType type;
    int64_t count;
    int rank;
    int64_t shape[DATA_MAX_RANK];
    bool hwc;
    size_t elements;     /* of one sample; data_open computes it */
    int64_t *labels;     /* owned, count of them, or NULL */
    const uint8_t *base; /* sample i lies at base + i * stride, or base is NULL and fetch gets it */
    size_t stride;
    bool (*fetch)(Data *d, int64_t i, uint8_t *out, DataError *e);
    void *state; /* the reader's own, released by free_state */
    void (*free_state)(void *state);
    uint8_t *scratch; /* one fetched sample */
};

/* One format. probe looks at the path and the first bytes only. */
typedef struct {
    const char *name;
    bool (*probe)(const Data *d);
    bool (*open)(Data *d, DataError *e);
} Format;

extern const Format format_npy, format_idx, format_cifar, format_images;

typedef struct {
    int64_t height, width;
    int channels; /* 1 or 3 */
} ImageSize;

/* One image codec. decode gets the size it must find, except that channels says what to make. */
typedef struct {
    bool (*probe)(const Bytes *b);
    bool (*size)(const Bytes *b, const char *path, ImageSize *out, DataError *e);
    bool (*decode)(const Bytes *b, const char *path, ImageSize want, uint8_t *out, DataError *e);
} ImageCodec;

extern const ImageCodec codec_png, codec_jpeg;

/* The head of an .npy or IDX file: where the elements start; all of them are there. */
typedef struct {
    NpyType type;
    int rank;
    int64_t shape[DATA_MAX_RANK];
    int64_t elements;
    size_t offset;
} ArrayHead;

bool npy_probe(const Bytes *b);
bool npy_head(const Bytes *b, const char *path, ArrayHead *out, DataError *e);
bool npy_parse(const Bytes *b, const char *path, NpyArray *out, DataError *e);
/* What stands before an array's elements in the file, and how many bytes these are; 0 on error. */
enum { NPY_HEAD_MAX = 512 };
size_t npy_format_head(const char *path, char *out, NpyType type, int rank, const int64_t *shape,
                       size_t *bytes, DataError *e);
bool idx_probe(const Bytes *b);
bool idx_head(const Bytes *b, const char *path, ArrayHead *out, DataError *e);

/* Makes the array a set whose first axis counts the samples. */
bool data_from_array(Data *d, const ArrayHead *h, DataError *e);

/* Multiplies the dimensions; false on overflow or a negative one. */
bool shape_product(const int64_t *shape, int rank, int64_t *out);

/* Element i of an integer array, wherever it lies. */
bool array_is_integer(NpyType type);
int64_t array_integer(NpyType type, const uint8_t *p, int64_t i);

/* Gives d the labels in a file; their number must be d's. */
bool labels_load(Data *d, const char *path, DataError *e);

#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
bool data_fail(DataError *e, const char *format, ...);

bool file_load(const char *path, Bytes *out, DataError *e);
void file_unload(Bytes *b);
bool file_list(const char *folder, PathList *out, DataError *e); /* without hidden ones */
void path_list_free(PathList *l);
const char *path_name(const char *path);

/* Writing: file_create opens a temporary file, file_commit renames it to its name. `good` false
 * (or any failed write) removes it. Signals that end a program wait from the one to the other, so
 * that they leave no half of a file. */
typedef struct {
    FILE *f;
    char *path, *temporary;
    sigset_t before;
} NewFile;

bool file_create(const char *path, NewFile *out, DataError *e);
bool file_commit(NewFile *n, bool good, DataError *e);

#endif
