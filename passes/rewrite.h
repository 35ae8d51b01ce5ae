/* SPDX-License-Identifier: Apache-2.0 */
/* What passes share: which nodes live, what a constant holds, whose origin a rewritten node
 * carries. */
#ifndef ADJ_PASSES_REWRITE_H
#define ADJ_PASSES_REWRITE_H

#include "ir/graph.h"

/* A byte a node: does an output need it? Inputs and params count as needed. */
bool *live_nodes(Arena *, const Graph *);
/* How often outputs and live nodes read each node. */
int *node_uses(Arena *, const Graph *, const bool *live);
/* A new graph with the name of src, and the table src ref -> new ref, all NOREF. */
Graph *rebuild_start(Arena *, const Graph *src, Ref **map);
void rebuild_outputs(Graph *dst, const Graph *src, const Ref *map);
/* dst->current joined with the origin of r, a node of the same graph. */
void origin_include(Graph *, Ref r);
/* The origin of r as a string in the graph's arena, for err(); its op if it has none. */
const char *origin_name(const Graph *, Ref r);

/* Is r a constant with all elements equal? *value may be NULL. */
bool splat_value(const Graph *, Ref r, double *value);
bool is_splat_of(const Graph *, Ref r, double value);
/* The splat constant r with other extents; NOREF if its value does not survive a double. */
Ref splat_resize(Graph *, Ref r, Type like);
/* A constant made of another one, of data that live as long as the graph: a weight that may be
 * exchanged stays one, known by what it is made of. */
Ref const_made_of(Graph *, const Const *, Type, const void *dense);
/* Made of constants by elementwise operations and views alone (looks a few nodes deep). */
bool is_constant(const Graph *, Ref r);

bool has_axis(const Attr *axes, int axis);
bool all_equal(const int64_t *, int n, int64_t value);

#endif
