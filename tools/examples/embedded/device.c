/* SPDX-License-Identifier: Apache-2.0 */
/* For who has no libc: all memory is static and its size a constant of the header that the compiler
 * wrote. Nothing is allocated, opened or printed. */
#include "device.h"

#include "net.h"

enum { ARENA_LIMIT = 2 << 20 }; /* what this board has */
_Static_assert(NET_FORWARD_ARENA(1) <= ARENA_LIMIT, "the model does not fit the board");
_Static_assert(NET_FORWARD_SLOTS == 1, "compile with BATCH 1: more slots only cost memory");

static _Alignas(64) unsigned char arena[NET_FORWARD_ARENA(1)];
static float image[DEVICE_PIXELS], logits[DEVICE_CLASSES];

const DeviceMemory device_memory = {NET_FORWARD_ARENA(1), NET_FORWARD_STACK,
                                    sizeof image + sizeof logits};

int device_classify(const uint8_t pixels[DEVICE_PIXELS])
{
    static void *const io[] = {image, logits};
    AdjCall call = {.size = sizeof call, .n = 1, .io = io, .arena = arena};
    int best = 0;
    call.arena_bytes = sizeof arena;
    for (int i = 0; i < DEVICE_PIXELS; i++) image[i] = (float)pixels[i] / 255.0f;
    int code = net_forward(0, &call);
    if (code != ADJ_OK) return code;
    for (int c = 1; c < DEVICE_CLASSES; c++)
        if (logits[c] > logits[best]) best = c;
    return best;
}
