/* SPDX-License-Identifier: Apache-2.0 */
/* matmul and the three partials of the trilinear form of convolution,
 *
 *   T(x, w, dy) = sum over samples, groups, o, t, p of  w[o, t] * dy[o, p] * xp[tap[t] + place[p]]
 *
 * where xp is the zero-padded image of one group, t runs over channel and kernel position, p over
 * output positions. conv sums over t, conv_dw over p, conv_dx over o: one table of offsets serves
 * all three, which is what makes them each other's partials. One to three spatial axes are taken as
 * three. Sums run in one fixed order in double (int64 for integers) and round when stored. */
#include "eval_impl.h"

#include <stdlib.h>
#include <string.h>

/* ---- matrix products ---- */

enum { LANES = 4, ROWS = 4 };

/* c[r][j] += sum over i < k of a[r * lda + i] * panel[i][j], for R rows and LANES columns. */
#define TILE(name, R, field, T)                                                                    \
    static void name(int64_t k, const Scalar *a, int64_t lda, const Scalar *panel, Scalar *c)      \
    {                                                                                              \
        T acc[R][LANES];                                                                           \
        for (int r = 0; r < R; r++)                                                                \
            for (int j = 0; j < LANES; j++) acc[r][j] = (T)c[r * LANES + j].field;                 \
        for (int64_t i = 0; i < k; i++, panel += LANES)                                            \
            for (int r = 0; r < R; r++)                                                            \
                for (int j = 0; j < LANES; j++)                                                    \
                    acc[r][j] += (T)a[r * lda + i].field * (T)panel[j].field;                      \
        for (int r = 0; r < R; r++)                                                                \
            for (int j = 0; j < LANES; j++) c[r * LANES + j].field = acc[r][j];                    \
    }
TILE(tile_f, ROWS, f, double)
TILE(row_f, 1, f, double)
TILE(tile_i, ROWS, i, uint64_t)
TILE(row_i, 1, i, uint64_t)

/* c[m][LANES] += a[m][k] * panel[k][LANES] */
static void product(bool isf, int64_t m, int64_t k, const Scalar *a, const Scalar *panel, Scalar *c)
{
    int64_t r = 0;
    for (; r + ROWS <= m; r += ROWS) {
        (isf ? tile_f : tile_i)(k, a + r * k, k, panel, c + r * LANES);
    }
    for (; r < m; r++) (isf ? row_f : row_i)(k, a + r * k, k, panel, c + r * LANES);
}

/* Columns [j, j + LANES) of b[k][n]; beyond n the panel holds zeros. */
static void pack(int64_t k, int64_t n, const Scalar *b, int64_t j, Scalar *panel)
{
    for (int64_t i = 0; i < k; i++) {
        for (int64_t l = 0; l < LANES; l++) {
            panel[i * LANES + l] = j + l < n ? b[i * n + j + l] : (Scalar){0};
        }
    }
}

/* Rows of c[m][LANES] to columns [j, j + LANES) of out[m][n]. */
static void unpack(int64_t m, int64_t n, const Scalar *c, int64_t j, Scalar *out)
{
    int64_t width = n - j < LANES ? n - j : LANES;
    for (int64_t r = 0; r < m; r++) {
        memcpy(out + r * n + j, c + r * LANES, sizeof *c * (size_t)width);
    }
}

static void zero(Scalar *s, int64_t n)
{
    memset(s, 0, sizeof *s * (size_t)n);
}

void eval_matmul(const EvalCall *e)
{
    Type t = e->out->type;
    int64_t m = t.dim[t.rank - 2], n = t.dim[t.rank - 1], k = e->args[0].type.dim[t.rank - 1];
    int64_t batch = count_dims(t.dim, 0, t.rank - 2);
    Scalar *a = scalars_new(&e->args[0]), *b = scalars_new(&e->args[1]);
    Scalar *panel = eval_alloc(k * LANES, sizeof *panel), *c = eval_alloc(m * LANES, sizeof *c);
    Scalar *out = eval_alloc(m * n, sizeof *out);
    for (int64_t i = 0; i < batch; i++) {
        for (int64_t j = 0; j < n; j += LANES) {
            pack(k, n, b + i * k * n, j, panel);
            zero(c, m * LANES);
            product(dtype_is_float(t.dtype), m, k, a + i * m * k, panel, c);
            unpack(m, n, c, j, out);
        }
        scalars_store(t.dtype, e->out->data, i * m * n, m * n, out);
    }
    free(a);
    free(b);
    free(panel);
    free(c);
    free(out);
}

/* ---- the geometry of a convolution ---- */

typedef struct Conv {
    DType dtype;
    bool isf;
    int64_t samples, groups, c, o; /* c channels in and o features out of one group */
    int64_t in[3], out[3], kernel[3], stride[3], dilation[3], low[3], padded[3];
    int64_t image, inside; /* elements of one group's image, padded and not */
    int64_t taps, places;
    int64_t *tap, *place; /* T's offsets into the padded image */
    Scalar *xp;           /* [c][padded] */
    Scalar *panel, *acc;  /* scratch of the products */
} Conv;

