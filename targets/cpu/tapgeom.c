/* SPDX-License-Identifier: Apache-2.0 */
/* Classes of results, their taps, and the halo these read. For conv_dx the data row o and tap k of
 * result row r obey r + pad = o*stride + k*dilation, so within a class the taps are an arithmetic
 * progression and the data row falls as the tap rises. */
#include "tapgeom.h"

#include <string.h>

bool tap_shape(const Contract *c, TapShape *s)
{
    bool dx = c->op == OP_conv_dx;
    if (c->op != OP_conv && !dx) return false;
    *s = (TapShape){.dx = dx,
                    .data_ch = dx ? c->oc : c->ic,
                    .result_ch = dx ? c->ic : c->oc,
                    .groups = c->groups,
                    .data = {dx ? c->oh : c->ih, dx ? c->ow : c->iw},
                    .result = {dx ? c->ih : c->oh, dx ? c->iw : c->ow},
                    .kernel = {c->kh, c->kw},
                    .stride = {c->sh, c->sw},
                    .pad = {c->ph, c->pw},
                    .dilation = {c->dh, c->dw},
                    .data_dim = dx ? 0 : 1,
                    .result_dim = dx ? 1 : 0};
    return true;
}

Type tap_data(const Contract *c, const TapShape *s)
{
    return type_of(c->dtype, 4, (int64_t[]){c->batch, s->data_ch, s->data[0], s->data[1]});
}

Type tap_result(const Contract *c, const TapShape *s)
{
    return type_of(c->dtype, 4, (int64_t[]){c->batch, s->result_ch, s->result[0], s->result[1]});
}

int64_t tap_classes(const TapShape *s, int axis)
{
    return s->dx ? s->stride[axis] : 1;
}

static int64_t gcd(int64_t a, int64_t b)
{
    return b ? gcd(b, a % b) : a;
}

static TapAxis forward_axis(const TapShape *s, int axis)
{
    return (TapAxis){.points = s->result[axis],
                     .step = 1,
                     .taps = s->kernel[axis],
                     .k_tap = 1,
                     .in0 = -s->pad[axis],
                     .in_point = s->stride[axis],
                     .in_tap = s->dilation[axis]};
}

TapAxis tap_axis(const TapShape *s, int axis, int64_t class)
{
    if (!s->dx) return forward_axis(s, axis);
    int64_t stride = s->stride[axis], dilation = s->dilation[axis], k0 = 0;
    int64_t at = class + s->pad[axis], common = gcd(dilation, stride);
    TapAxis a = {.first = class,
                 .step = stride,
                 .in_point = 1,
                 .in_tap = -dilation / common,
                 .k_tap = stride / common};
    if (class < s->result[axis]) a.points = (s->result[axis] - class + stride - 1) / stride;
    while (k0 < s->kernel[axis] && (at - k0 * dilation) % stride != 0) k0++;
    if (k0 == s->kernel[axis]) return a;
    a.k0 = k0;
    a.taps = (s->kernel[axis] - 1 - k0) / a.k_tap + 1;
    a.in0 = (at - k0 * dilation) / stride;
    return a;
}

bool tap_is_product(const TapShape *s)
{
    for (int i = 0; i < 2; i++)
        if (s->data[i] != 1 || s->result[i] != 1 || s->kernel[i] != 1) return false;
    return s->groups == 1;
}

static void grow_halo(const TapAxis *a, int64_t extent, int64_t *low, int64_t *high)
{
    int64_t span = (a->taps - 1) * a->in_tap;
    int64_t first = a->in0 + (span < 0 ? span : 0);
    int64_t last = a->in0 + (a->points - 1) * a->in_point + (span > 0 ? span : 0);
    if (-first > *low) *low = -first;
    if (last - (extent - 1) > *high) *high = last - (extent - 1);
}

void tap_halo(const TapShape *s, int64_t low[2], int64_t high[2])
{
    for (int axis = 0; axis < 2; axis++) {
        low[axis] = high[axis] = 0;
        for (int64_t class = 0; class < tap_classes(s, axis); class ++) {
            TapAxis a = tap_axis(s, axis, class);
            if (a.points > 0 && a.taps > 0) grow_halo(&a, s->data[axis], &low[axis], &high[axis]);
        }
    }
}

static bool meets(const TapAxis *a, int64_t extent, int64_t first, int64_t tall, int64_t tap)
{
    int64_t from = a->in0 + first * a->in_point + tap * a->in_tap;
    return from + (tall - 1) * a->in_point >= 0 && from < extent;
}

void tap_met(const TapAxis *a, int64_t extent, int64_t first, int64_t tall, int64_t *from,
             int64_t *to)
{
    *from = 0;
    *to = a->taps;
    while (*from < *to && !meets(a, extent, first, tall, *from)) ++*from;
    while (*from < *to && !meets(a, extent, first, tall, *to - 1)) --*to;
}

bool tap_skips(const TapAxis *a, int64_t extent, int64_t tall)
{
    bool some = false;
    if (a->in_tap != 1 && a->in_tap != -1) return false;
    for (int64_t first = 0; first + tall <= a->points; first++) {
        int64_t from, to;
        tap_met(a, extent, first, tall, &from, &to);
        if (from == to) return false;
        some |= to - from < a->taps;
    }
    return some;
}

int layout_find(const Layout *l, int dim, int64_t div)
{
    for (int i = 0; i < l->ndigit; i++)
        if (l->digit[i].dim == dim && l->digit[i].div == div) return i;
    return -1;
}

int layout_digit(const Layout *l, int dim, int64_t div)
{
    int i = layout_find(l, dim, div);
    if (i < 0) die("no digit %d/%lld in a claimed operand's layout", dim, (long long)div);
    return i;
}

void layout_push(Layout *l, int dim, int64_t div, int64_t extent)
{
    check(l->ndigit < MAX_DIGITS);
    l->digit[l->ndigit++] = (Digit){.dim = dim, .div = div, .extent = extent};
}
