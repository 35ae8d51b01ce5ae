/* SPDX-License-Identifier: Apache-2.0 */
/* Compile, load, call. */
#define _POSIX_C_SOURCE 200809L
#include "tools/harness.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/arena.h"
#include "runtime/load.h"
#include "tools/progress.h"
#include "tools/say.h"
#include "tools/sched_file.h"

/* ---- opening ---- */

static int compile(Harness *h, const AdjOptions *o)
{
    AdjError e;
    double start = seconds_now();
    h->path = o->model;
    h->compiled = adj_compile(o, &e);
    if (!h->compiled) return fail_input("%s", e.msg);
    sched_warn_unused(h->compiled);
    h->model = adj_load_here(h->compiled, &e);
    if (!h->model) return fail_input("%s", e.msg);
    h->compile_seconds = seconds_now() - start;
    return 0;
}

/* As from a .weights file: aligned memory of the caller's. */
static int copy_weights(Harness *h)
{
    uint64_t bytes;
    const void *from = adj_weights(h->compiled, &bytes);
    if (!from) return 0;
    h->weights = adj_arena_new((size_t)bytes);
    if (!h->weights) return fail_input("%s: no memory for its weights", h->path);
    memcpy(h->weights, from, (size_t)bytes);
    return 0;
}

static int provide(Harness *h, int threads)
{
    h->pool = adj_pool_new(threads);
    if (!h->pool) return fail_input("cannot start %d threads", threads);
    adj_pool_env(h->pool, &h->env);
    for (uint32_t i = 0; i < h->model->nentry; i++) {
        size_t bytes = adj_arena_bytes(&h->model->entry[i], h->env.workers);
        if (bytes > h->arena_bytes) h->arena_bytes = bytes;
    }
    h->arena = adj_arena_new(h->arena_bytes);
    if (h->arena) return 0;
    return fail_input("%s: no memory for an arena of %zu bytes; try a smaller --batch", h->path,
                      h->arena_bytes);
}

int harness_open(Harness *h, const AdjOptions *o, int threads)
{
    *h = (Harness){0};
    int e = compile(h, o);
    if (!e) e = copy_weights(h);
    if (!e) e = provide(h, threads);
    h->precision = o->f64 ? "f64" : o->bf16 ? "bf16" : "f32";
    if (e) harness_close(h);
    return e;
}

void harness_close(Harness *h)
{
    adj_arena_free(h->arena);
    adj_arena_free(h->weights);
    adj_pool_free(h->pool);
    adj_compiled_free(h->compiled);
    *h = (Harness){0};
}

/* ---- calling ---- */

const AdjEntry *harness_entry(const Harness *h, const char *name)
{
    return adj_entry(h->model, name);
}

static int fail_call(const Harness *h, const AdjEntry *entry, int64_t n, int code)
{
    int inputs = 0;
    for (int k = 0; k < entry->nio; k++)
        inputs += !entry->io[k].output && adj_file_name(h->compiled, entry->io[k].name);
    if (code == ADJ_BAD_CALL && inputs > 1)
        return fail_input(
            "%s: has %d inputs, and this command knows the image only; give the others "
            "constants with --const NAME=FILE",
            h->path, inputs);
    if (code == ADJ_BAD_CPU)
        return fail_input("--cpu: this machine lacks instructions of %s", h->model->cpu);
    if (code == ADJ_BAD_CALL && n % entry->slots)
        return fail_input("%s: with --batch none it takes %u samples at a time, not %lld", h->path,
                          (unsigned)entry->slots, (long long)n);
    return fail_input("%s: entry %s returned error %d", h->path, entry->name, code);
}

int harness_call(Harness *h, const AdjEntry *entry, AdjCall *call, AdjStatus *status)
{
    call->size = sizeof *call;
    call->weights = h->weights;
    call->arena = h->arena;
    call->arena_bytes = h->arena_bytes;
    AdjStatus own, *s = status ? status : &own;
    call->status = s;
    call->flags |= ADJ_VARIANT(h->variant);
    *s = (AdjStatus){.size = sizeof *s};
    int code = entry->run(&h->env, call);
    h->variant = s->variant;
    return code == ADJ_OK || code == ADJ_STOPPED ? 0 : fail_call(h, entry, call->n, code);
}

