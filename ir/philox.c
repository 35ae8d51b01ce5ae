/* SPDX-License-Identifier: Apache-2.0 */
/* Philox 4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC
 * 2011) and the rng row. A word depends on (seed, sample id, stream, draw, logical element) alone:
 * never on the batch, thread, chunk or device that asks for it. */
#include "eval_impl.h"

void philox_block(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0;
        uint64_t p1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

uint32_t philox_word(uint64_t seed, uint64_t id, uint32_t stream, uint32_t draw, uint64_t element)
{
    const uint32_t counter[4] = {(uint32_t)(element >> 2), stream << 24 | draw, (uint32_t)id,
                                 (uint32_t)(id >> 32)};
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    uint32_t out[4];
    philox_block(counter, key, out);
    return out[element & 3];
}

double philox_uniform(uint64_t seed, uint64_t id, uint32_t stream, uint32_t draw, uint64_t element)
{
    return (philox_word(seed, id, stream, draw, element) >> 8) * 0x1p-24;
}

void eval_rng(const EvalCall *e)
{
    const Tensor *id = &e->args[1], *draw = &e->args[2];
    Type t = e->out->type;
    uint64_t seed = (uint64_t)elem_get_int(e->args[0].type.dtype, e->args[0].data, 0);
    uint32_t stream = (uint32_t)e->attr[2].i[0];
    int64_t each = count_dims(t.dim, 1, t.rank);
    for (int64_t b = 0; b < t.dim[0]; b++) {
        uint64_t id_b = (uint64_t)elem_get_int(id->type.dtype, id->data, b);
        uint32_t draw_b = (uint32_t)elem_get_int(draw->type.dtype, draw->data, b);
        for (int64_t i = 0; i < each; i++) {
            Scalar u = {.f = philox_uniform(seed, id_b, stream, draw_b, (uint64_t)i)};
            scalars_store(t.dtype, e->out->data, b * each + i, 1, &u);
        }
    }
}
