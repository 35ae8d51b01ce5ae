/* SPDX-License-Identifier: Apache-2.0 */
/* TensorProto -> constant. Elements come as raw bytes, in typed fields or in a file beside the
 * model; each way must give exactly as many as the dimensions say, which is checked before anything
 * is allocated. ONNX's bytes are little-endian, and so must the machine be. */
#define _DEFAULT_SOURCE /* realpath */
#include "onnx_model.h"
#include "onnx_node.h"

#include "onnx.pb-c.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "raw tensor data is copied as it is");

/* ---- element types ---- */

static const struct {
    const char *name;
    int dtype; /* -1: the IR has none */
} dtypes[] = {
    {"undefined", -1},      {"float", DT_F32},    {"uint8", DT_U8},       {"int8", DT_I8},
    {"uint16", -1},         {"int16", -1},        {"int32", DT_I32},      {"int64", DT_I64},
    {"string", -1},         {"bool", DT_BOOL},    {"float16", DT_F16},    {"double", DT_F64},
    {"uint32", -1},         {"uint64", -1},       {"complex64", -1},      {"complex128", -1},
    {"bfloat16", DT_BF16},  {"float8e4m3fn", -1}, {"float8e4m3fnuz", -1}, {"float8e5m2", -1},
    {"float8e5m2fnuz", -1}, {"uint4", -1},        {"int4", -1},           {"float4e2m1", -1},
    {"float8e8m0", -1},     {"uint2", -1},        {"int2", -1},
};

bool onnx_dtype_of(int64_t number, DType *out)
{
    if (number < 0 || number >= COUNT(dtypes) || dtypes[number].dtype < 0) return false;
    *out = (DType)dtypes[number].dtype;
    return true;
}

const char *onnx_dtype_name(int64_t number)
{
    return number >= 0 && number < COUNT(dtypes) ? dtypes[number].name : "of an unknown number";
}

/* ---- shapes ---- */

typedef struct Source {
    Graph *g;
    const char *path, *name;
    const Onnx__TensorProto *t;
    Type type;
    size_t bytes;
} Source;

#define BAD(s, ...) err((s)->name, __VA_ARGS__)

/* False if the tensor has no elements. */
static bool read_type(Source *s)
{
    const Onnx__TensorProto *t = s->t;
    int64_t number = t->has_data_type ? t->data_type : 0, bytes;
    if (!onnx_dtype_of(number, &s->type.dtype))
        BAD(s, "element type %s is not supported", onnx_dtype_name(number));
    if (t->n_dims > MAX_RANK) BAD(s, "rank %zu, at most %d is supported", t->n_dims, MAX_RANK);
    bytes = dtype_bytes(s->type.dtype);
    for (size_t i = 0; i < t->n_dims; i++) {
        if (t->dims[i] == 0) return false;
        if (!mul_ok(bytes, t->dims[i], &bytes) || bytes > INT64_C(1) << 40)
            BAD(s, "its dimensions are negative or too large");
        s->type.dim[i] = t->dims[i];
    }
    s->type.rank = (int)t->n_dims;
    s->bytes = (size_t)bytes;
    return true;
}

/* ---- external data ---- */

static const char *entry(const Source *s, const char *key)
{
    for (size_t i = 0; i < s->t->n_external_data; i++) {
        const Onnx__StringStringEntryProto *e = s->t->external_data[i];
        if (e->key && e->value && !strcmp(e->key, key)) return e->value;
    }
    return NULL;
}

static int64_t entry_number(const Source *s, const char *key, int64_t absent)
{
    const char *text = entry(s, key);
    char *end;
    if (!text) return absent;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (errno || end == text || *end || v < 0) BAD(s, "external data: bad %s", key);
    return v;
}

/* Below the model's folder, in plain sight: no absolute path and no "..". */
static bool escapes(const char *p)
{
    if (!*p || *p == '/') return true;
    for (; p; p = strchr(p, '/') ? strchr(p, '/') + 1 : NULL)
        if (!strncmp(p, "..", 2) && (!p[2] || p[2] == '/')) return true;
    return false;
}

static char *beside(const Source *s, const char *location)
{
    const char *slash = strrchr(s->path, '/');
    int folder = slash ? (int)(slash - s->path) + 1 : 0;
    return arena_printf(s->g->arena, "%.*s%s", folder, s->path, location);
}