/* ---- tensors ---- */

int64_t tensor_elements(const AdjTensor *t)
{
    int64_t n = 1;
    for (int i = 0; i < t->rank; i++) n *= t->dim[i];
    return n;
}

size_t tensor_bytes(const AdjTensor *t)
{
    return adj_tensor_bytes(t);
}

void *tensor_new(const AdjTensor *t, int64_t samples)
{
    size_t bytes = adj_tensor_bytes(t);
    void *p = calloc((size_t)(samples ? samples : 1), bytes ? bytes : 1);
    if (!p)
        fail_input("no memory for %lld samples of %s, %zu bytes each", (long long)samples, t->name,
                   bytes);
    return p;
}

double tensor_value(const AdjTensor *t, const void *data, int64_t i)
{
    switch (t->dtype) {
    case ADJ_F64: return ((const double *)data)[i];
    case ADJ_F32: return (double)((const float *)data)[i];
    case ADJ_I64: return (double)((const int64_t *)data)[i];
    case ADJ_I32: return (double)((const int32_t *)data)[i];
    default: return (double)((const uint8_t *)data)[i];
    }
}

void element_store(int dtype, void *data, int64_t i, double v)
{
    if (dtype == ADJ_F64)
        ((double *)data)[i] = v;
    else if (dtype == ADJ_F32)
        ((float *)data)[i] = (float)v;
    else
        ((int32_t *)data)[i] = (int32_t)v;
}

void hypers_set(Hypers *h, const AdjEntry *e, int k, double v)
{
    element_store(e->hyper[k].dtype, &h->room[k], 0, v);
    h->at[k] = &h->room[k];
}

int tensor_npy_type(const AdjTensor *t, NpyType *out)
{
    static const int types[] = {[ADJ_F64] = NPY_F64, [ADJ_F32] = NPY_F32, [ADJ_F16] = NPY_F16,
                                [ADJ_BF16] = -1,     [ADJ_I64] = NPY_I64, [ADJ_I32] = NPY_I32,
                                [ADJ_I8] = NPY_I8,   [ADJ_U8] = NPY_U8,   [ADJ_BOOL] = NPY_BOOL};
    if (types[t->dtype] < 0) return fail_input("%s: .npy has no such element type", t->name);
    *out = (NpyType)types[t->dtype];
    return 0;
}

int tensor_save(const char *path, const AdjTensor *t, int64_t n, const void *data)
{
    NpyType type = NPY_F32;
    DataError e;
    int64_t shape[7] = {n};
    int status = tensor_npy_type(t, &type);
    if (status) return status;
    memcpy(shape + 1, t->dim, sizeof *shape * (size_t)t->rank);
    if (!npy_write(path, type, t->rank + 1, shape, data, &e)) return fail_input("%s", e.msg);
    return 0;
}

/* ---- outputs ---- */

int output_check(const char *path)
{
    struct stat st;
    char folder[4096];
    if (!path) return 0;
    const char *slash = strrchr(path, '/');
    if (!*path || (slash && !slash[1])) return fail_input("%s: names no file", path);
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) /* it would be replaced */
        return fail_input("%s: is there, and no regular file", path);
    size_t n = slash ? (size_t)(slash - path) : 1;
    if (n >= sizeof folder) return fail_input("%s: name too long", path);
    snprintf(folder, sizeof folder, "%.*s", (int)n, slash ? path : ".");
    if (slash == path) strcpy(folder, "/");
    if (stat(folder, &st) != 0 || !S_ISDIR(st.st_mode))
        return fail_input("%s: cannot be written: no folder %s", path, folder);
    if (access(folder, W_OK) != 0)
        return fail_input("%s: cannot be written: %s", path, strerror(errno));
    return 0;
}
