/* SPDX-License-Identifier: Apache-2.0 */
/* How a tap convolution is cut into register tiles. A tile is th rows x tw columns of results by
 * c blocks of V result channels, all in registers while the whole sum over data channels and taps
 * runs. Whatever the tile, an element's sum has one order: data block, ky, kx, channel in block; or
 * (tap_shares) data block, ky, channel in block, kx. */
#ifndef ADJ_TARGETS_CPU_TAPPLAN_H
#define ADJ_TARGETS_CPU_TAPPLAN_H

#include "ir/target.h"
#include "tapgeom.h"

#include <string.h>

/* Loops around the tiles, from the outside in; groups are of c blocks of result channels. */
typedef enum TapOrder {
    TAP_BY_SAMPLE, /* A: samples, groups, rows */
    TAP_BY_GROUP,  /* B: groups, samples, rows: weights are read once a batch */
    TAP_BY_ROWS    /* C: samples, blocks of rows, groups, rows of the block: data are read once */
} TapOrder;

typedef struct TapPlan {
    /* The largest tile: rows and columns are cut evenly into tiles no larger. Of matrix products
     * (tap_is_product) columns are samples, and the last go by smaller tiles. */
    int64_t th, tw, c;
    int64_t unroll; /* k-steps in a basic block */
    int64_t order;  /* TapOrder */
    double cost;    /* cycles for the whole batch */
} TapPlan;

/* A length cut evenly into pieces of at most `most`: first `longer` of size + 1, then `rest` of
 * size. */
typedef struct Cut {
    int64_t size, longer, rest;
} Cut;
Cut cut_evenly(int64_t length, int64_t most);

/* The least cost by a model of FMA and load rates; false: no tile fits the registers. */
bool tap_plan(const Target *, const Contract *, const TapShape *, TapPlan *);
/* Completes a plan of which some numbers are given, others below 0; false: why it cannot be (of
 * PLAN_WHY characters). */
bool tap_plan_fit(const Target *, const Contract *, const TapShape *, TapPlan *, char *why);
/* Results wanted at once to hide the latency of multiply-adds. */
enum { TAP_CHAINS = 8 };
/* Groups of channels that are parts of a vector: results of a vector sum over data of one vector,
 * each over its own few lanes. */
static inline bool tap_within(const TapShape *s, int lanes)
{
    return s->groups > 1 && tap_depth(s) < lanes;
}
enum { TAP_SHARED = 3 }; /* taps of a row, at most */
/* Rows of taps whose neighbours read the same data, each but once: an element's sum then goes over
 * the channels of a block outside the columns of the kernel row. All their weights wait in
 * registers (tap_held), of which AVX2 has too few for it to gain. `step` as by tap_step. */
static inline bool tap_shares(const Target *t, const TapShape *s, int64_t step)
{
    return step == 1 && s->groups == 1 && s->stride[1] == 1 && s->dilation[1] == 1 &&
           s->kernel[1] > 1 && s->kernel[1] <= TAP_SHARED && (t->vec_regs >= 32 || !t->fma);
}
/* Do a step's vectors of weights stay in registers? Not where instructions overwrite an operand, as
 * SSE's do (tile_weigh). */
static inline bool tap_holds_weights(const Target *t)
{
    return t->fma || t->vec_bytes != 16 || strcmp(t->name, "x86-64") != 0;
}
/* The registers that so many take. */
static inline int64_t tap_held(const Target *t, int64_t weights)
{
    return tap_holds_weights(t) ? weights : 0;
}
/* Multiply-adds whose time a step's broadcasts take: without fused ones a broadcast is a shuffle,
 * beside two instructions that make a multiply-add. */
static inline double tap_shuffles(const Target *t, double points)
{
    return t->fma ? 0 : points / 2;
}
/* Data channels of a step of the sum. */
static inline int64_t tap_step(const Contract *c)
{
    return c->bf16 ? 2 : 1;
}
/* Tiles of samples: what those of `size` leave goes by these; 0 behind tiles of one. */
static inline int64_t tap_next_panel(int64_t size)
{
    return size == 1 ? 0 : (size + 3) / 4;
}
/* Rows of tiles that order C runs over before the next group of channels. */
int64_t tap_block_rows(const Target *, const Contract *, const TapShape *, const TapPlan *);
/* Are weights to be fetched ahead of the tile that reads them? */
bool tap_fetches(const Target *, const Contract *, const TapShape *, const TapPlan *);
/* Is the next group's part of them, beside the tiles of this one? */
bool tap_fetches_next(const Target *, const Contract *, const TapShape *, const TapPlan *);
/* Are weights of which there are many fetched ahead at all? */
static inline bool tap_streams(const Target *t)
{
    return t->vec_bytes >= 32;
}
/* Do multiply-adds want weights faster than they come from outer caches of their own accord? */
static inline bool tap_outruns(const Target *t)
{
    return tap_streams(t) && t->rate >= 2;
}
enum { TAP_L2_RATE = 32 };       /* bytes a cycle from the L2 cache */
double tap_rate(const Target *); /* multiply-adds, and loads, a cycle */
/* Registers left for sums when `others` are in use. */
int64_t tap_registers(const Target *, int64_t others);
int64_t tap_unroll(
    int64_t steps); /* k-steps of one basic block: a divisor of the steps there are */

#endif
