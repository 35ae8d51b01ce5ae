/* SPDX-License-Identifier: Apache-2.0 */
/* Convolutions and matrix products, with weights that are text of a few lines. */
#include <math.h>

#include "gen.h"

/* Constant weights of any size out of constants that print whole. */
static Ref weights(Gen *s, int rank, const int64_t *dim)
{
    Type t = type_of(DT_F64, rank, dim);
    Ref sum = NOREF;
    double v[16];
    for (int d = 0; d < rank; d++) {
        int64_t one[MAX_RANK] = {1, 1, 1, 1, 1, 1, 1, 1}, small = dim[d] < 16 ? dim[d] : 1;
        for (int i = 0; i < 16; i++) v[i] = rng_uniform(s->rng, -1, 1);
        one[d] = small;
        Ref part = graph_const(s->g, type_of(DT_F64, rank, one), v);
        if (small != dim[d]) { /* a ramp */
            one[d] = dim[d];
            part = b_iota(s->g, type_of(DT_F64, rank, one), d);
            part = b_binary(s->g, OP_mul, part, splat(s, part, 1.0 / (double)dim[d]));
        }
        part = b_broadcast(s->g, part, rank, dim);
        sum = sum == NOREF ? part : b_binary(s->g, below(s, 2) ? OP_mul : OP_add, sum, part);
    }
    double fan = (double)type_count(t) / (double)dim[0];
    return scaled(s, sum, 1 / sqrt(fan));
}

static ConvAttrs random_conv(Gen *s, int k)
{
    ConvAttrs c = {.k = k, .groups = 1};
    for (int d = 0; d < k; d++) {
        c.strides[d] = 1 + (below(s, 3) == 0);
        c.dilations[d] = 1 + (below(s, 5) == 0);
        c.pads[d] = below(s, 3);
        c.pads[k + d] = below(s, 4) ? c.pads[d] : below(s, 3);
    }
    return c;
}

static void conv(Gen *s)
{
    static const int outs[] = {1, 3, 4, 8, 16, 32}, kernels[] = {1, 2, 3, 3};
    int k = 1 + (below(s, 4) > 0);
    Ref x = any_of_rank(s, k + 2);
    if (x == NOREF) return;
    Type t = type(s, x);
    ConvAttrs c = random_conv(s, k);
    int64_t dim[5] = {outs[below(s, 6)], t.dim[1]};
    if (below(s, 5) == 0 && t.dim[1] % 2 == 0 && dim[0] % 2 == 0) c.groups = 2, dim[1] /= 2;
    for (int d = 0; d < k; d++) dim[2 + d] = kernels[below(s, 4)];
    Ref w = weights(s, k + 2, dim), y = b_conv(s->g, x, w, &c);
    if (below(s, 3) == 0) y = b_relu(s->g, y);
    add(s, y);
    if (below(s, 2)) add(s, scaled(s, b_conv_dx(s->g, y, w, &c, t.dim + 2), 0.5));
}

static void matmul(Gen *s)
{
    Ref a = any(s);
    Type t = type(s, a);
    if (t.rank == 2) {
        Ref w = weights(s, 2, (int64_t[]){t.dim[1], 1 + below(s, 9)});
        add(s, b_matmul(s->g, a, w));
    } else if (t.rank == 3) {
        int perm[] = {0, 2, 1};
        Ref b = b_transpose(s->g, any_like(s, a), perm);
        add(s, scaled(s, b_matmul(s->g, a, b), 1 / sqrt((double)t.dim[2])));
    }
}

void grow_contract(Gen *s)
{
    below(s, 3) ? conv(s) : matmul(s);
}
