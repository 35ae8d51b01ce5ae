/* SPDX-License-Identifier: Apache-2.0 */
/* logits WEIGHTS OUT: what the linked model makes of four fixed images with these weights, raw. */
#include <stdio.h>
#include <stdlib.h>

#include "m.h"

enum { PIXELS = 28 * 28, CLASSES = 10, IMAGES = 4 };

static float x[IMAGES][PIXELS], z[IMAGES][CLASSES];
static _Alignas(64) unsigned char weights[M_WEIGHTS_BYTES + 1];

int main(int argc, char **argv)
{
    FILE *in = argc == 3 ? fopen(argv[1], "rb") : NULL;
    if (!in || fread(weights, 1, sizeof weights, in) != M_WEIGHTS_BYTES) return 1;
    for (int i = 0; i < IMAGES * PIXELS; i++) x[0][i] = (float)(i * 37 % 256) / 255.0f;
    void *io[] = {x, z};
    AdjCall call = {.size = sizeof call, .n = IMAGES, .io = io, .weights = weights};
    call.arena_bytes = M_FORWARD_ARENA(1);
    call.arena = aligned_alloc(64, (call.arena_bytes + 63) / 64 * 64);
    if (!call.arena || m_forward(NULL, &call)) return 1;
    FILE *out = fopen(argv[2], "wb");
    return !out || fwrite(z, 1, sizeof z, out) != sizeof z || fclose(out);
}
