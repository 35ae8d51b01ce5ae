/* SPDX-License-Identifier: Apache-2.0 */
/* Weights of another file for a compiled model. The manifest says how the model was compiled; the
 * other file goes the same way up to the lowering, which makes the file of weights, and no code is
 * generated. The structure hash must come out the same. */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compiler/compiled.h"

/* ---- the manifest's options ---- */

static json_t *numbers_json(Arena *a, int n, const double *v)
{
    json_t *list = json_array();
    for (int i = 0; i < n; i++) /* text: no digit is lost */
        json_array_append_new(list, json_string(arena_printf(a, "%.17g", v[i])));
    return list;
}

json_t *options_json(AdjCompiled *c)
{
    const AdjOptions *o = &c->opt;
    return json_pack(
        "{s:s, s:I, s:i, s:s, s:s, s:s, s:b, s:b, s:b, s:b, s:b, s:i, s:b, s:b, s:o, s:o, s:o, "
        "s:o}",
        "entries", o->entries, "batch", (json_int_t)o->batch, "consts", o->nconsts, "dims",
        o->dims ? o->dims : "", "layer", o->layer ? o->layer : "", "train",
        o->train ? o->train : "", "f64", o->f64, "bf16", o->bf16, "generic", o->generic, "trace",
        o->trace, "no_winograd", o->no_winograd, "tiles", o->tiles, "no_depth", o->no_depth, "nhwc",
        o->nhwc, "mean", numbers_json(c->arena, o->nmean, o->mean), "std",
        numbers_json(c->arena, o->nstd, o->std), "scale", numbers_json(c->arena, 1, &o->scale),
        "max_error", numbers_json(c->arena, 1, &o->max_error));
}

static int take_numbers(const json_t *list, double *out)
{
    int n = (int)json_array_size(list);
    for (int i = 0; i < n && i < 4; i++) {
        const char *text = json_string_value(json_array_get(list, (size_t)i));
        out[i] = text ? strtod(text, NULL) : 0;
    }
    return n < 4 ? n : 4;
}

static const char *text_of(const json_t *j, const char *key)
{
    return json_string_value(json_object_get(j, key));
}

static bool is_set(const json_t *j, const char *key)
{
    return json_is_true(json_object_get(j, key));
}

/* The lines that decided: the new weights are packed as they say. */
static char *schedule_of(const json_t *manifest)
{
    const json_t *lines = json_object_get(manifest, "schedule");
    Str s = {0};
    str_put(&s, "");
    for (size_t i = 0; i < json_array_size(lines); i++) {
        const char *line = json_string_value(json_array_get(lines, i));
        str_fmt(&s, "%s\n", line ? line : "");
    }
    return s.s;
}

static void take_options(const json_t *manifest, AdjOptions *o)
{
    const json_t *j = json_object_get(manifest, "options");
    const char *dims = text_of(j, "dims"), *layer = text_of(j, "layer"),
               *train = text_of(j, "train");
    o->entries = text_of(j, "entries");
    o->prefix = text_of(manifest, "prefix");
    o->target = text_of(manifest, "target");
    o->cpu = text_of(manifest, "cpu");
    o->dims = dims && *dims ? dims : NULL;
    o->layer = layer && *layer ? layer : NULL;
    o->train = train && *train ? train : NULL;
    o->batch = json_integer_value(json_object_get(j, "batch"));
    o->f64 = is_set(j, "f64");
    o->bf16 = is_set(j, "bf16");
    o->generic = is_set(j, "generic");
    o->trace = is_set(j, "trace");
    o->no_winograd = is_set(j, "no_winograd");
    o->tiles = (int)json_integer_value(json_object_get(j, "tiles"));
    o->no_depth = is_set(j, "no_depth");
    o->nhwc = is_set(j, "nhwc");
    o->nmean = take_numbers(json_object_get(j, "mean"), o->mean);
    o->nstd = take_numbers(json_object_get(j, "std"), o->std);
    take_numbers(json_object_get(j, "scale"), &o->scale);
    take_numbers(json_object_get(j, "max_error"), &o->max_error);
    o->schedule = schedule_of(manifest);
    o->schedule_name = "the manifest's schedule";
    o->no_measured = true;
    o->weights_file = true;
}

/* ---- packing ---- */

typedef struct Pack {
    const char *manifest_path, *model, *out, *temp;
    json_t *manifest;
    AdjCompiled *c;
} Pack;

static void read_manifest(void *arg)
{
    Pack *p = arg;
    json_error_t e;
    p->manifest = json_load_file(p->manifest_path, 0, &e);
    if (!p->manifest) err(p->manifest_path, "is no manifest: %s", e.text);
    if (is_set(p->manifest, "weights_embedded"))
        err(p->manifest_path, "the model has its weights within; compile it with --weights file");
    if (!text_of(p->manifest, "hash") || !json_object_get(p->manifest, "options"))
        err(p->manifest_path, "is no manifest of a model compiled with --weights file");
    if (json_integer_value(json_object_get(json_object_get(p->manifest, "options"), "consts")))
        err(p->manifest_path, "the model was compiled with --const, which it does not hold");
}

static void check_structure(const Pack *p)
{
    char hash[32];
    snprintf(hash, sizeof hash, "%016llx", (unsigned long long)p->c->module->hash);
    if (strcmp(hash, text_of(p->manifest, "hash")))
        err(p->model,
            "has another structure than the model of %s: layers, shapes or constants "
            "differ, or that was compiled by another version",
            p->manifest_path);
}

static void drop_temporary(void *arg)
{
    remove(((Pack *)arg)->temp);
}

static void close_file(void *f)
{
    fclose(f);
}

static bool put(void *f, const void *data, size_t size)
{
    return fwrite(data, 1, size, f) == size;
}

static void write_weights(void *arg)
{
    Pack *p = arg;
    const Module *m = p->c->module;
    check_structure(p);
    p->temp = arena_printf(p->c->arena, "%s.tmp%ld", p->out, (long)getpid());
    err_defer(drop_temporary, p);
    FILE *f = fopen(p->temp, "wb");
    if (!f) err(p->out, "cannot be written: %s", strerror(errno));
    err_defer(close_file, f);
    bool ok = module_stream(m, put, f);
    err_keep(f);
    ok = fclose(f) == 0 && ok;
    if (!ok || rename(p->temp, p->out)) err(p->out, "cannot be written: %s", strerror(errno));
    err_keep(p);
}

bool adj_pack(const char *manifest, const char *model, const char *out, AdjError *e)
{
    Pack p = {.manifest_path = manifest, .model = model, .out = out};
    AdjOptions o = {.model = model};
    bool ok = guarded_call(read_manifest, &p, e);
    if (ok) take_options(p.manifest, &o);
    if (ok) p.c = adj_compile(&o, e);
    ok = p.c && guarded_call(write_weights, &p, e);
    adj_compiled_free(p.c);
    free((char *)(uintptr_t)o.schedule);
    json_decref(p.manifest);
    return ok;
}
