/* SPDX-License-Identifier: Apache-2.0 */
#include "tools/opt/sample_target.h"

#include <string.h>

static Layout weights_layout(int result, int data, int v, const Contract *c)
{
    int64_t per = data == 1 ? c->ic : c->oc, out = result == 0 ? c->oc : c->ic;
    Layout l = {.rank = 4, .ndigit = 6};
    Digit d[6] = {{result, v, out / v, 0}, {data, v, per / v, 0}, {2, 1, c->kh, 0},
                  {3, 1, c->kw, 0},        {data, 1, v, 0},       {result, 1, v, 0}};
    memcpy(l.digit, d, sizeof d);
    return l;
}

/* Of the third face both operands are data. */
static bool offer_dw(const Contract *c, Type x, Type y, int v, Offer *o)
{
    int64_t low[] = {c->ph, c->pw}, high[] = {c->ph2, c->pw2};
    *o = (Offer){.claim = 0, .vec_dim = 1, .lanes = v};
    o->in = layout_blocked(x, v, low, high);
    o->w = layout_blocked(y, v, NULL, NULL);
    o->out = layout_blocked(type_of(c->dtype, 4, (int64_t[]){c->oc, c->ic, c->kh, c->kw}), v, NULL,
                            NULL);
    return true;
}

static bool offer(const Target *t, const Contract *c, Offer *o)
{
    int v = target_lanes(t, c->dtype);
    if (c->groups != 1 || c->ic % v || c->oc % v) return false;
    bool forward = c->op == OP_conv;
    Type x = type_of(c->dtype, 4, (int64_t[]){c->batch, c->ic, c->ih, c->iw});
    Type y = type_of(c->dtype, 4, (int64_t[]){c->batch, c->oc, c->oh, c->ow});
    if (c->op == OP_conv_dw) return offer_dw(c, x, y, v, o);
    int64_t low[] = {forward ? c->ph : c->kh - 1, forward ? c->pw : c->kw - 1};
    int64_t high[] = {forward ? c->ph2 : c->kh - 1, forward ? c->pw2 : c->kw - 1};
    *o = (Offer){.claim = 0, .vec_dim = 1, .lanes = v};
    o->in = layout_blocked(forward ? x : y, v, low, high);
    o->out = layout_blocked(forward ? y : x, v, NULL, NULL);
    o->w = forward ? weights_layout(0, 1, v, c) : weights_layout(1, 0, v, c);
    return true;
}

#define VECTORS                                                                                    \
    .name = "test", .triple = "test", .cpu = "test", .vec_bytes = 32, .vec_regs = 16, .fma = true, \
    .l1 = 32768, .l2 = 1 << 20
const Target sample_claiming = {VECTORS, .dot = 1, .offer = offer};
const Target sample_vectors = {VECTORS};
const Target sample_scalar = {.name = "test", .triple = "test", .cpu = "test", .gpu = true};
