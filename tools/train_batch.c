/* SPDX-License-Identifier: Apache-2.0 */
/* What is drawn for a batch, by the counter generator: a number depends on the seed, on the image
 * and on the epoch, never on what was drawn before it. */
#include <stdbool.h>
#include <string.h>

#include "ir/eval.h"
#include "tools/train.h"

enum { STREAM_ORDER = 100, STREAM_AUGMENT, STREAM_PICK, STREAM_ATTACKED };

/* An integer in [0, n). */
static int64_t draw(uint64_t seed, int64_t id, int stream, int64_t epoch, uint64_t element,
                    int64_t n)
{
    uint32_t word =
        philox_word(seed, (uint64_t)id, (uint32_t)stream, (uint32_t)epoch & 0xffffff, element);
    return (int64_t)(((uint64_t)word * (uint64_t)n) >> 32);
}

/* Fisher, Yates 1938. */
void batch_order(uint64_t seed, int64_t epoch, int64_t n, int64_t *order)
{
    for (int64_t i = 0; i < n; i++) order[i] = i;
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t j = draw(seed, epoch, STREAM_ORDER, 0, (uint64_t)i, i + 1), held = order[i];
        order[i] = order[j];
        order[j] = held;
    }
}

int64_t batch_pick(uint64_t seed, int64_t epoch, int64_t id, int64_t classes, double tandem)
{
    double u = philox_uniform(seed, (uint64_t)id, STREAM_PICK, (uint32_t)epoch & 0xffffff, 1);
    return u < tandem ? -1 : draw(seed, id, STREAM_PICK, epoch, 0, classes);
}

int64_t batch_attacked(uint64_t seed, int64_t epoch, int64_t id, double share)
{
    uint32_t at = (uint32_t)epoch & 0xffffff;
    return philox_uniform(seed, (uint64_t)id, STREAM_ATTACKED, at, 0) < share;
}

static int64_t clamped(int64_t i, int64_t n)
{
    return i < 0 ? 0 : i >= n ? n - 1 : i;
}

void batch_augment(const Augment *a, const AdjTensor *t, const void *in, void *out)
{
    int64_t h = t->dim[1], w = t->dim[2], span = 2 * (int64_t)a->crop + 1;
    int64_t dy = draw(a->seed, a->id, STREAM_AUGMENT, a->epoch, 0, span) - a->crop;
    int64_t dx = draw(a->seed, a->id, STREAM_AUGMENT, a->epoch, 1, span) - a->crop;
    bool mirror = a->flip && draw(a->seed, a->id, STREAM_AUGMENT, a->epoch, 2, 2);
    size_t size = tensor_bytes(t) / (size_t)tensor_elements(t);
    char *to = out;
    for (int64_t c = 0; c < t->dim[0]; c++)
        for (int64_t y = 0; y < h; y++)
            for (int64_t x = 0; x < w; x++, to += size) {
                int64_t column = clamped((mirror ? w - 1 - x : x) + dx, w);
                int64_t row = clamped(y + dy, h);
                memcpy(to, (const char *)in + (size_t)((c * h + row) * w + column) * size, size);
            }
}