/* A link may stay within the folder, no more. False also if there is no such file. */
static bool links_inside(const char *path, size_t folder)
{
    char *at = realpath(path, NULL), *cut = strndup(path, folder);
    char *root = cut ? realpath(folder ? cut : ".", NULL) : NULL;
    size_t n = root ? strlen(root) : 0;
    bool inside = at && root && !strncmp(at, root, n) && (n == 1 || at[n] == '/');
    free(at);
    free(cut);
    free(root);
    return inside;
}

static FILE *open_beside(const Source *s, const char *location)
{
    if (escapes(location)) BAD(s, "external data outside the model's folder: %s", location);
    char *path = beside(s, location);
    FILE *f = onnx_open(path);
    if (!f) BAD(s, "external data: cannot open %s beside the model; put that file there", location);
    if (!links_inside(path, strlen(path) - strlen(location)))
        BAD(s, "external data outside the model's folder: %s is a link", location);
    return f;
}

static void seek_in(const Source *s, FILE *f, int64_t offset)
{
    struct stat st;
    if (fstat(fileno(f), &st) || !S_ISREG(st.st_mode)) BAD(s, "external data: not a regular file");
    if (offset > st.st_size || (int64_t)s->bytes > st.st_size - offset)
        BAD(s, "external data: the file ends before the tensor does");
    if (fseek(f, (long)offset, SEEK_SET)) BAD(s, "external data: cannot be read");
}

static const void *external(const Source *s)
{
    const char *location = entry(s, "location");
    if (!location) BAD(s, "external data without a location");
    if (entry_number(s, "length", (int64_t)s->bytes) != (int64_t)s->bytes)
        BAD(s, "external data: its length is not that of the tensor");
    FILE *f = open_beside(s, location);
    seek_in(s, f, entry_number(s, "offset", 0));
    void *data = arena_alloc(s->g->arena, s->bytes);
    if (fread(data, 1, s->bytes, f) != s->bytes) BAD(s, "external data: cannot be read");
    err_keep(f);
    fclose(f);
    return data;
}

/* ---- data in the file ---- */

static void need(const Source *s, size_t have)
{
    if (have != (size_t)type_count(s->type))
        BAD(s, "%zu elements for %lld of its dimensions", have, (long long)type_count(s->type));
}

/* int32_data holds every type of at most 32 bits; the two halves hold bit patterns. */
static const void *from_int32(const Source *s)
{
    int64_t n = type_count(s->type);
    char *data;
    need(s, s->t->n_int32_data);
    data = arena_alloc(s->g->arena, s->bytes);
    for (int64_t i = 0; i < n; i++) {
        int32_t v = s->t->int32_data[i];
        uint16_t half = (uint16_t)v;
        if (dtype_bytes(s->type.dtype) == 2)
            memcpy(data + 2 * i, &half, 2);
        else
            elem_set_int(s->type.dtype, data, i, v);
    }
    return data;
}

static const void *from_fields(const Source *s)
{
    const Onnx__TensorProto *t = s->t;
    switch (s->type.dtype) {
    case DT_F32: need(s, t->n_float_data); return t->float_data;
    case DT_F64: need(s, t->n_double_data); return t->double_data;
    case DT_I64: need(s, t->n_int64_data); return t->int64_data;
    default: return from_int32(s);
    }
}

/* A byte of a bool is 0 or 1, whatever the file says. */
static const void *from_bytes(const Source *s, const uint8_t *raw)
{
    if (s->type.dtype != DT_BOOL) return raw;
    uint8_t *data = arena_alloc(s->g->arena, s->bytes);
    for (size_t i = 0; i < s->bytes; i++) data[i] = raw[i] != 0;
    return data;
}

static const void *inside(const Source *s)
{
    const Onnx__TensorProto *t = s->t;
    if (!t->has_raw_data) return from_fields(s);
    if (t->raw_data.len != s->bytes)
        BAD(s, "%zu bytes for the %zu of its dimensions", t->raw_data.len, s->bytes);
    return from_bytes(s, t->raw_data.data);
}

Ref onnx_tensor(Graph *g, const char *path, const Onnx__TensorProto *t)
{
    const char *name = t->name && *t->name ? t->name : "a constant without a name";
    Source s = {.g = g, .path = path, .t = t};
    s.name = arena_printf(g->arena, "tensor \"%.200s\"", name);
    if (t->segment) BAD(&s, "segments are not supported");
    if (!read_type(&s)) return ONNX_EMPTY;
    bool away = t->has_data_location && t->data_location != 0;
    return graph_const_at(g, s.type, away ? from_bytes(&s, external(&s)) : inside(&s));
}
