/* SPDX-License-Identifier: Apache-2.0 */
/* Winograd's F(m x m, 3x3): a tile of m x m results is AT [(G g GT) * (BT d B)] A, where d is the
 * patch of data under it, g the 3x3 kernel, * the product of matching entries ("planes"). Summed
 * over data channels, a plane is a matrix product: (m + 2)^2 multiply-adds a tile and channel pair,
 * not 9 m^2. After A. Lavin and S. Gray, "Fast algorithms for convolutional neural networks", CVPR
 * 2016, section 4. */
#ifndef ADJ_TARGETS_CPU_WINO_H
#define ADJ_TARGETS_CPU_WINO_H

#include "tapgeom.h"

#include "targets/llvm/walk.h"

/* A form: how many results an axis of a tile has, and the transforms along one axis. Another is a
 * row of winoforms.c.
 *
 * With stride 2 a result sums over even data under taps 0 and 2, a convolution of two taps, and odd
 * data under tap 1. Both are made sums of the same m + 1 products, so that an axis has m + 1 points
 * of products and 2 m + 1 of data: point k of the products sums points 2k, of even data, times
 * point k of the kernel, and 2k + 1, of odd, times the kernel's last, tap 1, which is the same for
 * all; the last sums no odd data. The gradient is that turned round: m + 1 points of data, of which
 * come 2 m + 1 of products, m + 1 for odd results (pads are odd), then m for even ones, these times
 * tap 1. */
enum { WINO_TAPS = 3 };
enum { WINO_OUT = 4, WINO_IN = 9, WINO_KERNEL = 6, WINO_PLANES = 36 }; /* the most of a form */
enum { WINO_LEAST_OUT = 2 };
typedef void WinoLine(Walk *, const LLVMValueRef *from, LLVMValueRef *to); /* along an axis */
typedef struct WinoForm {
    const char *name;
    int out;      /* of a class of results (tapgeom.h) */
    int stride;   /* that it is for */
    bool dx;      /* for gradients only; with stride 1 there is no difference */
    int parts;    /* to make a transform in, lest it wait on the stack */
    double error; /* at most, in units of the largest result, over sums of 512 channels */
    double data_cycles, sums_cycles, spread_cycles; /* of a tile and block of channels */
    WinoLine *data;                                 /* BT d, of wino_in */
    WinoLine *sums;                                 /* AT m, of wino_in */
    WinoLine *spread;                               /* A r, of out */
    double g[WINO_KERNEL][WINO_TAPS];               /* G */
} WinoForm;
enum { WINO_FORMS = 4, WINO_DENSE = 2 }; /* those of stride 1 come first */
extern const WinoForm wino_forms[WINO_FORMS];

static inline int wino_kernel(const WinoForm *f) /* points along an axis, of the kernel */
{
    return f->out + WINO_TAPS - 1;
}
static inline int wino_many(const WinoForm *f)
{
    return f->stride * f->out + WINO_TAPS - f->stride;
}
static inline int wino_few(const WinoForm *f)
{
    return f->out + (WINO_TAPS - 1) / f->stride;
}
static inline int wino_in(const WinoForm *f) /* of the data */
{
    return f->dx ? wino_few(f) : wino_many(f);
}
static inline int wino_sums(const WinoForm *f) /* of the products */
{
    return f->dx ? wino_many(f) : wino_few(f);
}
static inline int wino_span(const WinoForm *f) /* results of a tile along an axis */
{
    return f->dx ? f->stride * f->out : f->out;
}
static inline int wino_step(const WinoForm *f) /* data from a tile to the next */
{
    return f->dx ? f->out : f->stride * f->out;
}

/* The rows of planes that a part of a transform makes. No two parts have arithmetic in common. */
typedef struct WinoRows {
    int n, at[WINO_IN];
} WinoRows;
WinoRows wino_rows(const WinoForm *, int parts, int part);

static inline int wino_planes(const WinoForm *f) /* of the kernel */
{
    return wino_kernel(f) * wino_kernel(f);
}

int64_t wino_plane_of(int64_t channels, int64_t block); /* elements of a plane and to the next */

/* Offer.number: WinoPlan's fields */
enum { WINO_TILES, WINO_BLOCKS, WINO_BLOCK, WINO_UNROLL, WINO_FORM };

/* Row of claims.c. */
bool winograd_offer(const Target *, const Contract *, Offer *);
bool winograd_fit(const Target *, const Contract *, Offer *, char *why);
extern const PlanField winograd_fields[];
void winograd_emit(Walk *);
int64_t winograd_pieces(const Kernel *);
void winograd_pack(const Target *, const Contract *, const Offer *, const void *dense,
                   void *packed);
void winograd_transform(const Target *, const Contract *, const Offer *, double *matrix);

/* winoplan.c: a block of tiles goes through all three stages before the next. */
typedef struct WinoPlan {
    int64_t t, c;   /* register tile of the products: t tiles by c blocks of result channels */
    int64_t block;  /* tiles of a block, a multiple of t */
    int64_t unroll; /* k-steps in a basic block */
    int64_t form;   /* of wino_forms */
} WinoPlan;
/* false: no tile fits, or direct convolution is better. The answer, and so a sample's bits, depends
 * on the batch only below 8 and where weights exceed an L3 share (choice_batch). */
bool wino_plan(const Target *, const Contract *, const TapShape *, WinoPlan *, double *cost);
/* Completes a plan of which some numbers are given, others below 0; false: why it cannot be. */
bool wino_plan_fit(const Target *, const Contract *, const TapShape *, WinoPlan *, double *cost,
                   char *why);
/* Are weights, of so many bytes, to be fetched ahead of the products? */
bool wino_fetches(const Target *, int64_t bytes);
/* Whether all this, or a form, is for such a convolution, whatever it costs. */
bool wino_fits(const Target *, const Contract *, const TapShape *);
bool wino_form_fits(const WinoForm *, const TapShape *);
/* Of the data: patches of the last tiles reach beyond what results need. */
void wino_halo(const TapShape *, const WinoForm *, int64_t low[2], int64_t high[2]);
/* Of a sample: rows, columns. */
void wino_tiles(const TapShape *, const WinoForm *, int64_t tiles[2]);

#endif
