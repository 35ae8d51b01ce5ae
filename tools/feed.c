/* SPDX-License-Identifier: Apache-2.0 */
/* Arrays are converted to the input's element type once, when they are bound. */
#include "tools/feed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/graph.h"
#include "tools/say.h"

_Static_assert((int)ADJ_F64 == (int)DT_F64 && (int)ADJ_BOOL == (int)DT_BOOL,
               "element types of the ABI and of graphs are numbered alike");

/* ---- opening ---- */

int feed_open(Feed *f, const char *images, const DataRange *range)
{
    *f = (Feed){.range = *range};
    int e = arrays_read("--input", options_inputs(), &f->arrays);
    if (!e && !images && range->labels)
        e = fail_usage("--labels: they belong to images, and none are named");
    if (!e && images) e = images_open(&f->images, images, range);
    f->has_images = !e && images;
    f->n = f->has_images ? f->images.n : -1;
    if (e) feed_close(f);
    return e;
}

void feed_close(Feed *f)
{
    for (int i = 0; i < f->nin; i++) free(f->data[i]);
    if (f->has_images) images_close(&f->images);
    arrays_free(&f->arrays);
    *f = (Feed){0};
}

bool feed_empty(const Feed *f)
{
    return !f->has_images && !f->arrays.n;
}

/* ---- an array for an input ---- */

static void shape_text(char *out, size_t size, const char *first, int rank, const int64_t *dim)
{
    size_t n = (size_t)snprintf(out, size, "[%s", first);
    for (int i = 0; i < rank && n < size; i++)
        n += (size_t)snprintf(out + n, size - n, "%s%lld", i || *first ? "," : "",
                              (long long)dim[i]);
    if (n < size) snprintf(out + n, size - n, "]");
}

static int fail_shape(const AdjArray *a, const AdjTensor *t)
{
    char have[160], want[160];
    shape_text(have, sizeof have, "", a->rank, a->dim);
    shape_text(want, sizeof want, "N", t->rank, t->dim);
    return fail_input("--input: %s is %s, the model's input %s", a->name, have, want);
}

static void convert(const AdjArray *a, int64_t first, const AdjTensor *t, int64_t n, void *out)
{
    DType from = (DType)a->dtype, to = (DType)t->dtype;
    bool reals = dtype_is_float(from) || dtype_is_float(to);
    for (int64_t i = 0; i < n; i++)
        if (reals)
            elem_set(to, out, i, elem_get(from, a->data, first + i));
        else
            elem_set_int(to, out, i, elem_get_int(from, a->data, first + i));
}

/* The range of an array's samples; all inputs must have equally many. */
static int settle_count(Feed *f, const AdjArray *a)
{
    int64_t left = a->dim[0] - f->range.first, n = left < f->range.limit ? left : f->range.limit;
    if (n < 1)
        return fail_input("--input: %s has no sample from %lld on", a->name,
                          (long long)f->range.first);
    if (f->n >= 0 && f->n != n)
        return fail_input("--input: %s has %lld samples, another input %lld", a->name, (long long)n,
                          (long long)f->n);
    f->n = n;
    return 0;
}

static int take_array(Feed *f, int i, const AdjArray *a)
{
    const AdjTensor *t = &f->tensor[i];
    if (a->rank != t->rank + 1 || memcmp(a->dim + 1, t->dim, sizeof *t->dim * (size_t)t->rank) != 0)
        return fail_shape(a, t);
    int e = settle_count(f, a);
    if (e) return e;
    int64_t each = tensor_elements(t);
    f->data[i] = tensor_new(t, f->n);
    if (!f->data[i]) return STATUS_INPUT;
    convert(a, f->range.first * each, t, f->n * each, f->data[i]);
    return 0;
}

/* ---- the model's inputs ---- */

static void find_inputs(Feed *f, const Harness *h, const AdjEntry *entry, bool wide)
{
    for (int k = 0; k < entry->nio && f->nin < FEED_INPUTS; k++) {
        AdjTensor t = entry->io[k];
        if (t.output || !adj_file_name(h->compiled, t.name)) continue;
        if (wide) t.dtype = dtype_is_float((DType)t.dtype) ? ADJ_F64 : ADJ_I64;
        f->io[f->nin] = k;
        f->tensor[f->nin++] = t;
    }
}

/* By the file's name, or the entry's. */
static const AdjArray *array_for(const Feed *f, const Harness *h, const AdjTensor *t)
{
    const AdjArray *a = arrays_find(&f->arrays, adj_file_name(h->compiled, t->name));
    return a ? a : arrays_find(&f->arrays, t->name);
}

static int bind_input(Feed *f, const Harness *h, int i, int *used)
{
    const AdjTensor *t = &f->tensor[i];
    const AdjArray *a = array_for(f, h, t);
    const char *name = adj_file_name(h->compiled, t->name);
    *used += a != NULL;
    if (a && i == 0 && f->has_images)
        return fail_usage("--input: %s is fed by %s already", name, f->images.path);
    if (a) return take_array(f, i, a);
    if (i == 0 && f->has_images) return images_bind(&f->images, h, t);
    return fail_usage("--input: the model's input %s needs data (--input %s=FILE)", name, name);
}

static int fail_unknown(const Feed *f, const Harness *h)
{
    char known[400] = "";
    for (int i = 0, n = 0; i < f->nin && n < (int)sizeof known; i++)
        n += snprintf(known + n, sizeof known - (size_t)n, "%s%.60s", i ? ", " : "",
                      adj_file_name(h->compiled, f->tensor[i].name));
    for (int k = 0; k < f->arrays.n; k++) {
        bool found = false;
        for (int i = 0; i < f->nin && !found; i++)
            found = array_for(f, h, &f->tensor[i]) == &f->arrays.a[k];
        if (!found)
            return fail_usage("--input: '%s' is no input of the model; the inputs are: %s",
                              f->arrays.a[k].name, known);
    }
    return 0;
}

int feed_bind(Feed *f, const Harness *h, const AdjEntry *entry, bool wide)
{
    int e = 0, used = 0;
    find_inputs(f, h, entry, wide);
    if (feed_empty(f)) return 0;
    for (int i = 0; i < f->nin && !e; i++) e = bind_input(f, h, i, &used);
    return e || used == f->arrays.n ? e : fail_unknown(f, h);
}

int feed_samples(Feed *f, int i, int64_t at, int64_t n, void *buffer, void **out)
{
    *out = buffer;
    if (!f->data[i]) return images_read(&f->images, at, n, buffer);
    *out = (char *)f->data[i] + (size_t)at * tensor_bytes(&f->tensor[i]);
    return 0;
}
