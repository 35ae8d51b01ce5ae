/* SPDX-License-Identifier: Apache-2.0 */
/* A random graph while it grows. */
#ifndef ADJ_TOOLS_FUZZ_GEN_H
#define ADJ_TOOLS_FUZZ_GEN_H

#include "fuzz.h"
#include "ir/build.h"

enum { MAX_POOL = 64 };

typedef struct Gen {
    Graph *g;
    Rng *rng;
    int n;
    Ref pool[MAX_POOL]; /* f64, rank at least 2, leading extent 1 */
} Gen;

int below(Gen *, int n);
Type type(const Gen *, Ref);
void add(Gen *, Ref); /* to the pool, if it is fit for it */
Ref any(Gen *);
Ref any_of_rank(Gen *, int rank); /* or NOREF */
Ref any_like(Gen *, Ref model);   /* of its type; itself if there is none */
Ref splat(Gen *, Ref like, double v);
Ref scaled(Gen *, Ref, double by);

/* One more value of the class, out of random members of the pool. */
void grow_elementwise(Gen *);
void grow_view(Gen *);
void grow_reduce(Gen *);
void grow_contract(Gen *);
void grow_index(Gen *);

#endif
