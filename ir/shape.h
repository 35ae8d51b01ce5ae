/* SPDX-License-Identifier: Apache-2.0 */
/* Shape rules: one function a name in the shape column of ops.def. A rule reads a Shape, fills out
 * and returns NULL, or returns what does not fit. The frame (shape.c) has checked operand count and
 * attribute kinds before, and checks the size of the result after. */
#ifndef ADJ_IR_SHAPE_H
#define ADJ_IR_SHAPE_H

#include "graph_impl.h"

typedef struct Shape {
    Op op;
    int nargs;
    const Type *args;
    const Attr *attr;
    const Const *value;
    Type *out;
    Arena *arena;
} Shape;

#define OP(name, nargs, cls, rule, ...) const char *shape_##rule(Shape *);
#include "ops.def"
#undef OP

/* Output extent of a sliding window, false if it does not fit even once. */
bool window_extent(int64_t in, int64_t size, int64_t stride, int64_t dilation, int64_t *out);
const char *axes_fault(const Attr *axes, int rank); /* strictly increasing, each below rank */
bool is_axis(int64_t axis, int rank);
bool is_number(Type); /* not bool */

#define SAY(...) arena_printf(s->arena, __VA_ARGS__)

#endif
