/* SPDX-License-Identifier: Apache-2.0 */
/* Dead code: a rebuild of the nodes that an output needs. */
#include "passes/passes.h"
#include "passes/rewrite.h"

Graph *pass_dce(Arena *a, const Graph *src)
{
    Ref *map;
    Graph *g = rebuild_start(a, src, &map);
    const bool *live = live_nodes(a, src);
    for (Ref r = 0; r < src->n; r++)
        if (live[r]) map[r] = graph_copy(g, src, r, map);
    rebuild_outputs(g, src, map);
    return g;
}
