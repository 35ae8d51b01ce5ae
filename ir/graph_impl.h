/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the graph share among themselves; not for other folders. */
#ifndef ADJ_IR_GRAPH_IMPL_H
#define ADJ_IR_GRAPH_IMPL_H

#include "graph.h"

enum { SMALL_CONST = 16 }; /* elements: constants up to here print whole */

const char *type_check(Type);                        /* NULL, or why no such tensor can be held */
void graph_fresh_origin(Graph *, const char *name);  /* as graph_set_origin, known to be new */
void origin_join(Graph *, Ref, Origin);              /* node's origin := union */
Ref graph_lookup(const Graph *, const Node *);       /* the equal node, or NOREF */
uint64_t const_hash(Type, bool splat, const void *data);
bool const_is_large(const Const *);                  /* prints as a hash */
void quote_text(Str *, const char *);                /* "..." with escapes the reader knows */
bool is_bare_name(const char *);                     /* needs no quotes */
Ref const_from_sidecar(Graph *, const void *file, size_t n, uint64_t hash, Type, const char *where);

#endif
