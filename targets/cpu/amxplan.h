/* SPDX-License-Identifier: Apache-2.0 */
/* How a convolution of bf16 is cut for matrix tiles (amxconv.c). A tile register has 16 rows of 64
 * bytes, and one instruction adds to 16 points x 16 results the products of 32 data channels.
 *
 * Blocks in memory are of `depth` = 32 channels, a row (16 where they are no multiple of 32;
 * target_block). At stride 1 data are read where they are. Others are copied first, those of some
 * rows of results at a time, into planes in which points that a stride puts apart lie side by side:
 *
 *   [data channel / depth] [row phase] [column phase] [row] [column] [depth]
 *
 * With stride s a plane holds every s-th row and column; phases are those that some tap meets. All
 * rows of a block of results are one run of points there, a plane's width apart: a tile may run
 * over the end of a row, and what it finds between two rows is computed and thrown away.
 *
 * Data of f32 in many channels are multiplied in three parts: x = hi + mid + lo exactly, each of
 * bf16, and w likewise, when the model is compiled. Six of the nine products are summed; the others
 * are below 2^-23 of the whole, as f32's own rounding is. Data are always copied, since the copy
 * splits them, and a step of depth has three planes instead of one:
 *
 *   [data channel / 32] [part] [row phase] [column phase] [row] [column] [channels i, 16 + i]
 *
 * First layers, of at most 4 channels in f32, are multiplied in parts: x = hi + lo, both of bf16,
 * and w likewise; hi*hi + lo*hi + hi*lo has 16 bits of each. There a pixel is 4 elements, a cell as
 * many pixels as the columns' stride, and all columns of a kernel row are one product of 8 pixels,
 * so that rows of a tile overlap in memory. The copy has two halves, hi and lo:
 *
 *   [part] [row phase] [row] [column] [pixel of the stride] [channel]
 */
#ifndef ADJ_TARGETS_CPU_AMXPLAN_H
#define ADJ_TARGETS_CPU_AMXPLAN_H

#include "amx.h"
#include "ir/target.h"
#include "tapgeom.h"

enum {
    AMX_MOST_TAPS = 16,   /* along an axis */
    AMX_MOST_UNROLL = 64, /* in all: they are written out */
    AMX_PIXEL = 4,        /* elements of one, in parts */
    AMX_PIXELS = 8        /* of one product */
};

typedef struct AmxPlan {
    int64_t t, c;    /* tiles of points x blocks of 16 result channels, in registers at once */
    int64_t rows;    /* most rows of results whose data are copied at once */
    int64_t samples; /* samples whose data wait together, where a block is a whole map */
    int64_t parts;   /* AMX_THIRDS: of f32; 1: data and weights are bf16, or of a first layer */
    double cost;     /* cycles for the whole batch */
} AmxPlan;

typedef struct AmxAxis { /* a class of results along an axis, tapgeom.h */
    TapAxis a;
    int64_t phases;
    int64_t
        phase[AMX_MOST_TAPS]; /* data coordinate of a phase's first cell, from that of point 0 */
    int64_t cells[AMX_MOST_TAPS];                       /* beyond one a point */
    int64_t reach;                                      /* the most of these */
    int64_t plane[AMX_MOST_TAPS], shift[AMX_MOST_TAPS]; /* where a tap looks */
} AmxAxis;

typedef struct AmxClass {
    AmxAxis y, x;
    int64_t rows, blocks;                   /* of results in a block; blocks of a sample */
    int64_t width, height, plane, channels; /* cells of a plane's row; rows; points; a step's */
    int64_t slot;                           /* elements of a sample's copy */
    int64_t run, points;                    /* points of a block; of a tile */
    int64_t tiles, calls;                   /* tiles of a run; calls that share them */
    bool direct;                            /* data are read where they are */
} AmxClass;

/* Are data and weights multiplied in parts? */
static inline bool amx_parts(const TapShape *s)
{
    return s->data_ch <= AMX_PIXEL;
}
/* Elements from a point's data to the next one's: the data channels of one product. */
int64_t amx_depth(const TapShape *);
int64_t amx_row_pixels(const TapShape *); /* of a row that is copied in parts */
int64_t amx_row_bytes(const TapShape *);  /* of a point's data in a tile */
int64_t amx_part_bytes(const TapShape *); /* of weights in parts; 0: they are not */
AmxClass amx_class(const TapShape *, const AmxPlan *, int64_t row_class, int64_t col_class);
/* Data that lie in memory as copies would, with rows of `width` cells and
 * blocks of channels `channels` elements apart, need no copy. */
void amx_read_direct(AmxClass *, const AmxPlan *, int64_t width, int64_t channels);
int64_t amx_slot(const TapShape *, const AmxPlan *); /* of the class that needs most */
/* Are weights to be fetched ahead? Where they are read once a sample they may come from memory. */
bool amx_fetches(const TapShape *, const AmxPlan *, const AmxClass *);
int64_t amx_weight_bytes(const TapShape *, const AmxPlan *);
/* Whether data and weights are to be multiplied in three parts. */
bool amx_thirds(const Contract *, const TapShape *);
bool amx_fits(const Target *, const Contract *, const TapShape *);
void amx_plan(const Target *, const Contract *, const TapShape *, AmxPlan *);
/* Completes a plan of which some numbers are below 0; false: why it cannot be. */
bool amx_plan_fit(const Target *, const Contract *, const TapShape *, AmxPlan *, char *why);

#endif
