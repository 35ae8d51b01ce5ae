/* SPDX-License-Identifier: Apache-2.0 */
/* Graph to graph. Every pass reads one graph and builds another in `a`; the graph it read is
 * left as it was. Origins are carried along, so that an error or a profile can name the user's
 * nodes. Inputs and params are a graph's interface: no pass drops one, used or not. grad_append
 * is the exception that proves the rule: it appends to the graph it reads, because a derivative
 * refers to primal values. */
#ifndef ADJ_PASSES_PASSES_H
#define ADJ_PASSES_PASSES_H

#include "ir/graph.h"

/* Drops what no output needs. Also the way to copy a graph before appending to it. */
Graph *pass_dce(Arena *a, const Graph *);
/* Algebra, composition of views, dead code (the laws are listed in simplify.def). Values keep
 * their bits but for: the sign of a zero, products and sums of constants, and a sum of equal
 * terms. */
Graph *pass_simplify(Arena *a, const Graph *);
/* Constant subgraphs through the evaluator, within a budget of bytes and multiply-adds; scales
 * of batch normalisation into the weights of the convolution they follow or precede. */
Graph *pass_fold(Arena *a, const Graph *);
/* Every value of dtype `from` becomes `to`: inputs, params, constants, casts, generators. */
Graph *pass_retype(Arena *a, const Graph *, DType from, DType to);
/* What contractions of f32 read becomes bf16, which the graph says with casts; the head of bf16.c
 * lists what is left out. The last of the passes: folding would take the casts of weights away. */
Graph *pass_bf16(Arena *a, const Graph *);
/* Channels of convolutions become multiples of `lanes`, if more than half of them were there.
 * macs[r]: multiply-adds a sample of such a convolution without the empty channels; 0 for other
 * nodes. Comes after bf16, before the lowering. */
Graph *pass_channels(Arena *a, const Graph *, int64_t lanes, double **macs);
/* Leading extent 1 of every input becomes b. Proves on the way, op by op, that sample i of
 * every result depends on sample i of the inputs only; err()s with the origin of the node where
 * it does not. Inputs of rank 0 are shared by all samples. */
Graph *pass_batch(Arena *a, const Graph *, int64_t b);

/* result[j] := d(sum over i of <out[i], cot[i]>) / d wrt[j], as new nodes of g. A cot of NOREF,
 * or a null array, stands for ones. wrt may be any float nodes, also interior ones. A result is
 * never NOREF: where nothing depends on wrt[j] it is a zero splat. */
void grad_append(Graph *g, int nout, const Ref *out, const Ref *cot, int nwrt, const Ref *wrt,
                 Ref *result);
/* err()s with the first node of the user's that has no derivative, if every way from wrt to out
 * goes through one: a zero that nobody asked for. */
void grad_check(const Graph *, Ref out, Ref wrt);

/* ---- passes by name, for adjopt and adjtest (table.c) ---- */
typedef struct PassRow {
    const char *name;
    const char *arg; /* what follows "name=", or NULL if nothing may */
    Graph *(*run)(Arena *, const Graph *, const char *arg);
    const char *help;
} PassRow;
extern const PassRow pass_rows[];
extern const int pass_nrows;
/* NULL if no row has the name that `spec` ("batch=8") starts with. */
const PassRow *pass_find(const char *spec);
Graph *pass_by_spec(Arena *, const Graph *, const char *spec); /* err()s if unknown or ill-formed */

#endif
