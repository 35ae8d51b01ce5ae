/* SPDX-License-Identifier: Apache-2.0 */
/* Attributes by name, each with the kind its operator says it has. */
#include "onnx_model.h"
#include "onnx_node.h"

#include "onnx.pb-c.h"

#include <string.h>

typedef Onnx__AttributeProto Proto;
#define KIND(K) ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__##K

static const Proto *find(const OnnxNode *n, const char *name)
{
    for (size_t i = 0; i < n->proto->n_attribute; i++) {
        const Proto *a = n->proto->attribute[i];
        if (a->name && !strcmp(a->name, name)) return a;
    }
    return NULL;
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
    if (a && a->ref_attr_name && *a->ref_attr_name)
        onnx_fail(n, "attribute %s refers to a function's", name);
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

static Ref list(const OnnxNode *n, DType t, size_t count, const void *data)
{
    int64_t dim = (int64_t)count;
    return count ? graph_const(n->g, type_of(t, 1, &dim), data) : ONNX_EMPTY;
}

Ref onnx_attr_const(const OnnxNode *n, const char *name)
{
    const Proto *a = find(n, name);
    if (!a) return NOREF;
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

DType onnx_dtype(const OnnxNode *n, int64_t number)
{
    DType t;
    if (!onnx_dtype_of(number, &t))
        onnx_fail(n, "element type %s is not supported", onnx_dtype_name(number));
    return t;
}
