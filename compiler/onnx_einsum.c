/* SPDX-License-Identifier: Apache-2.0 */
/* Einsum. Each operand is brought to distinct labels (a diagonal where one is repeated); what no
 * one else needs is summed; then operands are contracted from left to right, each pair as one
 * batched matrix product. The ellipsis is labels of its own, aligned at the end. */
#include "onnx_node.h"

#include <ctype.h>
#include <string.h>

enum { MAX_LABELS = 64, ELLIPSIS = 52 }; /* letters first, then places in the ellipsis */

typedef struct Term { /* a value and the label of each of its axes */
    Ref r;
    int rank;
    uint8_t label[MAX_RANK];
} Term;

typedef uint64_t Set;

static Set bit(int label)
{
    return UINT64_C(1) << label;
}

static Set labels_of(const Term *t)
{
    Set s = 0;
    for (int i = 0; i < t->rank; i++) s |= bit(t->label[i]);
    return s;
}

static int letter(char c)
{
    return islower((unsigned char)c) ? c - 'a' : c - 'A' + 26;
}

/* ---- the equation ---- */

/* Labels of one term, up to ',' or '-' or the end. `dots` axes stand for the ellipsis. */
static const char *read_term(const OnnxNode *n, const char *p, int dots, Term *t)
{
    t->rank = 0;
    for (; *p && *p != ',' && *p != '-'; p++) {
        bool more = !strncmp(p, "...", 3);
        if (*p == ' ') continue;
        if (!more && !isalpha((unsigned char)*p)) onnx_fail(n, "equation: '%c' is no label", *p);
        if (t->rank + (more ? dots : 1) > MAX_RANK) onnx_fail(n, "equation: rank above 8");
        if (!more) t->label[t->rank++] = (uint8_t)letter(*p);
        for (int i = 0; more && i < dots; i++)
            t->label[t->rank++] = (uint8_t)(ELLIPSIS + MAX_RANK - dots + i);
        if (more) p += 2;
    }
    return p;
}

static const char *read_operand(const OnnxNode *n, const char *p, Ref r, Term *t)
{
    int rank = onnx_type(n, r).rank;
    read_term(n, p, 0, t);
    int dots = rank - t->rank;
    const char *end = read_term(n, p, dots > 0 ? dots : 0, t);
    t->r = r;
    if (t->rank != rank) onnx_fail(n, "equation: %d labels for rank %d", t->rank, rank);
    return end;
}

static bool once(const Term *t, int n, int label)
{
    int count = 0;
    for (int i = 0; i < n; i++)
        for (int a = 0; a < t[i].rank; a++) count += t[i].label[a] == label;
    return count == 1;
}

