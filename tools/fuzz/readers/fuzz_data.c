/* SPDX-License-Identifier: Apache-2.0 */
/* The data readers: the bytes as a set of images (.npy, CIFAR, IDX, PNG, JPEG, each perhaps
 * compressed), as labels, and as an array. */
#include <stdlib.h>

#include "harness.h"
#include "tools/data/data.h"
#include "tools/data/npy.h"

const char fuzz_name[] = "fuzz_data";

enum { MOST = 1 << 22 }; /* elements of a sample worth reading */

static void read_samples(Data *d, const char *path)
{
    int64_t shape[DATA_MAX_RANK], each = 1, label, n = data_count(d);
    int rank = data_shape(d, shape);
    DataError e;
    for (int i = 0; i < rank && each <= MOST; i++) each *= shape[i];
    if (each > MOST) return;
    float *out = malloc((size_t)each * sizeof *out + 1);
    for (int64_t i = 0; out && i < n && i < 4; i++) {
        if (!data_read_f32(d, n - 1 - i, 1, out, &e)) check_line(e.msg, path);
        if (data_has_labels(d)) data_labels(d, i, 1, &label, &e);
    }
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *path = scratch_file(data, size);
    DataError e = {""};
    NpyArray a;
    Data *d = data_open(path, NULL, &e);
    if (d)
        read_samples(d, path);
    else
        check_line(e.msg, path);
    if (d) data_close(d);
    d = data_open(path, path, &e);
    if (d) data_close(d);
    if (npy_read(path, &a, &e))
        npy_free(&a);
    else
        check_line(e.msg, path);
    return 0;
}