/* Offsets of every index of [d0, d1, d2], axis i advancing by step[i] padded elements. */
static void offsets(const int64_t *padded, const int64_t *dim, const int64_t *step, int64_t *out)
{
    int64_t n = 0;
    for (int64_t z = 0; z < dim[0]; z++)
        for (int64_t y = 0; y < dim[1]; y++)
            for (int64_t x = 0; x < dim[2]; x++)
                out[n++] = (z * step[0] * padded[1] + y * step[1]) * padded[2] + x * step[2];
}

static void conv_offsets(Conv *v)
{
    int64_t plane = count_dims(v->padded, 0, 3), each = count_dims(v->kernel, 0, 3);
    v->taps = v->c * each;
    v->places = count_dims(v->out, 0, 3);
    v->tap = eval_alloc(v->taps, sizeof *v->tap);
    v->place = eval_alloc(v->places, sizeof *v->place);
    offsets(v->padded, v->out, v->stride, v->place);
    offsets(v->padded, v->kernel, v->dilation, v->tap);
    for (int64_t t = each; t < v->taps; t++) v->tap[t] = v->tap[t - each] + plane;
}

/* Spatial axis i of k is axis 3 - k + i of three; the others have extent 1. */
static void conv_axes(Conv *v, const Attr *attr, const Type *x, const Type *w, const Type *y)
{
    int k = x->rank - 2;
    for (int i = 0; i < 3; i++) {
        int a = i - (3 - k);
        v->in[i] = v->out[i] = v->kernel[i] = v->stride[i] = v->dilation[i] = v->padded[i] = 1;
        v->low[i] = 0;
        if (a < 0) continue;
        v->in[i] = x->dim[2 + a];
        v->kernel[i] = w->dim[2 + a];
        v->out[i] = y->dim[2 + a];
        v->stride[i] = attr[0].i[a];
        v->low[i] = attr[1].i[a];
        v->padded[i] = v->in[i] + attr[1].i[a] + attr[1].i[k + a];
        v->dilation[i] = attr[2].i[a];
    }
}

static Conv conv_new(const Attr *attr, const Type *x, const Type *w, const Type *y)
{
    Conv v = {.dtype = x->dtype, .isf = dtype_is_float(x->dtype), .samples = x->dim[0]};
    v.groups = attr[3].i[0];
    v.c = w->dim[1];
    v.o = w->dim[0] / v.groups;
    conv_axes(&v, attr, x, w, y);
    conv_offsets(&v);
    v.image = v.c * count_dims(v.padded, 0, 3);
    v.inside = v.c * count_dims(v.in, 0, 3);
    v.xp = eval_alloc(v.image, sizeof *v.xp);
    int64_t longest = v.taps > v.places ? v.taps : v.places;
    if (v.o > longest) longest = v.o;
    v.panel = eval_alloc(longest * LANES, sizeof *v.panel);
    v.acc = eval_alloc(longest * LANES, sizeof *v.acc);
    return v;
}

static void conv_free(Conv *v)
{
    free(v->tap);
    free(v->place);
    free(v->xp);
    free(v->panel);
    free(v->acc);
}

/* Copies one group's image x[c][in] into the padded one, or back out of it. */
static void image_copy(Conv *v, Scalar *x, bool back)
{
    const int64_t dim[4] = {v->c, v->in[0], v->in[1], v->in[2]};
    const int64_t padded[4] = {v->c, v->padded[0], v->padded[1], v->padded[2]};
    int64_t s[4], sp[4];
    dense_strides(4, dim, s);
    dense_strides(4, padded, sp);
    Scalar *xp = v->xp + v->low[0] * sp[1] + v->low[1] * sp[2] + v->low[2];
    if (back) {
        strided_copy(4, dim, x, s, xp, sp, sizeof *x);
    } else {
        strided_copy(4, dim, xp, sp, x, s, sizeof *x);
    }
}

/* panel[i][l] = xp[row[i] + column[j + l]] */
static void pack_image(const Conv *v, const int64_t *row, int64_t k, const int64_t *column,
                       int64_t n, int64_t j)
{
    int64_t at[LANES];
    for (int64_t l = 0; l < LANES; l++) at[l] = column[j + l < n ? j + l : n - 1];
    for (int64_t i = 0; i < k; i++) {
        for (int64_t l = 0; l < LANES; l++) v->panel[i * LANES + l] = v->xp[row[i] + at[l]];
    }
}

/* ---- the three partials, one sample and group at a time ---- */

