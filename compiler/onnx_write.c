/* SPDX-License-Identifier: Apache-2.0 */
/* ModelProto -> bytes -> file, and tensors to be written. */
#define _POSIX_C_SOURCE 200809L
#include "compiler/onnx_write.h"

#include "onnx.pb-c.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void release(void *p)
{
    free(p);
}

/* Beside its place first: a file that is there is a whole one. */
static void write_file(Arena *a, const char *path, const uint8_t *p, size_t n)
{
    const char *temp = arena_printf(a, "%s.tmp%ld", path, (long)getpid());
    FILE *f = fopen(temp, "wb");
    if (!f) err(path, "cannot be written: %s", strerror(errno));
    bool ok = fwrite(p, 1, n, f) == n;
    ok = fclose(f) == 0 && ok;
    if (ok && !rename(temp, path)) return;
    int why = errno;
    remove(temp);
    err(path, "cannot be written: %s", strerror(why));
}

void onnx_write(Arena *a, const Onnx__ModelProto *m, const char *path)
{
    size_t n = onnx__model_proto__get_packed_size(m);
    if (n >= (size_t)1 << 31) err(path, "would be larger than 2 GiB");
    uint8_t *bytes = malloc(n + 1);
    if (!bytes) err(path, "no memory to write it");
    err_defer(release, bytes);
    onnx__model_proto__pack(m, bytes);
    write_file(a, path, bytes, n);
    err_keep(bytes);
    free(bytes);
}

Onnx__TensorProto *onnx_new_tensor(Arena *a, const char *name, int rank, const int64_t *dim)
{
    Onnx__TensorProto *t = NEW(a, Onnx__TensorProto);
    int64_t count = 1;
    onnx__tensor_proto__init(t);
    for (int i = 0; i < rank; i++) count *= dim[i];
    t->name = arena_strdup(a, name);
    t->n_dims = (size_t)rank;
    t->dims = arena_dup(a, dim, sizeof *dim * (size_t)rank);
    t->has_data_type = t->has_raw_data = true;
    t->data_type = ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT;
    t->raw_data.len = 4 * (size_t)count;
    t->raw_data.data = arena_alloc(a, t->raw_data.len);
    return t;
}

void onnx_put_float(Onnx__TensorProto *t, int64_t i, float v)
{
    uint32_t bits;
    memcpy(&bits, &v, 4);
    for (int b = 0; b < 4; b++) t->raw_data.data[4 * i + b] = (uint8_t)(bits >> 8 * b);
}
