/* SPDX-License-Identifier: Apache-2.0 */
/* A set of images and labels read from a file or a folder; pixels are kept as they are stored.
 *
 * Formats: .npy, CIFAR-10 binaries (a file or a folder of batches), IDX, PNG and JPEG (a file, a
 * folder, or a folder of class folders). The first three may be compressed by gzip or xz.
 * No size that a file claims is believed before it has been compared with the bytes that exist. */
#ifndef ADJ_TOOLS_DATA_DATA_H
#define ADJ_TOOLS_DATA_DATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DATA_MAX_RANK = 8 };

typedef struct Data Data;

/* One line, without a newline, that names the file. */
typedef struct {
    char msg[512];
} DataError;

/* Image files that differ in size: the shorter side becomes `shorter` (bilinear, antialiased, as
 * Pillow does; see resize.h), then the centre of crop x crop pixels is taken. */
typedef struct {
    int64_t shorter, crop; /* crop <= shorter; 0: images are taken as they are */
} DataResize;

/* Opens a set; NULL on error. `labels` is an .npy, IDX or text file (one integer a line) that
 * replaces the labels the set brings, or NULL. Every `DataError *` here may be NULL. */
Data *data_open(const char *path, const char *labels, DataError *e);
/* The same with PNG and JPEG resized; other formats have one size and keep it. */
Data *data_open_resized(const char *path, const char *labels, DataResize r, DataError *e);
void data_close(Data *d);

/* The number of samples, at least 1. */
int64_t data_count(const Data *d);

/* Rank and shape of one sample as stored: {3,32,32} CIFAR, {28,28} IDX, {height,width,channels}
 * PNG and JPEG, whatever follows the first axis for .npy. */
int data_shape(const Data *d, int64_t shape[DATA_MAX_RANK]);

/* True where the elements are bytes 0..255, which reading divides by 255. */
bool data_is_bytes(const Data *d);

/* True where the channels come last. */
bool data_is_hwc(const Data *d);

/* Reads the samples first .. first+n-1 in stored order, one after the other. Bytes become
 * (float)u8 / 255.0f or u8 / 255.0; other types are converted as numbers. One thread at a time
 * may read from a Data. */
bool data_read_f32(Data *d, int64_t first, int64_t n, float *out, DataError *e);
bool data_read_f64(Data *d, int64_t first, int64_t n, double *out, DataError *e);

bool data_has_labels(const Data *d);

/* The labels of the same range; false with a message if the set has none. */
bool data_labels(const Data *d, int64_t first, int64_t n, int64_t *out, DataError *e);

/* The integers of such a label file, at least one, in memory that the caller frees. */
bool integers_load(const char *path, int64_t **v, int64_t *n, DataError *e);

#endif