/* y[o][p] = sum over t of w[o][t] * xp[tap[t] + place[p]] */
static void group_conv(Conv *v, Scalar *x, Scalar *w, Scalar *y)
{
    image_copy(v, x, false);
    for (int64_t p = 0; p < v->places; p += LANES) {
        pack_image(v, v->tap, v->taps, v->place, v->places, p);
        zero(v->acc, v->o * LANES);
        product(v->isf, v->o, v->taps, w, v->panel, v->acc);
        unpack(v->o, v->places, v->acc, p, y);
    }
}

/* dw[o][t] += sum over p of dy[o][p] * xp[tap[t] + place[p]] */
static void group_conv_dw(Conv *v, Scalar *x, Scalar *dw, Scalar *dy)
{
    image_copy(v, x, false);
    for (int64_t t = 0; t < v->taps; t += LANES) {
        pack_image(v, v->place, v->places, v->tap, v->taps, t);
        pack(v->o, v->taps, dw, t, v->acc);
        product(v->isf, v->o, v->places, dy, v->panel, v->acc);
        unpack(v->o, v->taps, v->acc, t, dw);
    }
}

/* xp[tap[t] + place[p]] += acc[t][p], for the places of one panel */
static void scatter_image(const Conv *v, int64_t p)
{
    int64_t width = v->places - p < LANES ? v->places - p : LANES;
    for (int64_t t = 0; t < v->taps; t++) {
        for (int64_t l = 0; l < width; l++) {
            Scalar *to = &v->xp[v->tap[t] + v->place[p + l]], from = v->acc[t * LANES + l];
            if (v->isf) {
                to->f += from.f;
            } else {
                to->i = (int64_t)((uint64_t)to->i + (uint64_t)from.i);
            }
        }
    }
}

/* xp[tap[t] + place[p]] += sum over o of w[o][t] * dy[o][p]; wt is w transposed, [t][o] */
static void group_conv_dx(Conv *v, Scalar *dx, Scalar *wt, Scalar *dy)
{
    zero(v->xp, v->image);
    for (int64_t p = 0; p < v->places; p += LANES) {
        pack(v->o, v->places, dy, p, v->panel);
        zero(v->acc, v->taps * LANES);
        product(v->isf, v->taps, v->o, wt, v->panel, v->acc);
        scatter_image(v, p);
    }
    image_copy(v, dx, true);
}

/* ---- over samples and groups ---- */

typedef void GroupFn(Conv *, Scalar *x, Scalar *w, Scalar *y);

static void each_group(Conv *v, GroupFn *fn, Scalar *x, Scalar *w, Scalar *y)
{
    for (int64_t n = 0; n < v->samples; n++) {
        for (int64_t g = 0; g < v->groups; g++) {
            int64_t i = n * v->groups + g;
            fn(v, x + i * v->inside, w + g * v->o * v->taps, y + i * v->o * v->places);
        }
    }
}

/* Runs fn on x, w, y, one of which is the result and starts at zero. */
static void conv_run(Conv *v, GroupFn *fn, Scalar *x, Scalar *w, Scalar *y, Tensor *out,
                     Scalar *result)
{
    each_group(v, fn, x, w, y);
    scalars_store(v->dtype, out->data, 0, type_count(out->type), result);
    free(x);
    free(w);
    free(y);
    conv_free(v);
}

void eval_conv(const EvalCall *e)
{
    Conv v = conv_new(e->attr, &e->args[0].type, &e->args[1].type, &e->out->type);
    Scalar *y = eval_alloc(type_count(e->out->type), sizeof *y);
    conv_run(&v, group_conv, scalars_new(&e->args[0]), scalars_new(&e->args[1]), y, e->out, y);
}

void eval_conv_dw(const EvalCall *e)
{
    Conv v = conv_new(e->attr, &e->args[0].type, &e->out->type, &e->args[1].type);
    Scalar *dw = eval_alloc(type_count(e->out->type), sizeof *dw);
    conv_run(&v, group_conv_dw, scalars_new(&e->args[0]), dw, scalars_new(&e->args[1]), e->out, dw);
}

/* [groups][o][taps] to [groups][taps][o]: the products walk rows. */
static Scalar *transposed(const Conv *v, const Tensor *w)
{
    const int64_t dim[3] = {v->groups, v->o, v->taps};
    const int64_t from[3] = {v->o * v->taps, v->taps, 1}, to[3] = {v->o * v->taps, 1, v->o};
    Scalar *s = scalars_new(w), *t = eval_alloc(type_count(w->type), sizeof *t);
    strided_copy(3, dim, t, to, s, from, sizeof *s);
    free(s);
    return t;
}

void eval_conv_dx(const EvalCall *e)
{
    Conv v = conv_new(e->attr, &e->out->type, &e->args[1].type, &e->args[0].type);
    Scalar *dx = eval_alloc(type_count(e->out->type), sizeof *dx);
    conv_run(&v, group_conv_dx, dx, transposed(&v, &e->args[1]), scalars_new(&e->args[0]), e->out,
             dx);
}
