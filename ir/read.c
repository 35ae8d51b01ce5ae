/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the text of a graph (print.c has the grammar). Whatever the text, it ends in a graph or in
 * an err() naming file and line. Names of values are arbitrary; nodes get the line they stand on as
 * origin, so that shape errors name it too. */
#include "graph_impl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_LIST = 1 << 16 }; /* elements in a constant written out */

typedef struct Symbol {
    const char *name; /* NULL: free */
    Ref ref;
} Symbol;

typedef struct Reader {
    Arena *arena;
    Graph *g;
    const char *p, *file, *sidecar_path;
    int line;
    Sidecar sidecar;
    Symbol *symbol; /* open addressing */
    uint32_t nsymbols, symbol_cap;
} Reader;

static _Noreturn void fail(Reader *r, const char *what)
{
    const char *file = r->file ? r->file : "graph";
    err(arena_printf(r->arena, "%s:%d", file, r->line), "%s", what);
}

#define FAIL(r, ...) fail(r, arena_printf((r)->arena, __VA_ARGS__))

/* ---- characters and tokens ---- */

static bool in(char c, const char *set)
{
    return c && strchr(set, c);
}

static bool is_word_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           in(c, "_.");
}

static void skip(Reader *r)
{
    for (;; r->p++) {
        if (in(*r->p, "#;")) r->p += strcspn(r->p, "\n");
        if (*r->p == '\n') r->line++;
        if (!in(*r->p, " \t\r\n")) return;
    }
}

static bool take(Reader *r, char c)
{
    skip(r);
    if (*r->p != c) return false;
    r->p++;
    return true;
}

static void want(Reader *r, char c)
{
    if (!take(r, c)) FAIL(r, "'%c' expected", c);
}

static char *span(Reader *r, size_t n)
{
    if (n > 4096) fail(r, "a name is too long");
    char *s = arena_alloc(r->arena, n + 1);
    memcpy(s, r->p, n);
    r->p += n;
    return s;
}

/* A name of letters, digits, '_' and '.'; `what` is said if there is none. */
static char *word(Reader *r, const char *what)
{
    size_t n = 0;
    skip(r);
    while (is_word_char(r->p[n])) n++;
    if (!n) FAIL(r, "%s expected", what);
    return span(r, n);
}

static char hex_escape(Reader *r)
{
    static const char digits[] = "0123456789abcdef";
    int v = 0;
    for (int i = 0; i < 2; i++, r->p++) {
        const char *d = in(*r->p, digits) ? strchr(digits, *r->p) : NULL;
        if (!d) fail(r, "\\x takes two small hexadecimal digits");
        v = v * 16 + (int)(d - digits);
    }
    if (!v) fail(r, "a text cannot hold a zero byte");
    return (char)v;
}

static char *quoted(Reader *r)
{
    want(r, '"');
    size_t n = 0;
    const char *end = r->p;
    for (; *end && *end != '"' && *end != '\n'; end++)
        end += *end == '\\' && end[1] && end[1] != '\n';
    if (*end != '"') fail(r, "a text without its closing quote");
    char *s = arena_alloc(r->arena, (size_t)(end - r->p) + 1);
    while (r->p < end) {
        char c = *r->p++;
        if (c == '\\') {
            c = *r->p++;
            if (c == 'x') c = hex_escape(r);
        }
        s[n++] = c;
    }
    r->p = end + 1;
    return s;
}

static char *name(Reader *r, const char *what)
{
    skip(r);
    return *r->p == '"' ? quoted(r) : word(r, what);
}

/* A number's characters, copied so that strtod() and its kin stop where we do. */
static void number_text(Reader *r, char buf[64])
{
    size_t n = 0;
    skip(r);
    while (is_word_char(r->p[n]) || in(r->p[n], "+-")) n++;
    if (!n || n > 63) fail(r, "a number expected");
    memcpy(buf, r->p, n);
    buf[n] = 0;
    r->p += n;
}

static int64_t integer(Reader *r)
{
    char buf[64], *end;
    number_text(r, buf);
    errno = 0;
    long long v = strtoll(buf, &end, 10);
    if (*end || errno) FAIL(r, "%s is not an integer of 64 bits", buf);
    return v;
}

static double real(Reader *r)
{
    char buf[64], *end;
    number_text(r, buf);
    double v = strtod(buf, &end);
    if (*end) FAIL(r, "%s is not a number", buf);
    return v;
}

static uint64_t hash_number(Reader *r)
{
    char buf[64], *end;
    number_text(r, buf);
    errno = 0;
    unsigned long long v = strtoull(buf, &end, 16);
    if (*end || errno || buf[0] != '0' || buf[1] != 'x') FAIL(r, "%s is not a hash", buf);
    return v;
}

/* Numbers in brackets, at most MAX_RANK. */
static Attr integers(Reader *r)
{
    Attr a = {0};
    want(r, '[');
    if (take(r, ']')) return a;
    do {
        if (a.n == MAX_RANK) FAIL(r, "more than %d numbers", MAX_RANK);
        a.i[a.n++] = integer(r);
    } while (take(r, ','));
    want(r, ']');
    return a;
}

