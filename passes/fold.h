/* SPDX-License-Identifier: Apache-2.0 */
/* Folding: a graph under construction together with the values of its constant nodes. Floats
 * are carried in f64 from one constant operation to the next and rounded to their dtype once,
 * when a constant is made of them; operations that are not continuous (comparisons, rounding,
 * casts) see the rounded value, as they would at run time. */
#ifndef ADJ_PASSES_FOLD_H
#define ADJ_PASSES_FOLD_H

#include "ir/build.h"
#include "ir/eval.h"

enum { FOLD_SMALL = 4096 }; /* elements: up to here a constant may outgrow what it is made of */
enum { FOLD_DEPTH = 256 };  /* nodes that are not stored below one that is: bounds the recursion */
#define FOLD_VALUE_BYTES (INT64_C(1) << 28)   /* one value */
#define FOLD_SCRATCH_BYTES (INT64_C(1) << 30) /* all values below one constant */
#define FOLD_KEPT_BYTES (INT64_C(1) << 30)    /* all values kept beside their constants */
#define FOLD_MULTIPLY_ADDS (INT64_C(1) << 34) /* all work of a pass */

typedef struct Known { /* of one node */
    int state;         /* 0 not looked at, 1 constant, -1 not */
    int depth;         /* of what must be computed for its value, itself included */
    bool weight;       /* its value depends on weights, so it is one as well */
    uint64_t key;      /* of the expression: which weight it is */
    int64_t source;    /* bytes of the largest stored constant it is made of */
    Tensor wide;       /* its value, floats as f64; no data until computed */
} Known;

typedef struct Fold {
    Graph *g;
    Arena *temp;    /* tables and kept values, until the pass ends */
    Arena *scratch; /* values below the constant that is being made */
    Ref *computed;  /* the nodes with values there */
    uint32_t ncomputed, computed_cap;
    int64_t kept, work; /* bytes and multiply-adds that are left */
    Known *known;
    uint32_t known_cap;
    uint32_t *uses; /* of each node, as far as the source graph tells */
    uint32_t uses_cap;
} Fold;

/* Is the value of r known now? */
bool fold_known(Fold *, Ref r);
/* r, or the constant that it is worth being. Use it on every node that a rewrite makes. */
Ref fold_settle(Fold *, Ref r);
uint32_t *fold_uses(Fold *, Ref r);

/* Scales into convolution weights (fold_conv.c): a better node than r, or NOREF. */
Ref fold_scale(Fold *, Ref r);

#endif
