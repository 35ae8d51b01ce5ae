/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the graph share among themselves; not for other folders. */
#ifndef ADJ_IR_GRAPH_IMPL_H
#define ADJ_IR_GRAPH_IMPL_H

#include "graph.h"

enum { SMALL_CONST = 16 }; /* elements: constants up to here print whole */

void graph_fresh_origin(Graph *, const char *name); /* as graph_set_origin, known to be new */
void origin_join(Graph *, Ref, Origin);             /* node's origin := union */
Ref graph_lookup(const Graph *, const Node *);      /* the equal node, or NOREF */
Ref graph_splat_bits(Graph *, Type, void *element); /* as graph_splat, the element as stored */
uint64_t const_hash(Type, bool splat, const void *data);
uint64_t const_key(const Const *);    /* what its hash must be */
bool const_is_large(const Const *);   /* prints as a hash */
void quote_text(Str *, const char *); /* "..." with escapes the reader knows */
bool is_bare_name(const char *);      /* needs no quotes */
bool attr_in_type(const AttrSpec *);  /* dtype and shape: read off the type */

/* The file written by graph_write_consts(), in memory; err()s if it is malformed. */
typedef struct Sidecar {
    void *data; /* heap, released by an err() until sidecar_close() */
    size_t n;
    const char *path;
} Sidecar;
Sidecar sidecar_open(const char *path);
void sidecar_close(Sidecar *);
Ref sidecar_const(Graph *, const Sidecar *, uint64_t hash, Type); /* NOREF: not there */

#endif
