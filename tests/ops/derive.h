/* SPDX-License-Identifier: Apache-2.0 */
/* Derivatives of a case in f64: gradients as programs, against differences, and adjointness. */
#ifndef ADJ_TESTS_OPS_DERIVE_H
#define ADJ_TESTS_OPS_DERIVE_H

#include "tests/ops/point.h"

/* The graph with an output d_<name> for each f64 input: the gradient of a random linear functional
 * of its f64 outputs. */
Graph *derive_graph(Arena *, const Graph *);
/* NULL, or what is wrong. */
const char *derive_smooth(Arena *, const OpCase *, const Graph *);
const char *derive_linear(Arena *, const OpCase *, const Graph *);

#endif