static DType dtype(Reader *r)
{
    const char *s = word(r, "an element type");
    DType d;
    if (!dtype_by_name(s, &d)) FAIL(r, "%s is not an element type", s);
    return d;
}

static Type type(Reader *r)
{
    Type t = {.dtype = dtype(r)};
    Attr dims = integers(r);
    t.rank = dims.n;
    memcpy(t.dim, dims.i, sizeof t.dim);
    const char *fault = type_check(t);
    if (fault) fail(r, fault);
    return t;
}

/* ---- names of values ---- */

static Symbol *symbol_slot(Symbol *table, uint32_t cap, const char *s)
{
    uint32_t i = (uint32_t)hash_bytes(s, strlen(s), 0) & (cap - 1);
    while (table[i].name && strcmp(table[i].name, s)) i = (i + 1) & (cap - 1);
    return &table[i];
}

static void symbols_grow(Reader *r)
{
    uint32_t cap = r->symbol_cap ? r->symbol_cap * 2 : 64;
    Symbol *table = NEW_N(r->arena, Symbol, cap);
    for (uint32_t i = 0; i < r->symbol_cap; i++)
        if (r->symbol[i].name) *symbol_slot(table, cap, r->symbol[i].name) = r->symbol[i];
    r->symbol = table;
    r->symbol_cap = cap;
}

static void define(Reader *r, const char *s, Ref ref)
{
    if (2 * (r->nsymbols + 1) > r->symbol_cap) symbols_grow(r);
    Symbol *slot = symbol_slot(r->symbol, r->symbol_cap, s);
    if (slot->name) FAIL(r, "%%%s is defined twice", s);
    *slot = (Symbol){s, ref};
    r->nsymbols++;
}

static Ref value(Reader *r)
{
    want(r, '%');
    const char *s = word(r, "a value's name");
    Symbol *slot = r->symbol_cap ? symbol_slot(r->symbol, r->symbol_cap, s) : NULL;
    if (!slot || !slot->name) FAIL(r, "%%%s is not defined above", s);
    return slot->ref;
}

/* ---- attributes ---- */

static Attr attr_value(Reader *r, AttrKind kind)
{
    Attr a = {0};
    switch (kind) {
    case ATTR_INT: a.i[0] = integer(r); break;
    case ATTR_INTS: a = integers(r); break;
    case ATTR_FLOAT: a.f = real(r); break;
    case ATTR_DTYPE: a.i[0] = dtype(r); break;
    case ATTR_STR: a.s = quoted(r); break;
    }
    return a;
}

static int attr_index(Reader *r, const OpInfo *info, const char *s)
{
    for (int i = 0; i < info->nattr; i++)
        if (!strcmp(info->attr[i].name, s) && !attr_in_type(&info->attr[i])) return i;
    FAIL(r, "%s has no attribute %s here", info->name, s);
}

static void attributes(Reader *r, const OpInfo *info, Attr *attr)
{
    unsigned seen = 0;
    if (take(r, '{'))
        while (!take(r, '}')) {
            int i = attr_index(r, info, word(r, "an attribute"));
            if (seen >> i & 1) FAIL(r, "%s is given twice", info->attr[i].name);
            seen |= 1u << i;
            want(r, '=');
            attr[i] = attr_value(r, info->attr[i].kind);
        }
    for (int i = 0; i < info->nattr; i++)
        if (!(seen >> i & 1) && !attr_in_type(&info->attr[i]))
            FAIL(r, "%s needs %s", info->name, info->attr[i].name);
}

static void attrs_from_type(const OpInfo *info, Attr *attr, Type t)
{
    int lead = info->cls == CL_SOURCE && info->nargs > 0 && t.rank > 0; /* rng: [B, shape..] */
    for (int i = 0; i < info->nattr; i++)
        if (!strcmp(info->attr[i].name, "dtype"))
            attr[i].i[0] = t.dtype;
        else if (!strcmp(info->attr[i].name, "shape")) {
            attr[i].n = t.rank - lead;
            memcpy(attr[i].i, t.dim + lead, sizeof t.dim[0] * (size_t)attr[i].n);
        }
}

/* ---- constants ---- */

/* The type is known only at the end of the line, so both readings of a number are kept. */
typedef struct Element {
    double real;
    int64_t whole;
    bool is_whole;
} Element;

static Element element(Reader *r)
{
    char buf[64], *end;
    number_text(r, buf);
    Element e = {.real = strtod(buf, &end)};
    if (*end) FAIL(r, "%s is not a number", buf);
    errno = 0;
    e.whole = strtoll(buf, &end, 10);
    e.is_whole = !*end && !errno;
    return e;
}

static void store(Reader *r, Type t, void *data, int64_t i, const Element *e)
{
    if (dtype_is_float(t.dtype)) {
        elem_set(t.dtype, data, i, e->real);
        return;
    }
    elem_set_int(t.dtype, data, i, e->whole);
    if (!e->is_whole || elem_get_int(t.dtype, data, i) != e->whole)
        FAIL(r, "an element is not a number of type %s", dtype_name(t.dtype));
}

