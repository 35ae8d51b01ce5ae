/* SPDX-License-Identifier: Apache-2.0 */
/* The text of a graph, one node a line:
 *
 *   graph step {
 *   %0 = input {name="x"} : f32[2,3]
 *   %1 = const splat(0.5) : f32[2,3]
 *   %2 = const [1, 2, 3] : i64[3]                       row-major, up to 16 elements
 *   %3 = const hash(0x0123456789abcdef) : f32[64,64]    contents in the sidecar (sidecar.c)
 *   %4 = mul %0, %1 : f32[2,3]
 *   %5 = sum %4 {axes=[1]} : f32[2,1]
 *   return loss=%5
 *   }
 *
 * Attributes stand in the order of ops.def. Those named dtype and shape are never printed: the type
 * at the end of the line says them (for rng, whose shape is a sample's, less the leading axis).
 * Names that are not plain identifiers are quoted. '#' and ';' start a comment. read.c reads all
 * this. */
#include "graph_impl.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool is_bare_name(const char *s)
{
    static const char first[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
    if (!*s || !strchr(first, *s)) return false;
    for (; *s; s++)
        if (!strchr(first, *s) && !strchr("0123456789.", *s)) return false;
    return true;
}

void quote_text(Str *s, const char *text)
{
    str_put(s, "\"");
    for (const unsigned char *p = (const unsigned char *)text; *p; p++)
        if (*p == '"' || *p == '\\')
            str_fmt(s, "\\%c", *p);
        else if (*p < 32 || *p == 127)
            str_fmt(s, "\\x%02x", *p);
        else
            str_fmt(s, "%c", *p);
    str_put(s, "\"");
}

static void put_name(Str *s, const char *name)
{
    if (is_bare_name(name))
        str_put(s, name);
    else
        quote_text(s, name);
}

/* ---- attributes ---- */

static void put_ints(Str *s, const Attr *a)
{
    str_put(s, "[");
    for (int i = 0; i < a->n; i++) str_fmt(s, i ? ",%lld" : "%lld", (long long)a->i[i]);
    str_put(s, "]");
}

static void put_attr(Str *s, AttrKind kind, const Attr *a)
{
    switch (kind) {
    case ATTR_INT: str_fmt(s, "%lld", (long long)a->i[0]); break;
    case ATTR_INTS: put_ints(s, a); break;
    case ATTR_FLOAT: str_double(s, a->f); break;
    case ATTR_DTYPE: str_put(s, dtype_name((DType)a->i[0])); break;
    case ATTR_STR: quote_text(s, a->s); break;
    }
}

bool attr_in_type(const AttrSpec *spec)
{
    return !strcmp(spec->name, "dtype") || !strcmp(spec->name, "shape");
}

static void put_attrs(Str *s, const Node *n)
{
    const OpInfo *info = &op_info[n->op];
    const char *before = " {", *after = "";
    for (int i = 0; i < info->nattr; i++)
        if (!attr_in_type(&info->attr[i])) {
            str_fmt(s, "%s%s=", before, info->attr[i].name);
            put_attr(s, info->attr[i].kind, &n->attr[i]);
            before = " ";
            after = "}";
        }
    str_put(s, after);
}

/* ---- constants ---- */

static bool reads_back(DType d, const void *data, int64_t i, const char *text)
{
    uint64_t one[1];
    elem_set(d, one, 0, strtod(text, NULL));
    return !memcmp(one, (const char *)data + i * dtype_bytes(d), (size_t)dtype_bytes(d));
}

/* Integers as such; else the shortest decimal that converts to the same element. */
static void put_float(Str *s, DType d, const void *data, int64_t i)
{
    double v = elem_get(d, data, i);
    char buf[40];
    if (isnan(v)) {
        str_put(s, "nan");
        return;
    }
    if (fabs(v) < 1e15 && v == trunc(v)) {
        str_fmt(s, "%.0f", v);
        return;
    }
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(buf, sizeof buf, "%.*g", digits, v);
        if (reads_back(d, data, i, buf)) break;
    }
    str_put(s, buf);
}

static void put_elem(Str *s, DType d, const void *data, int64_t i)
{
    if (dtype_is_float(d))
        put_float(s, d, data, i);
    else
        str_fmt(s, "%lld", (long long)elem_get_int(d, data, i));
}

static void put_const(Str *s, const Const *c)
{
    int64_t n = type_count(c->type);
    if (const_is_large(c)) {
        str_fmt(s, " hash(0x%016llx)", (unsigned long long)c->hash);
        return;
    }
    str_put(s, c->splat ? " splat(" : " [");
    for (int64_t i = 0; i < (c->splat ? 1 : n); i++) {
        str_put(s, i ? ", " : "");
        put_elem(s, c->type.dtype, c->data, i);
    }
    str_put(s, c->splat ? ")" : "]");
}

/* ---- nodes and graphs ---- */

static void put_node(Str *s, const Graph *g, Ref r)
{
    const Node *n = &g->node[r];
    str_fmt(s, "%%%u = %s", r, op_info[n->op].name);
    for (int i = 0; i < n->nargs; i++) str_fmt(s, i ? ", %%%u" : " %%%u", n->args[i]);
    if (n->value) put_const(s, n->value);
    put_attrs(s, n);
    str_put(s, " : ");
    type_text(s, n->type);
}

static void put_origin(Str *s, const Graph *g, Ref r)
{
    Str text = {0};
    graph_origin_text(g, r, &text);
    for (char *p = text.s; *p; p++)
        if ((unsigned char)*p < 32) *p = ' '; /* a comment ends with its line */
    if (text.n) str_fmt(s, " ; %s", text.s);
    str_free(&text);
}

static void print(Str *s, const Graph *g, bool origins)
{
    str_put(s, "graph ");
    put_name(s, g->name);
    str_put(s, " {\n");
    for (Ref r = 0; r < g->n; r++) {
        put_node(s, g, r);
        if (origins) put_origin(s, g, r);
        str_put(s, "\n");
    }
    str_put(s, "return");
    for (uint32_t i = 0; i < g->nout; i++) {
        str_put(s, i ? ", " : " ");
        put_name(s, g->out[i].name);
        str_fmt(s, "=%%%u", g->out[i].ref);
    }
    str_put(s, "\n}\n");
}

void graph_print(Str *s, const Graph *g)
{
    print(s, g, false);
}

void graph_print_origins(Str *s, const Graph *g)
{
    print(s, g, true);
}
