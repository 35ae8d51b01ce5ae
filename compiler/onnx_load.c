/* SPDX-License-Identifier: Apache-2.0 */
/* File -> bytes -> ModelProto. The bytes are walked once before they are unpacked, along the
 * message descriptors: every length stays within its message, nesting and counts stay within
 * bounds. Unpacking then allocates from an arena with a budget, so a hostile file costs a bounded
 * amount of memory and ends in one line of error. */
#define _DEFAULT_SOURCE
#include "onnx_model.h"

#include "onnx.pb-c.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_DEPTH = 64, MAX_FIELDS = 1 << 22 };
static const int64_t MAX_FILE = INT64_C(1) << 31;

/* ---- bytes ---- */

typedef struct Bytes {
    uint8_t *p;
    size_t n;
} Bytes;

static void close_file(void *f)
{
    fclose(f);
}

FILE *onnx_open(const char *path)
{
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "rb");
    if (f)
        err_defer(close_file, f);
    else if (fd >= 0)
        close(fd);
    return f;
}

static int64_t file_size(FILE *f)
{
    struct stat st;
    if (fstat(fileno(f), &st) || !S_ISREG(st.st_mode)) err(NULL, "not a regular file");
    if (st.st_size == 0) err(NULL, "not an ONNX file: empty");
    if (st.st_size > MAX_FILE) err(NULL, "not an ONNX file: larger than 2 GiB");
    return st.st_size;
}

static Bytes read_file(Arena *a, const char *path)
{
    FILE *f = onnx_open(path);
    if (!f) err(NULL, "cannot be opened");
    Bytes b = {.n = (size_t)file_size(f)};
    b.p = arena_alloc(a, b.n);
    if (fread(b.p, 1, b.n, f) != b.n) err(NULL, "cannot be read");
    err_keep(f);
    fclose(f);
    return b;
}

/* ---- the wire ---- */

typedef struct Walk {
    const uint8_t *start, *p;
    int64_t fields; /* length-delimited ones, those that cost an allocation */
} Walk;

static _Noreturn void bad(const Walk *w, const char *what)
{
    err(NULL, "not an ONNX file: %s at byte %zu", what, (size_t)(w->p - w->start));
}

static uint64_t varint(Walk *w, const uint8_t *end)
{
    uint64_t v = 0;
    for (int shift = 0; shift < 70; shift += 7) {
        if (w->p == end) bad(w, "truncated number");
        uint8_t byte = *w->p++;
        v |= shift < 64 ? (uint64_t)(byte & 127) << shift : 0;
        if (byte < 128) return v;
    }
    bad(w, "overlong number");
}

static void skip(Walk *w, const uint8_t *end, uint64_t n)
{
    if (n > (uint64_t)(end - w->p)) bad(w, "truncated field");
    w->p += n;
}

static void walk(Walk *, const ProtobufCMessageDescriptor *, const uint8_t *end, int depth);

static const ProtobufCFieldDescriptor *field_of(const ProtobufCMessageDescriptor *d, uint64_t tag)
{
    unsigned id = tag >> 3 <= INT32_MAX ? (unsigned)(tag >> 3) : 0;
    return protobuf_c_message_descriptor_get_field(d, id);
}

static void walk_delimited(Walk *w, const ProtobufCFieldDescriptor *f, const uint8_t *end,
                           int depth)
{
    uint64_t n = varint(w, end);
    if (n > (uint64_t)(end - w->p)) bad(w, "a field reaches beyond its message");
    if (++w->fields > MAX_FIELDS) bad(w, "too many fields");
    if (f && f->type == PROTOBUF_C_TYPE_MESSAGE)
        walk(w, f->descriptor, w->p + n, depth + 1);
    else
        w->p += n;
}

/* A message field that is not a list may occur once: merging two of them is for other people. */
static void only_once(Walk *w, const ProtobufCMessageDescriptor *d,
                      const ProtobufCFieldDescriptor *f, uint64_t *seen)
{
    if (!f || f->type != PROTOBUF_C_TYPE_MESSAGE || f->label == PROTOBUF_C_LABEL_REPEATED) return;
    uint64_t bit = UINT64_C(1) << ((unsigned)(f - d->fields) & 63);
    if (*seen & bit) bad(w, "a field occurs twice");
    *seen |= bit;
}

