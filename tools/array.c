/* SPDX-License-Identifier: Apache-2.0 */
/* Files of arrays. */
#define _POSIX_C_SOURCE 200809L
#include "tools/array.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/data/npy.h"
#include "tools/say.h"

/* ---- element types ---- */

static const struct {
    const char *name;
    size_t size;
} types[] = {[ADJ_F64] = {"f64", 8},   [ADJ_F32] = {"f32", 4}, [ADJ_F16] = {"f16", 2},
             [ADJ_BF16] = {"bf16", 2}, [ADJ_I64] = {"i64", 8}, [ADJ_I32] = {"i32", 4},
             [ADJ_I8] = {"i8", 1},     [ADJ_U8] = {"u8", 1},   [ADJ_BOOL] = {"bool", 1}};

static const int32_t of_npy[] = {
    [NPY_F16] = ADJ_F16, [NPY_F32] = ADJ_F32, [NPY_F64] = ADJ_F64, [NPY_U8] = ADJ_U8,
    [NPY_I32] = ADJ_I32, [NPY_I64] = ADJ_I64, [NPY_I8] = ADJ_I8,   [NPY_BOOL] = ADJ_BOOL};

size_t dtype_size(int dtype)
{
    return types[dtype].size;
}

const char *dtype_text(int dtype)
{
    return types[dtype].name;
}

int64_t array_elements(const AdjArray *a)
{
    int64_t n = 1;
    for (int i = 0; i < a->rank; i++) n *= a->dim[i];
    return n;
}

/* ---- one file ---- */

int named_file(const char *option, const char *text, char **name, const char **file)
{
    const char *eq = strchr(text, '=');
    if (!eq || eq == text || !eq[1]) return fail_usage("%s: '%s' is not NAME=FILE", option, text);
    *name = strndup(text, (size_t)(eq - text));
    *file = eq + 1;
    return *name ? 0 : fail_input("no memory");
}

static bool is_npy(const char *path)
{
    char head[6];
    return file_head(path, head, sizeof head) == sizeof head && !memcmp(head, "\x93NUMPY", 6);
}

static int take_npy(const NpyArray *from, AdjArray *out)
{
    *out = (AdjArray){.dtype = of_npy[from->type], .rank = from->rank, .data = from->data};
    memcpy(out->dim, from->shape, sizeof *out->dim * (size_t)from->rank);
    return 0;
}

int array_read(const char *path, const char *name, AdjArray *out)
{
    NpyArray npy;
    DataError de;
    AdjError e;
    bool ok;
    if (npz_probe(path) || is_npy(path)) {
        ok = npz_probe(path) ? npz_read(path, name, &npy, &de) : npy_read(path, &npy, &de);
        if (!ok) return fail_input("%s", de.msg);
        take_npy(&npy, out);
    } else if (!adj_read_tensor(path, out, &e)) {
        return fail_input("%s", e.msg);
    }
    out->name = name;
    return 0;
}

void array_free(AdjArray *a)
{
    free((char *)a->name);
    free(a->data);
    *a = (AdjArray){0};
}

/* ---- lists ---- */

static int read_next(const char *option, const char *text, Arrays *out)
{
    char *name = NULL;
    const char *file = NULL;
    int e = named_file(option, text, &name, &file);
    if (!e && arrays_find(out, name)) e = fail_usage("%s: '%s' twice", option, name);
    if (!e) e = array_read(file, name, &out->a[out->n]);
    if (e)
        free(name);
    else
        out->n++;
    return e;
}

int arrays_read(const char *option, char *const *texts, Arrays *out)
{
    size_t most = 0;
    int e = 0;
    *out = (Arrays){0};
    while (texts && texts[most]) most++;
    out->a = calloc(most + 1, sizeof *out->a);
    if (!out->a) return fail_input("no memory");
    for (size_t i = 0; i < most && !e; i++) e = read_next(option, texts[i], out);
    if (e) arrays_free(out);
    return e;
}

void arrays_free(Arrays *l)
{
    for (int i = 0; i < l->n; i++) array_free(&l->a[i]);
    free(l->a);
    *l = (Arrays){0};
}

const AdjArray *arrays_find(const Arrays *l, const char *name)
{
    for (int i = 0; i < l->n; i++)
        if (!strcmp(l->a[i].name, name)) return &l->a[i];
    return NULL;
}