static Type type_after_colon(Reader *r)
{
    want(r, ':');
    return type(r);
}

static Ref const_splat(Reader *r)
{
    uint64_t one[1] = {0};
    want(r, '(');
    Element e = element(r);
    want(r, ')');
    Type t = type_after_colon(r);
    store(r, t, one, 0, &e);
    return graph_splat_bits(r->g, t, one);
}

static Ref const_list(Reader *r)
{
    Element *e = NULL;
    uint32_t n = 0, cap = 0;
    do {
        if (n == MAX_LIST) fail(r, "too many elements for a list");
        GROW(r->arena, e, n, cap);
        e[n++] = element(r);
    } while (take(r, ','));
    want(r, ']');
    Type t = type_after_colon(r);
    if (type_count(t) != n)
        FAIL(r, "%u elements are given, the type holds %lld", n, (long long)type_count(t));
    void *data = arena_alloc(r->arena, (size_t)type_bytes(t));
    for (uint32_t i = 0; i < n; i++) store(r, t, data, i, &e[i]);
    return graph_const(r->g, t, data);
}

static Ref const_hashed(Reader *r)
{
    want(r, '(');
    uint64_t hash = hash_number(r);
    want(r, ')');
    Type t = type_after_colon(r);
    if (!r->sidecar_path) fail(r, "this constant needs the file of constants");
    if (!r->sidecar.data) r->sidecar = sidecar_open(r->sidecar_path);
    Ref ref = sidecar_const(r->g, &r->sidecar, hash, t);
    if (ref == NOREF) FAIL(r, "%s has no such constant", r->sidecar_path);
    return ref;
}

static Ref constant(Reader *r)
{
    if (take(r, '[')) return const_list(r);
    const char *form = word(r, "splat, hash or a list");
    if (!strcmp(form, "splat")) return const_splat(r);
    if (!strcmp(form, "hash")) return const_hashed(r);
    FAIL(r, "a constant is splat(..), hash(..) or a list, not %s", form);
}

/* ---- nodes and graphs ---- */

static int operands(Reader *r, Ref *args)
{
    int n = 0;
    skip(r);
    if (*r->p != '%') return 0;
    do {
        if (n == MAX_ARGS) FAIL(r, "more than %d operands", MAX_ARGS);
        args[n++] = value(r);
    } while (take(r, ','));
    return n;
}

static void compare_types(Reader *r, Type said, Type is)
{
    if (type_eq(said, is)) return;
    Str s = {0};
    type_text(&s, is);
    const char *text = arena_printf(r->arena, "the type is %s, not what is written", s.s);
    str_free(&s);
    fail(r, text);
}

static Ref ordinary(Reader *r, Op op)
{
    Attr attr[MAX_ATTRS] = {{0}};
    Ref args[MAX_ARGS];
    int n = operands(r, args);
    attributes(r, &op_info[op], attr);
    Type said = type_after_colon(r);
    attrs_from_type(&op_info[op], attr, said);
    Ref ref = graph_node(r->g, op, n, args, attr);
    compare_types(r, said, r->g->node[ref].type);
    return ref;
}

static void node(Reader *r)
{
    const char *left = word(r, "a value's name");
    want(r, '=');
    const char *s = word(r, "an op");
    Op op = op_by_name(s);
    if (op == OP_COUNT) FAIL(r, "%s is not an op", s);
    const char *file = r->file ? r->file : "graph";
    graph_fresh_origin(r->g, arena_printf(r->arena, "%s:%d", file, r->line));
    define(r, left, op == OP_const ? constant(r) : ordinary(r, op));
}

static void output(Reader *r)
{
    const char *s = name(r, "an output's name");
    want(r, '=');
    Ref ref = value(r);
    if (graph_find_output(r->g, s) != NOREF) FAIL(r, "output %s is given twice", s);
    graph_output(r->g, s, ref);
}

static void outputs(Reader *r)
{
    const char *s = word(r, "a node or return");
    if (strcmp(s, "return")) FAIL(r, "a node or return expected, not %s", s);
    if (take(r, '}')) return;
    do output(r);
    while (take(r, ','));
    want(r, '}');
}

Graph *graph_read(Arena *arena, const char *text, const char *where, const char *sidecar)
{
    Reader reader = {.arena = arena, .p = text, .file = where, .sidecar_path = sidecar, .line = 1};
    Reader *r = &reader;
    const char *head = word(r, "graph");
    if (strcmp(head, "graph")) FAIL(r, "graph expected, not %s", head);
    r->g = graph_new(arena, name(r, "the graph's name"));
    want(r, '{');
    while (take(r, '%')) node(r);
    outputs(r);
    skip(r);
    if (*r->p) fail(r, "text after the graph's end");
    sidecar_close(&r->sidecar);
    r->g->current = (Origin){0};
    return r->g;
}