static void walk(Walk *w, const ProtobufCMessageDescriptor *d, const uint8_t *end, int depth)
{
    uint64_t seen = 0;
    if (depth > MAX_DEPTH) bad(w, "nested too deeply");
    while (w->p < end) {
        uint64_t tag = varint(w, end);
        const ProtobufCFieldDescriptor *f = field_of(d, tag);
        if (tag >> 3 == 0 || tag >> 3 > (1u << 29) - 1) bad(w, "no such field number");
        only_once(w, d, f, &seen);
        switch (tag & 7) {
        case 0: varint(w, end); break;
        case 1: skip(w, end, 8); break;
        case 2: walk_delimited(w, f, end, depth); break;
        case 5: skip(w, end, 4); break;
        default: bad(w, "no such wire type");
        }
    }
}

/* ---- unpacking ---- */

typedef struct Budget {
    Arena *arena;
    size_t left;
} Budget;

static void *budget_alloc(void *data, size_t n)
{
    Budget *b = data;
    if (n > b->left) return NULL;
    b->left -= n;
    return arena_alloc(b->arena, n);
}

static void budget_free(void *data, void *p)
{
    (void)data, (void)p; /* freed with the arena */
}

/* What bytes unpack to is their tensors, once, and structures of some hundred bytes a field. */
static void *unpack(Arena *a, const ProtobufCMessageDescriptor *d, size_t n, const uint8_t *p)
{
    Walk w = {.start = p, .p = p};
    Budget budget = {a, ((size_t)64 << 20) + 16 * n};
    ProtobufCAllocator alloc = {budget_alloc, budget_free, &budget};
    walk(&w, d, p + n, 0);
    void *m = protobuf_c_message_unpack(d, &alloc, n, p);
    if (!m) err(NULL, "not an ONNX file: its fields are not those of a %s", d->short_name);
    return m;
}

static void free_arena(void *a)
{
    arena_free(a);
}

/* What is unpacked has copies of all it needs. */
static void *load(Arena *a, const char *path, const ProtobufCMessageDescriptor *d)
{
    Arena *file = arena_new();
    err_defer(free_arena, file);
    Bytes b = read_file(file, path);
    void *m = unpack(a, d, b.n, b.p);
    err_keep(file);
    arena_free(file);
    return m;
}

Onnx__ModelProto *onnx_load(Arena *a, const char *path)
{
    Onnx__ModelProto *m = load(a, path, &onnx__model_proto__descriptor);
    if (!m->graph) err(NULL, "not an ONNX file: it has no graph");
    return m;
}

Onnx__AttributeProto *onnx_unpack_attribute(Arena *a, size_t n, const uint8_t *p)
{
    return unpack(a, &onnx__attribute_proto__descriptor, n, p);
}

Onnx__TensorProto *onnx_load_tensor(Arena *a, const char *path)
{
    return load(a, path, &onnx__tensor_proto__descriptor);
}

int64_t onnx_default_opset(size_t n, Onnx__OperatorSetIdProto *const *o)
{
    for (size_t i = 0; i < n; i++)
        if (!o[i]->domain || !*o[i]->domain || !strcmp(o[i]->domain, "ai.onnx"))
            return o[i]->version;
    return 0;
}

int64_t onnx_model_opset(const Onnx__ModelProto *m)
{
    return onnx_default_opset(m->n_opset_import, m->opset_import);
}

/* ---- the frame of every reading of a file ---- */

typedef struct Within {
    void (*fn)(void *, Arena *);
    void *arg;
} Within;

static void within(void *arg)
{
    Within *w = arg;
    Arena *scratch = arena_new();
    err_defer(free_arena, scratch);
    w->fn(w->arg, scratch);
    err_keep(scratch);
    arena_free(scratch);
}

static void printable(char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < 32 || *s == 127) *s = '?';
}

char *onnx_printable(Arena *a, const char *name)
{
    char *s = arena_strdup(a, name);
    printable(s);
    return s;
}

void onnx_within(const char *path, void (*fn)(void *, Arena *), void *arg)
{
    char msg[1024];
    Within w = {fn, arg};
    if (err_guard(within, &w, msg, sizeof msg)) return;
    printable(msg);
    err(path, "%s", msg);
}
