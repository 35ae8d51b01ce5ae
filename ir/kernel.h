/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel IR. A kernel is a list of axes, a topologically ordered array of hash-consed scalar
 * expressions, and stores. There is no statement tree: scheduling edits the axis list (splitting an
 * axis rebuilds the expressions that name it) and targets walk axes from the outside in:
 *
 *   for each AX_SEQ / AX_PAR / AX_GRID / AX_BLOCK axis (outermost first; an AX_VEC axis is lanes,
 * not a loop): start every reduction at its initial value; for each AX_RED axis in order: fold in;
 *   then evaluate what the stores need and store.
 *
 * Index arithmetic is quasi-affine (sums of constant times axis, floor division and remainder by
 * constants) and is simplified with ranges as it is built, so (16*cb + cv) / 16 is cb. A load may
 * carry a guard: where it is false the value is `fill` and memory is not touched. */
#ifndef ADJ_IR_KERNEL_H
#define ADJ_IR_KERNEL_H

#include "graph.h"

enum { MAX_AXES = 20, MAX_PARAMS = 24, MAX_STORES = 8, MAX_DIGITS = 16, MAX_KARGS = 8 };

/* ---- physical layout ----
 * A list of digits, outermost first. A digit takes (index[dim] / div) modulo the next coarser div
 * of that dim (the coarsest is not reduced), plus `low` cells of halo in front; its extent counts
 * halo. NCHW with blocks of 16 channels and a halo of 1: {N}{C/16}{H,low 1}{W,low 1}{C%16}. */
typedef struct Digit {
    int dim;
    int64_t div, extent, low;
} Digit;

typedef struct Layout {
    int rank;
    int ndigit;
    bool bits; /* DT_BOOL only: one bit an element; the innermost extent is a multiple of 8 */
    Digit digit[MAX_DIGITS];
} Layout;

Layout layout_plain(Type); /* row-major, no halo */
/* [N][C/v][H..][W..][v], halo low/high a spatial axis (may be NULL); C must be a multiple of v. */
Layout layout_blocked(Type, int v, const int64_t *low, const int64_t *high);
Layout layout_halo(Type, const int64_t *low, const int64_t *high); /* planar with a spatial halo */
bool layout_eq(const Layout *, const Layout *);
int64_t layout_cells(const Layout *); /* elements with halo and padding */
int64_t layout_bytes(const Layout *, DType);
int64_t layout_stride(const Layout *, int digit); /* in elements */
bool layout_has_halo(const Layout *);
/* The next coarser div of a digit's dimension; 0 if it is the coarsest. */
int64_t layout_coarser(const Layout *, int digit);
int64_t layout_address(const Layout *,
                       const int64_t *index); /* element number of a logical index */
/* Copies a dense row-major tensor into layout (cells outside are zeroed), and back. */
void layout_pack(const Layout *, Type, const void *dense, void *packed);
void layout_unpack(const Layout *, Type, const void *packed, void *dense);
void layout_text(Str *, const Layout *); /* {0 1/16 2+1:34 3+1:34 1%16} */

/* ---- axes ---- */
typedef enum AxisKind { AX_SEQ, AX_PAR, AX_VEC, AX_UNROLL, AX_RED, AX_GRID, AX_BLOCK } AxisKind;

typedef struct Axis {
    char name[8];
    AxisKind kind;
    int64_t extent;
    bool sample; /* runs over [lo, hi) given at run time, a part of [0, extent): the slots in use */
} Axis;

/* ---- expressions ---- */
typedef uint32_t KRef;
#define NOK UINT32_MAX

typedef enum KOp {
    K_AXIS,   /* i64: value of axis imm.i */
    K_CONST,  /* imm, of dtype */
    K_DIV,    /* i64: floor(arg0 / imm.i), imm.i > 0 */
    K_MOD,    /* i64: arg0 - imm.i * floor(arg0 / imm.i) */
    K_LOAD,   /* param at logical index arg[0..nargs); guard, fill */
    K_EVAL,   /* elementwise row `op` of the op table; also index sums, products, comparisons */
    K_REDUCE, /* over all AX_RED axes: op is sum prod max min argmax; arg0 value, arg1 index
                 (argmax) */
    K_RNG /* uniform in [0,1): args seed, id, draw, element; imm.i = stream (Philox, ir/eval.h) */
} KOp;

typedef struct KExpr {
    KOp kop;
    Op op;
    DType dtype;
    int nargs;
    KRef arg[MAX_KARGS];
    union {
        double f;
        int64_t i;
    } imm;          /* f where dtype is a float */
    int param;      /* K_LOAD */
    KRef guard;     /* K_LOAD: bool, or NOK */
    double fill;    /* K_LOAD */
    uint32_t axes;  /* bit set of the axes it depends on */
    int64_t lo, hi; /* i64 index expressions: inclusive range; INT64_MIN/MAX if unknown */
} KExpr;

typedef struct KParam {
    DType dtype;
    Layout layout;
    bool sample; /* axis 0 is the sample axis: digit 0 of the layout */
    bool io;     /* caller's memory: sample i lies at base + table[i] * stride (stride in bytes, run
                    time) */
    bool out;    /* stored to (may be loaded too when in place) */
    bool in;     /* loaded from */
} KParam;

typedef struct KStore {
    int param, rank;
    KRef index[MAX_RANK]; /* logical */
    KRef value;
} KStore;

