/* SPDX-License-Identifier: Apache-2.0 */
/* CIFAR-10 binaries: records of a label byte and 3x32x32 bytes, planes red, green, blue.
 * A folder means its data_batch_* files in the order of their names (the training set), or its
 * test_batch if it holds no others; name the file to get the test set of a full folder. */
#include <stdlib.h>
#include <string.h>

#include "format.h"

enum { PIXELS = 3 * 32 * 32, RECORD = 1 + PIXELS, CLASSES = 10 };

/* True for NAME.bin, NAME.bin.xz and NAME.bin.gz. */
static bool named_bin(const char *path)
{
    const char *at = strstr(path_name(path), ".bin");
    return at && (!at[4] || !strcmp(at + 4, ".xz") || !strcmp(at + 4, ".gz"));
}

static bool named(const char *path, const char *prefix)
{
    return named_bin(path) && !strncmp(path_name(path), prefix, strlen(prefix));
}

static bool has_batches(const char *folder)
{
    PathList l;
    bool found = false;
    if (!file_list(folder, &l, NULL)) return false;
    for (size_t i = 0; i < l.n && !found; i++)
        found = named(l.path[i], "data_batch_") || named(l.path[i], "test_batch.");
    path_list_free(&l);
    return found;
}

static bool probe(const Data *d)
{
    return d->folder ? has_batches(d->path) : named_bin(d->path);
}

static bool check(const Bytes *b, const char *path, DataError *e)
{
    if (b->n % RECORD)
        return data_fail(e, "%s: %zu bytes are not whole CIFAR-10 records of %d bytes", path, b->n,
                         RECORD);
    for (size_t i = 0; i < b->n; i += RECORD)
        if (b->p[i] >= CLASSES)
            return data_fail(e, "%s: record %zu has label %d; CIFAR-10 has labels 0 to 9", path,
                             i / RECORD, b->p[i]);
    return true;
}

/* Appends the contents of one batch file to d->bytes, which is then on the heap. */
static bool append(Data *d, const char *path, DataError *e)
{
    Bytes b;
    if (!file_load(path, &b, e)) return false;
    uint8_t *p = NULL;
    bool ok = check(&b, path, e);
    if (ok && !(p = realloc((void *)d->bytes.p, d->bytes.n + b.n)))
        ok = data_fail(e, "%s: out of memory", path);
    if (ok) {
        memcpy(p + d->bytes.n, b.p, b.n);
        d->bytes = (Bytes){p, d->bytes.n + b.n, false};
    }
    file_unload(&b);
    return ok;
}

static bool append_all(Data *d, const PathList *l, const char *prefix, DataError *e)
{
    for (size_t i = 0; i < l->n; i++)
        if (named(l->path[i], prefix) && !append(d, l->path[i], e)) return false;
    return true;
}

static bool load_folder(Data *d, DataError *e)
{
    PathList l;
    if (!file_list(d->path, &l, e)) return false;
    bool ok = append_all(d, &l, "data_batch_", e);
    if (ok && d->bytes.n == 0) ok = append_all(d, &l, "test_batch.", e);
    path_list_free(&l);
    return ok;
}

static bool copy_labels(Data *d, DataError *e)
{
    d->labels = malloc((size_t)d->count * sizeof *d->labels);
    if (!d->labels) return data_fail(e, "%s: out of memory", d->path);
    for (int64_t i = 0; i < d->count; i++) d->labels[i] = d->bytes.p[i * RECORD];
    return true;
}

static bool open_cifar(Data *d, DataError *e)
{
    if (d->folder ? !load_folder(d, e) : !check(&d->bytes, d->path, e)) return false;
    d->type = NPY_U8;
    d->count = (int64_t)(d->bytes.n / RECORD);
    d->rank = 3;
    d->shape[0] = 3;
    d->shape[1] = d->shape[2] = 32;
    d->base = d->bytes.p + 1;
    d->stride = RECORD;
    return copy_labels(d, e);
}

const Format format_cifar = {"cifar10", probe, open_cifar};
