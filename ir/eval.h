/* SPDX-License-Identifier: Apache-2.0 */
/* The reference evaluator: the definition of right. Folding, op tests, gradient checks, `verify`
 * and the fuzzer all ask it. What it promises, for every dtype:
 *   - an elementwise result is computed in double and rounded once to its dtype, which for + - * /
 *     and sqrt is what arithmetic in that dtype gives;
 *   - sums, products, scans and contractions of floats accumulate in double, in a fixed order, and
 *     round once at the end, so the evaluator is the more accurate side of any comparison;
 *   - integers wrap as two's complement; division truncates, x / 0 = 0; bool is 0 or 1;
 *   - NaN propagates through max, min, max2, min2; argmax and argsort take NaN as the largest;
 *   - a tie of max2 or min2 returns the second operand (which shows only in the sign of zero);
 *   - float to integer truncates and saturates, NaN gives 0; anything to bool is `!= 0`;
 *   - a gather index outside [0, extent) reads 0 and a scatter_add index outside adds nothing, so
 *     that the two stay adjoint. */
#ifndef ADJ_IR_EVAL_H
#define ADJ_IR_EVAL_H

#include "graph.h"

typedef struct Tensor {
    Type type;
    void *data; /* dense, row-major, dtype_bytes() an element; bool is one byte 0/1 */
} Tensor;

/* One op on dense operands; out->type is set, out->data allocated (it need not be initialised).
 * Sources without data of their own (input, param) die(). */
void eval_node(Op, const Attr *attr, const Const *value, int nargs, const Tensor *args,
               Tensor *out);

/* ---- scalars: shared with the kernel interpreter ---- */
typedef union Scalar { /* floats in f, already rounded to their dtype; ints and bool in i */
    double f;
    int64_t i;
} Scalar;

/* One element of an elementwise row, cast included. operand_dtype is that of the operands (of the
 * last two for select, whose first is bool); result_dtype that of the result. */
Scalar scalar_op(Op, DType operand_dtype, DType result_dtype, const Scalar *args);
Scalar scalar_cast(DType from, DType to, Scalar);
double round_to(DType, double);  /* to the nearest float of that dtype, ties to even */
int64_t wrap_to(DType, int64_t); /* to an integer dtype, two's complement; bool: != 0 */
void scalars_load(DType, const void *data, int64_t at, int64_t n, Scalar *);
/* Rounds or wraps as round_to and wrap_to do. */
void scalars_store(DType, void *data, int64_t at, int64_t n, const Scalar *);

/* ---- random numbers ---- */
/* Philox 4x32-10: word `element & 3` of the block with counter
 * {element >> 2, stream << 24 | draw, id low, id high} and key {seed low, seed high}, all of 32
 * bits: streams below 2^8 and draws below 2^24 are distinct. */
uint32_t philox_word(uint64_t seed, uint64_t id, uint32_t stream, uint32_t draw, uint64_t element);
/* (word >> 8) * 2^-24: in [0,1), exact in f32. */
double philox_uniform(uint64_t seed, uint64_t id, uint32_t stream, uint32_t draw, uint64_t element);
/* The raw block function, for known-answer tests and vector code to compare with. */
void philox_block(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* ---- a whole graph ---- */
/* Values are computed in order, only those that are needed, and freed after their last use. */
typedef struct Eval Eval;
Eval *eval_new(const Graph *);
void eval_bind(Eval *, Ref input_or_param, const void *dense); /* copies; replaces a former one */
void eval_keep(Eval *, Ref); /* from now on runs do not free this value */
/* Drops the values of the last run and computes what `want` needs. An input or param that is needed
 * and not bound is an err() naming it; nothing has been computed then. */
void eval_run(Eval *, const Ref *want, int n);
const Tensor *eval_get(const Eval *, Ref); /* a value wanted, kept or bound; else die() */
void eval_free(Eval *);

#endif