/* ---- contractions that a target may claim ---- */
/* OP_conv, OP_conv_dx, OP_conv_dw: 2-D; x, w, y are those of the forward conv. */
typedef struct Contract {
    Op op;
    DType dtype; /* of sums and results */
    bool bf16;   /* both operands are bf16 in memory; dtype is f32 */
    bool varies; /* the weights are no constants; said where a target would prepare them ahead */
    int64_t batch, ic, oc, groups;
    int64_t ih, iw, oh, ow, kh, kw;
    int64_t sh, sw, ph, pw, ph2, pw2, dh, dw; /* strides, pads low, pads high, dilations */
} Contract;

enum { OFFER_NUMBERS = 16 };
typedef struct Offer {
    int claim; /* row of the target's claim table; -1: no offer */
    /* Least halo each needs. in: data (x or dy); w: weights, or dy of conv_dw; out: result. */
    Layout in, w, out;
    int vec_dim, lanes; /* result axis to be the lanes of the epilogue, and how many */
    int64_t
        number[OFFER_NUMBERS]; /* the target's own plan: tile sizes, order ... printed, not read */
    int64_t scratch_bytes;     /* of a worker, contents undefined at entry; 0: none */
    int64_t packed_bytes;      /* weights transformed by Target.pack; 0: w is the whole story */
    int64_t planes;            /* the transform: as many sums of the taps of each kernel */
    Layout packed;             /* of them: [oc, ic, planes] */
    double cost;               /* cycles, estimated */
} Offer;

typedef struct Kernel {
    Arena *arena;
    const char *name; /* k0_conv_max2; unique in a module */
    int naxis;
    Axis axis[MAX_AXES];
    KExpr *expr;
    uint32_t nexpr, expr_cap;
    uint32_t *table, table_size;
    int nparam;
    KParam param[MAX_PARAMS];
    int nstore;
    KStore store[MAX_STORES];
    /* a contraction's facts; op == OP_COUNT if the kernel holds none */
    Contract contract;
    KRef heavy; /* its K_REDUCE */
    int data_param,
        weight_param; /* its operands, whole values in their own layouts; -1 if computed */
    /* A claim's own memory, plain pointers: scratch, and weights that Target.pack made. With the
     * latter weight_param serves the definition alone: compiled code gets NULL for it. -1: none. */
    int scratch_param, packed_param;
    Offer offer; /* claim == -1: generic lowering */
} Kernel;

Kernel *kernel_new(Arena *);
int kernel_axis(Kernel *, const char *name, AxisKind, int64_t extent, bool sample);
int kernel_param(Kernel *, KParam);
/* Builders: hash-consed and simplified. */
KRef kx_axis(Kernel *, int axis);
KRef kx_int(Kernel *, int64_t);
KRef kx_const(Kernel *, DType, double); /* floats, bool */
KRef kx_add(Kernel *, KRef, KRef);      /* i64 indices */
KRef kx_addc(Kernel *, KRef, int64_t);
KRef kx_mulc(Kernel *, KRef, int64_t);
KRef kx_div(Kernel *, KRef, int64_t);
KRef kx_mod(Kernel *, KRef, int64_t);
KRef kx_in_range(Kernel *, KRef, int64_t lo,
                 int64_t hi);      /* lo <= e < hi; constant true folds away */
KRef kx_and(Kernel *, KRef, KRef); /* either may be NOK (true) */
KRef kx_eval(Kernel *, Op, DType result, int nargs, const KRef *args);
KRef kx_load(Kernel *, int param, int rank, const KRef *index, KRef guard, double fill);
KRef kx_reduce(Kernel *, Op, DType, KRef value, KRef index);
KRef kx_rng(Kernel *, DType, KRef seed, KRef id, KRef draw, KRef element, int stream);
bool kx_is_false(const Kernel *, KRef);
/* Element number of a parameter at a logical index; of a sample's, if it is io of samples. */
KRef kx_element(Kernel *, int param, const KRef *index);
/* Is it x + step * axis, with x free of the axis? */
bool kx_step(const Kernel *, KRef, int axis, int64_t *step);
bool kx_is_int(const Kernel *, KRef, int64_t *value);            /* an integer constant */
bool kx_is_scaled(const Kernel *, KRef, KRef *arg, int64_t *by); /* arg * constant, of indices */
double reduce_init(Op, DType); /* 0, 1, -inf, +inf (integers: the dtype's limits) */

/* Scheduling: a new kernel with the axis list edited. */
/* Splits axis a into (outer, inner of `factor`), outer in a's place, inner directly behind all
 * loops that are not reductions (or directly behind outer if a is a reduction). factor divides
 * extent. */
Kernel *kernel_split(Arena *, const Kernel *, int a, int64_t factor);
Kernel *kernel_reorder(Arena *, const Kernel *, const int *order); /* order[new] = old */

/* Text, and a key for finding equal kernels (text without the name). */
void kernel_print(Str *, const Kernel *);
void kernel_verify(const Kernel *);

/* Runs a scheduled kernel on memory: param[i] -> base pointer (and stride in bytes for io). */
typedef struct KMem {
    void *base;
    int64_t stride;
} KMem;
void kernel_eval(const Kernel *, const KMem *mem, const int64_t *table, int64_t lo, int64_t hi);

#endif