/* Without an arrow: the ellipsis, then letters that occur once, in alphabetical order. */
static void implied_result(const OnnxNode *n, const Term *t, int k, Term *out)
{
    Set all = 0;
    char order[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    for (int i = 0; i < k; i++) all |= labels_of(&t[i]);
    out->rank = 0;
    for (int i = ELLIPSIS; i < ELLIPSIS + MAX_RANK; i++)
        if (all & bit(i) && out->rank < MAX_RANK) out->label[out->rank++] = (uint8_t)i;
    for (int i = 0; order[i]; i++) {
        if (!once(t, k, letter(order[i]))) continue;
        if (out->rank == MAX_RANK) onnx_fail(n, "equation: rank above 8");
        out->label[out->rank++] = (uint8_t)letter(order[i]);
    }
}

static int dots_of(const Term *t, int k)
{
    int most = 0;
    for (int i = 0; i < k; i++) {
        int dots = 0;
        for (int a = 0; a < t[i].rank; a++) dots += t[i].label[a] >= ELLIPSIS;
        most = dots > most ? dots : most;
    }
    return most;
}

static void read_result(const OnnxNode *n, const char *p, const Term *t, int k, Term *out)
{
    Set all = 0;
    for (int i = 0; i < k; i++) all |= labels_of(&t[i]);
    if (!*p) {
        implied_result(n, t, k, out);
        return;
    }
    if (strncmp(p, "->", 2)) onnx_fail(n, "equation: too many operands");
    if (*read_term(n, p + 2, dots_of(t, k), out)) onnx_fail(n, "equation: more than one result");
    if (labels_of(out) & ~all) onnx_fail(n, "equation: a label of the result is new");
    for (int i = 0; i < out->rank; i++)
        if (!once(out, 1, out->label[i])) onnx_fail(n, "equation: the result repeats a label");
}

/* ---- one operand ---- */

static int place_of(const Term *t, int label)
{
    for (int i = 0; i < t->rank; i++)
        if (t->label[i] == label) return i;
    return -1;
}

static int64_t extent(const OnnxNode *n, const Term *t, int label)
{
    int at = place_of(t, label);
    return at < 0 ? 1 : onnx_type(n, t->r).dim[at];
}

static void sum_axis(const OnnxNode *n, Term *t, int axis)
{
    t->r = b_reduce(n->g, OP_sum, t->r, 1, &axis);
    t->r = onnx_drop_axes(n, t->r, 1, &axis);
    memmove(t->label + axis, t->label + axis + 1, (size_t)(--t->rank - axis));
}

/* The diagonal of two axes: zero off it, then summed over the second. */
static void diagonal(const OnnxNode *n, Term *t, int first, int second)
{
    Type type = onnx_type(n, t->r), index = type_with(type, DT_I64);
    if (type.dim[first] != type.dim[second]) onnx_fail(n, "equation: a label has two extents");
    Ref row = b_iota(n->g, index, first), column = b_iota(n->g, index, second);
    Ref on = b_binary(n->g, OP_eq, row, column);
    t->r = b_select(n->g, on, t->r, b_like(n->g, t->r, 0));
    sum_axis(n, t, second);
}

static void reduce_to(const OnnxNode *n, Term *t, Set keep)
{
    for (int i = t->rank - 1; i > 0; i--) {
        int first = place_of(t, t->label[i]);
        if (first < i) diagonal(n, t, first, i);
    }
    for (int i = t->rank - 1; i >= 0; i--)
        if (!(keep & bit(t->label[i]))) sum_axis(n, t, i);
}

/* Axes in the order of `order`, those that t lacks of extent 1. */
static Ref ordered(const OnnxNode *n, const Term *t, const uint8_t *order, int k)
{
    int perm[MAX_RANK], rank = 0;
    int64_t dim[MAX_LABELS];
    for (int i = 0; i < k; i++) {
        int at = place_of(t, order[i]);
        if (at >= 0) perm[rank++] = at;
        dim[i] = extent(n, t, order[i]);
    }
    check(rank == t->rank);
    return b_reshape(n->g, b_transpose(n->g, t->r, perm), k, dim);
}

/* ---- two operands ---- */

typedef struct Split { /* labels by their part in a product */
    uint8_t batch[MAX_LABELS], rows[MAX_LABELS], columns[MAX_LABELS], inner[MAX_LABELS];
    int nbatch, nrows, ncolumns, ninner;
} Split;

/* In the order of a's axes, then b's. A label of which one operand has extent 1 (an ellipsis may)
 * is broadcast. */
static Split split_labels(const Term *a, const Term *b, Set keep)
{
    Split s = {.nbatch = 0};
    for (int i = 0; i < a->rank; i++) {
        int l = a->label[i];
        bool shared = place_of(b, l) >= 0;
        if (!shared)
            s.rows[s.nrows++] = (uint8_t)l;
        else if (keep & bit(l))
            s.batch[s.nbatch++] = (uint8_t)l;
        else
            s.inner[s.ninner++] = (uint8_t)l;
    }
    for (int i = 0; i < b->rank; i++)
        if (place_of(a, b->label[i]) < 0) s.columns[s.ncolumns++] = b->label[i];
    return s;
}

static int64_t extent_of_both(const OnnxNode *n, const Term *a, const Term *b, int label)
{
    int64_t x = extent(n, a, label), y = extent(n, b, label);
    if (x != y && x != 1 && y != 1) onnx_fail(n, "equation: a label has two extents");
    return x > y ? x : y;
}

/* t as [batch.., p, q], p and q each the product of its labels. */
static Ref as_matrices(const OnnxNode *n, const Term *t, const Split *s, const int64_t *batch,
                       const uint8_t *p, int np, const uint8_t *q, int nq, bool inner_last,
                       int64_t inner)
{
    uint8_t order[MAX_LABELS];
    int64_t dim[MAX_RANK], one = 1, two = 1;
    int k = s->nbatch;
    memcpy(order, s->batch, (size_t)k);
    memcpy(order + k, p, (size_t)np);
    memcpy(order + k + np, q, (size_t)nq);
    Ref r = ordered(n, t, order, k + np + nq);
    for (int i = 0; i < np; i++) one *= extent(n, t, p[i]);
    for (int i = 0; i < nq; i++) two *= extent(n, t, q[i]);
    for (int i = 0; i < k; i++) dim[i] = extent(n, t, s->batch[i]);
    dim[k] = one;
    dim[k + 1] = two;
    r = b_reshape(n->g, r, k + 2, dim);
    memcpy(dim, batch, sizeof *dim * (size_t)k);
    dim[inner_last ? k + 1 : k] = inner;
    return b_broadcast(n->g, r, k + 2, dim);
}

/* What is left has the labels batch, rows, columns. */
static Term contract(const OnnxNode *n, const Term *a, const Term *b, Set keep)
{
    Split s = split_labels(a, b, keep);
    int64_t dim[MAX_LABELS], inner = 1;
    Term t = {.rank = s.nbatch + s.nrows + s.ncolumns};
    if (t.rank > MAX_RANK || s.nbatch + 2 > MAX_RANK) onnx_fail(n, "equation: rank above 8");
    for (int i = 0; i < s.nbatch; i++) dim[i] = extent_of_both(n, a, b, s.batch[i]);
    for (int i = 0; i < s.ninner; i++) inner *= extent_of_both(n, a, b, s.inner[i]);
    Ref left = as_matrices(n, a, &s, dim, s.rows, s.nrows, s.inner, s.ninner, true, inner);
    Ref right = as_matrices(n, b, &s, dim, s.inner, s.ninner, s.columns, s.ncolumns, false, inner);
    memcpy(t.label, s.batch, (size_t)s.nbatch);
    memcpy(t.label + s.nbatch, s.rows, (size_t)s.nrows);
    memcpy(t.label + s.nbatch + s.nrows, s.columns, (size_t)s.ncolumns);
    for (int i = 0; i < s.nrows; i++) dim[s.nbatch + i] = extent(n, a, s.rows[i]);
    for (int i = 0; i < s.ncolumns; i++) dim[s.nbatch + s.nrows + i] = extent(n, b, s.columns[i]);
    t.r = b_reshape(n->g, b_matmul(n->g, left, right), t.rank, dim);
    return t;
}

/* ---- the whole ---- */

void build_einsum(OnnxNode *n)
{
    const char *p = onnx_str(n, "equation", "");
    Term *t = NEW_N(n->g->arena, Term, n->nin + 1), out = {.rank = 0};
    for (int i = 0; i < n->nin; i++) {
        p = read_operand(n, p, onnx_in(n, i), &t[i]);
        if (i + 1 < n->nin && *p++ != ',') onnx_fail(n, "equation: too few operands");
    }
    if (!n->nin) onnx_in(n, 0);
    read_result(n, p, t, n->nin, &out);
    Term sum = t[0];
    for (int i = 0; i < n->nin; i++) {
        Set later = labels_of(&out);
        for (int j = i + 1; j < n->nin; j++) later |= labels_of(&t[j]);
        if (i == 0) {
            reduce_to(n, &sum, later);
            continue;
        }
        reduce_to(n, &t[i], later | labels_of(&sum));
        reduce_to(n, &sum, later | labels_of(&t[i]));
        sum = contract(n, &sum, &t[i], later);
    }
    onnx_out(n, 0, ordered(n, &sum, out.label, out.rank));
}
