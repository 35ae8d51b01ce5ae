/* SPDX-License-Identifier: Apache-2.0 */
/* make_set: writes 96 images of 8x8 in four classes that a small net can learn (a bright quarter,
 * over noise), images.npy and labels.txt, and sets that are at fault. */
#include <stdio.h>
#include <stdlib.h>

#include "tools/data/npy.h"

enum { N = 96, C = 3, SIDE = 8, CLASSES = 4 };

static unsigned noise(unsigned i)
{
    i = (i ^ 61) ^ (i >> 16);
    i *= 9;
    i ^= i >> 4;
    i *= 0x27d4eb2d;
    return (i ^ (i >> 15)) & 0xff;
}

static void need(bool ok, const char *what)
{
    if (ok) return;
    fprintf(stderr, "%s: cannot be written\n", what);
    exit(1);
}

static void write_images(const char *path, int64_t side)
{
    static uint8_t pixel[N * C * SIDE * SIDE];
    int64_t shape[] = {N, C, side, side};
    DataError e;
    unsigned at = 0;
    for (int i = 0; i < N; i++)
        for (int c = 0; c < C; c++)
            for (int y = 0; y < side; y++)
                for (int x = 0; x < side; x++, at++) {
                    int quarter = 2 * (2 * y >= side) + (2 * x >= side);
                    pixel[at] = (uint8_t)(noise(at) / 4 + (quarter == i % CLASSES ? 150 : 30));
                }
    need(npy_write(path, NPY_U8, 4, shape, pixel, &e), path);
}

static void write_labels(const char *path, int classes)
{
    FILE *f = fopen(path, "w");
    need(f != NULL, path);
    for (int i = 0; i < N; i++) fprintf(f, "%d\n", i % classes);
    need(!fclose(f), path);
}

int main(void)
{
    write_images("images.npy", SIDE);
    write_images("small.npy", SIDE - 1);
    write_labels("labels.txt", CLASSES);
    write_labels("more.txt", CLASSES + 1);
    return 0;
}
