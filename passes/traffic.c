/* SPDX-License-Identifier: Apache-2.0 */
/* How many bytes a call moves: what profiles divide by, and what teams deal kernels out by. */
#include "lowering.h"

static double buffer_traffic(const Buffer *b)
{
    double bytes = (double)b->bytes;
    if (!bytes) bytes = (double)layout_bytes(&b->layout, b->dtype);
    return b->sample ? bytes / (double)b->layout.digit[0].extent : bytes;
}

/* Cells of a slot that an access of these axes may touch. */
static double cells_of(const Kernel *k, uint32_t axes)
{
    double cells = 1;
    for (int a = 0; a < k->naxis; a++)
        if (axes >> a & 1 && !k->axis[a].sample) cells *= (double)k->axis[a].extent;
    return cells;
}

/* Bytes of a slot that a kernel moves through a parameter: all there are, or of a large buffer what
 * its loads and stores touch. */
double call_traffic(const Kernel *k, int p, const Buffer *b)
{
    double cells = 0, all = buffer_traffic(b);
    for (KRef r = 0; r < k->nexpr; r++)
        if (k->expr[r].kop == K_LOAD && k->expr[r].param == p)
            cells += cells_of(k, k->expr[r].axes);
    for (int i = 0; i < k->nstore; i++) {
        uint32_t axes = 0;
        for (int d = 0; d < k->store[i].rank; d++) axes |= k->expr[k->store[i].index[d]].axes;
        if (k->store[i].param == p) cells += cells_of(k, axes);
    }
    double touched = cells * dtype_bytes(b->dtype);
    return cells > 0 && touched < all ? touched : all;
}
