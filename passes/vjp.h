/* SPDX-License-Identifier: Apache-2.0 */
/* A VJP rule: given a node y = op(x0, x1, ..) and the cotangent of y, adds to the cotangents of
 * the x. Rules build rows of ops.def and nothing else, so a gradient can be differentiated
 * again. The rule of a row is vjp_<name>, named in its VJP column and declared here by
 * expanding it.
 *
 * Building may move the graph's node array: a rule keeps refs, or the copy in `node`, never
 * pointers. */
#ifndef ADJ_PASSES_VJP_H
#define ADJ_PASSES_VJP_H

#include "ir/build.h"

typedef struct Vjp {
    Graph *g;
    Node node;          /* a copy */
    Ref self, cot;      /* y, and its cotangent of the same type */
    const bool *wanted; /* by primal ref: depends on wrt through a differentiable path */
    Ref *adjoint;       /* by primal ref: the sum so far, or NOREF */
} Vjp;

typedef void VjpRule(Vjp *);

/* Ask before building: a cotangent nobody wants would be dead code. */
bool wants(const Vjp *, int arg);
void accumulate(Vjp *, int arg, Ref cotangent); /* ignored if not wanted */
Ref arg_of(const Vjp *, int arg);
Type type_of_arg(const Vjp *, int arg);

#define OP(name, nargs, cls, shape, vjp, eval, ...) VjpRule vjp_##vjp;
#include "ir/ops.def"
#undef OP

#endif
