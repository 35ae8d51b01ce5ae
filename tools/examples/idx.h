/* SPDX-License-Identifier: Apache-2.0 */
/* Images and labels of the examples: IDX files (the format of MNIST), not compressed. */
#ifndef IDX_H
#define IDX_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static inline void fail(const char *what)
{
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static inline void *must(void *memory)
{
    if (!memory) fail("out of memory");
    return memory;
}

/* `bytes` bytes behind a header of `header`; the file may hold more. */
static inline unsigned char *read_idx(const char *path, size_t header, size_t bytes)
{
    unsigned char *p = must(malloc(header + bytes));
    FILE *f = fopen(path, "rb");
    if (!f || fread(p, 1, header + bytes, f) != header + bytes) fail(path);
    fclose(f);
    return p;
}

/* n images of `pixels` pixels, as bytes. */
static inline unsigned char *read_pixels(const char *path, size_t n, size_t pixels)
{
    unsigned char *all = read_idx(path, 16, n * pixels);
    for (size_t i = 0; i < n * pixels; i++) all[i] = all[i + 16];
    return all;
}

/* The same in [0,1], as a model takes them. */
static inline float *read_images(const char *path, size_t n, size_t pixels)
{
    unsigned char *byte = read_pixels(path, n, pixels);
    float *x = must(malloc(n * pixels * sizeof *x));
    for (size_t i = 0; i < n * pixels; i++) x[i] = (float)byte[i] / 255.0f;
    free(byte);
    return x;
}

static inline int64_t *read_labels(const char *path, size_t n)
{
    unsigned char *byte = read_idx(path, 8, n);
    int64_t *y = must(malloc(n * sizeof *y));
    for (size_t i = 0; i < n; i++) y[i] = byte[8 + i];
    free(byte);
    return y;
}

#endif
