/* SPDX-License-Identifier: Apache-2.0 */
/* Stands for the board: feeds the firmware images of a file, and prints, which it cannot.
 *
 *   embedded IMAGES LABELS [COUNT]    IDX files; the first COUNT images (default 100) */
#include <stdio.h>
#include <stdlib.h>

#include "../idx.h"
#include "device.h"

int main(int argc, char **argv)
{
    if (argc < 3) fail("usage: embedded IMAGES LABELS [COUNT]");
    int64_t n = argc > 3 ? atoll(argv[3]) : 100, right = 0;
    unsigned char *x = read_pixels(argv[1], (size_t)n, DEVICE_PIXELS);
    int64_t *y = read_labels(argv[2], (size_t)n);
    for (int64_t i = 0; i < n; i++) {
        int class = device_classify(x + i * DEVICE_PIXELS);
        if (class < 0) fail("the model refuses the call");
        right += class == y[i];
    }
    printf("right %lld of %lld\n", (long long)right, (long long)n);
    printf("arena %u bytes, stack %u bytes, input and output %u bytes\n",
           (unsigned)device_memory.arena, (unsigned)device_memory.stack,
           (unsigned)device_memory.io);
    free(x);
    free(y);
    return 0;
}
