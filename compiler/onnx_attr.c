/* SPDX-License-Identifier: Apache-2.0 */
/* Attributes by name, each with the kind its operator says it has. */
#include "onnx_model.h"
#include "onnx_node.h"

#include "onnx.pb-c.h"

#include <string.h>

typedef Onnx__AttributeProto Proto;
#define KIND(K) ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__##K

static const Proto *in_list(size_t n, Proto *const *a, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (a[i]->name && !strcmp(a[i]->name, name)) return a[i];
    return NULL;
}

/* A function's attribute with a default is field 11 of its FunctionProto, which onnx.proto has
 * since IR version 9; a compiler with an older one finds it among the unknown fields. */
static const Proto *default_of(const OnnxNode *n, const char *name)
{
    enum { ATTRIBUTE_PROTO = 11, BYTES = 2 };
    const ProtobufCMessage *f = &n->function->base;
    for (unsigned i = 0; i < f->n_unknown_fields; i++) {
        const ProtobufCMessageUnknownField *u = &f->unknown_fields[i];
        size_t head = 0;
        if (u->tag != ATTRIBUTE_PROTO || (int)u->wire_type != BYTES) continue;
        while (head < u->len && u->data[head] & 128) head++; /* the length before the bytes */
        const Proto *a = head < u->len ? onnx_unpack_attribute(n->g->arena, u->len - head - 1,
                                                               u->data + head + 1)
                                       : NULL;
        if (a && a->name && !strcmp(a->name, name)) return a;
    }
    return NULL;
}

/* In a function's body an attribute may stand for one of the call. */
static const Proto *find(const OnnxNode *n, const char *name)
{
    for (;;) {
        const Proto *a = in_list(n->proto->n_attribute, n->proto->attribute, name);
        if (!a && n->function) return default_of(n, name);
        if (!a || !a->ref_attr_name || !*a->ref_attr_name) return a;
        if (!n->caller) onnx_fail(n, "attribute %s refers to a function's", name);
        name = a->ref_attr_name;
        n = n->caller;
    }
}

/* Files of the first IR versions have no type field: then the value that is there says it. */
static int kind_of(const Proto *a)
{
    if (a->has_type && a->type) return a->type;
    if (a->has_f) return KIND(FLOAT);
    if (a->has_i) return KIND(INT);
    if (a->has_s) return KIND(STRING);
    if (a->t) return KIND(TENSOR);
    return a->n_floats ? KIND(FLOATS) : KIND(INTS);
}

static const Proto *find_kind(const OnnxNode *n, const char *name, int kind)
{
    const Proto *a = find(n, name);
    if (a && kind_of(a) != kind) onnx_fail(n, "attribute %s has another type than expected", name);
    return a;
}

bool onnx_has(const OnnxNode *n, const char *name)
{
    return find(n, name) != NULL;
}

int64_t onnx_int(const OnnxNode *n, const char *name, int64_t absent)
{
    const Proto *a = find_kind(n, name, KIND(INT));
    return a ? a->i : absent;
}

double onnx_float(const OnnxNode *n, const char *name, double absent)
{
    const Proto *a = find_kind(n, name, KIND(FLOAT));
    return a ? (double)a->f : absent;
}

const char *onnx_str(const OnnxNode *n, const char *name, const char *absent)
{
    const Proto *a = find_kind(n, name, KIND(STRING));
    if (!a) return absent;
    return arena_printf(n->g->arena, "%.*s", a->s.len < 256 ? (int)a->s.len : 256,
                        a->s.data ? (const char *)a->s.data : "");
}

int onnx_ints(const OnnxNode *n, const char *name, int64_t *out, int max)
{
    const Proto *a = find_kind(n, name, KIND(INTS));
    if (!a) return -1;
    if (a->n_ints > (size_t)max)
        onnx_fail(n, "attribute %s has %zu numbers, at most %d are supported", name, a->n_ints,
                  max);
    if (a->n_ints) memcpy(out, a->ints, sizeof *out * a->n_ints);
    return (int)a->n_ints;
}

int onnx_floats(const OnnxNode *n, const char *name, double *out, int max)
{
    const Proto *a = find_kind(n, name, KIND(FLOATS));
    if (!a) return -1;
    if (a->n_floats > (size_t)max)
        onnx_fail(n, "attribute %s has %zu numbers, at most %d are supported", name, a->n_floats,
                  max);
    for (size_t i = 0; i < a->n_floats; i++) out[i] = (double)a->floats[i];
    return (int)a->n_floats;
}

static Ref list(const OnnxNode *n, DType t, size_t count, const void *data)
{
    int64_t dim = (int64_t)count;
    return count ? graph_const(n->g, type_of(t, 1, &dim), data) : ONNX_EMPTY;
}

static Ref constant_of(const OnnxNode *n, const Proto *a, const char *name)
{
    switch (kind_of(a)) {
    case KIND(FLOAT): return graph_const(n->g, type_scalar(DT_F32), &a->f);
    case KIND(INT): return graph_const(n->g, type_scalar(DT_I64), &a->i);
    case KIND(FLOATS): return list(n, DT_F32, a->n_floats, a->floats);
    case KIND(INTS): return list(n, DT_I64, a->n_ints, a->ints);
    case KIND(TENSOR):
        if (a->t) return onnx_tensor(n->g, n->path, a->t);
    }
    onnx_fail(n, "attribute %s is not a tensor, number or list of numbers", name);
}

Ref onnx_attr_const(const OnnxNode *n, const char *name)
{
    const Proto *a = find(n, name);
    if (!a) return NOREF;
    Ref r = constant_of(n, a, name);
    return n->single ? onnx_single(n->g, r) : r;
}

const Onnx__GraphProto *onnx_graph_attr(const OnnxNode *n, const char *name)
{
    const Proto *a = find_kind(n, name, KIND(GRAPH));
    if (!a || !a->g) onnx_fail(n, "attribute %s is missing", name);
    return a->g;
}

DType onnx_dtype(const OnnxNode *n, int64_t number)
{
    DType t;
    if (!onnx_dtype_of(number, &t))
        onnx_fail(n, "element type %s is not supported", onnx_dtype_name(number));
    return n->single && dtype_is_float(t) ? DT_F32 : t;
}
