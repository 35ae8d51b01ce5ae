/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the lowering: what fuse, value layout, expressions, schedule and plan share. One Lowering
 * is one phase of one program on its way from graph to calls. */
#ifndef ADJ_PASSES_LOWERING_H
#define ADJ_PASSES_LOWERING_H

#include "lower.h"

/* A group becomes one kernel. Members share the space (the dims of root), at most one is heavy; a
 * copy group has only its root, a view or source that must exist in memory. */
typedef struct Group {
    Ref root, heavy; /* heavy: NOREF if none */
    Ref *member;     /* in graph order */
    uint32_t nmember, cap;
    bool copy;
    bool across; /* a copy whose result is summed over ranks */
    bool melted; /* recomputed inside its one consumer: no kernel */
    bool claimed;
    Contract contract;
    Offer offer;
    /* Groups in front of a claim whose weights are not constant: one copies them into its layout w,
     * one makes sums of taps of the copy, if the claim wants that. Neither gives a node a home. */
    bool pack, transform;
    bool again; /* a value computed once more for the claims behind it (again.c): likewise */
    Layout packed;
    int packed_to;           /* the buffer of any of them */
    int weights, transforms; /* of a claim: the two groups, -1: none; of a transform: its pack */
    int operand[2];          /* of a claim: groups that compute its operands again, -1: none */
} Group;

typedef struct Dest { /* one store of a group: node -> buffer */
    Ref node;
    int buffer;
} Dest;

typedef struct Lowering {
    Arena *arena;
    Module *module;
    Program *prog;
    const Target *target;
    const Graph *g;
    Phase *phase;
    bool *live, *batched, *stored;
    Ref *again; /* value -> the first of its readers that a second computation serves */
    int again_most, again_all; /* values to be computed again at most; that could be */
    bool *remade;              /* computed wherever it is read */
    bool *apart;               /* a view to be copied to memory before it is read */
    uint32_t *most;            /* members of a group with this root; 0: any number */
    int *group_of;             /* node -> group, or -1 */
    int *dep;                  /* node -> latest group its value needs, or -1 */
    Group *group;
    uint32_t ngroup, group_cap, call_cap;
    int *out_group;     /* graph output -> group that stores it, or -1: a state left as it is */
    int *bound;         /* input node -> the buffer it stands for, or -1 */
    int *buffer_of;     /* stored node -> buffer, or -1 */
    const Const **wide; /* cast of a constant of bf16 -> it as f32, once made */
    int64_t (*halo)[6]; /* node -> least halo: low of 3 spatial axes, high of 3 */
    const double *macs; /* node -> multiply-adds a sample; 0: as node_macs says */
} Lowering;

/* parts.c: concatenations that are copied to memory. */
typedef struct Part { /* of one */
    Ref r;
    int64_t from, to; /* of its axis */
} Part;
typedef struct Run { /* results that a kernel of their own stores: [from, to) of the axis */
    int64_t from, to;
    const Part *part; /* what they are of, one behind the other; of the last ones a beginning */
    uint32_t nparts;
    Ref of; /* all of the one part, a reshape of this value, in its order; NOREF: in the result's */
    Ref flat; /* the one part, a reshape of a row-major value; NOREF: it is not, or several */
} Run;
/* How many a group falls into; 0: one kernel stores all. */
uint32_t lower_runs(const Lowering *, int group, Run **);
/* Before fusion: flat vectors get memory of their own. */
void lower_flat_joins(Lowering *);
/* fuse_fit.c: true if a group is too large for a kernel, and limits it for fusing anew. */
bool fuse_narrow(Lowering *);
/* fuse.c: fills group, group_of, dep, stored. */
void lower_fuse(Lowering *);
bool fuse_costly(Op); /* not worth computing twice */
/* remake.c: after a first fusion, which values are computed anew wherever they are read; false:
 * none. */
bool lower_remake(Lowering *);
/* again.c: fills `again` with up to `most` values, after a fusion; returns how many there are. */
int lower_again(Lowering *, int most);
/* Has an earlier kernel stored r when group `own` runs? Not a copy that a later claim asked for. */
bool fuse_in_memory(const Lowering *, Ref r, int own);
/* Calls fn for every node in memory (stored or input) that computing r reads. */
void fuse_leaves(const Lowering *, Ref r, int own_group, void (*fn)(void *, Ref), void *arg);

/* Where the target computes with bf16, a cast of it to f32 is no value in memory: it is part of
 * whatever reads it. */
bool fuse_melts(const Lowering *, Ref r);

/* value_layout.c */
/* The target's bid, and the contract that it is for: of bf16 operands if it wants those. */
bool contract_offer(const Lowering *, Ref conv, Contract *, Offer *);
/* Operand i as the claim reads it from memory: behind the cast if of bf16. */
Ref contract_operand(const Lowering *, const Contract *, const Offer *, Ref conv, int i);
/* The weights, if they are constant, as the claim wants them. */
const Const *contract_weights(const Lowering *, const Contract *, const Offer *, Ref conv);
Layout value_layout(const Lowering *, Ref);
void layout_need_halo(Lowering *, Ref value, const Layout *need);
bool layout_covers(const Layout *have, const Layout *need);

/* lower_expr.c: a kernel being built. */
typedef struct Memo {
    Ref node;
    KRef index[MAX_RANK], guard, value;
} Memo;

typedef struct Body {
    Lowering *l;
    Kernel *k;
    int group;
    KRef axis[MAX_RANK]; /* the group's space as index expressions */
    int rank;
    KRef heavy_value;    /* of the group's heavy node, once built */
    Ref flat;            /* a reshape of a row-major value that is read as such, or NOREF */
    int buf[MAX_PARAMS]; /* buffer of each parameter */
    Memo *memo;
    uint32_t nmemo, memo_cap;
} Body;

KRef body_value(Body *, Ref node, const KRef *index, KRef guard);
int body_param(Body *, int buffer, bool out);
int body_param_as(Body *, int buffer, const Layout *, bool out); /* the same memory, laid out so */
/* lower_heavy.c: the reduction of the group's heavy node. */
KRef body_heavy(Body *, Ref heavy);
/* The value, or fill where cond is false; cond NOK: always true. */
KRef body_guarded(Body *, DType, KRef cond, KRef value, double fill);
KRef body_walk(Body *, KRef x, int64_t stride, KRef y, int64_t dilation);
/* The index in `to` of what has `index` in `from`, a reshape of it. */
void body_reshaped(Body *, Type from, const KRef *index, Type to, KRef *at);

/* dest.c: where each group's values go. */
typedef struct Dests {
    Dest *dest;
    uint32_t n, cap;
} Dests;
typedef struct StateCopy { /* after all groups: a state that could not be written in place */
    int from, to;
    Ref node;
} StateCopy;
/* One Dests a group; late: copies to run at the end. */
Dests *lower_dests(Lowering *, StateCopy *late, int *nlate);

/* kernels.c: groups to kernels and calls. */
void lower_kernels(Lowering *);
int claim_weights(Lowering *, const Group *);                         /* buffer */
Kernel *body_kernel(Lowering *, Body *, int group, const char *name); /* opens one, no axes */
/* Appends the call; value: the nodes stored, NULL if what it stores is no node. */
void lower_call(Lowering *, Kernel *, const Body *, Ref about, const Ref *value);
/* traffic.c: bytes of a slot that a kernel moves through parameter p. */
double call_traffic(const Kernel *, int p, const Buffer *);
void lower_transform(Lowering *, const Group *); /* transform.c */
int module_kernel(Module *, Kernel *);           /* adds, or finds an equal one */

/* schedule.c */
Kernel *lower_schedule(Arena *, const Target *, Kernel *);
/* A kernel that stores in this layout: its innermost digit is the lanes. */
Kernel *lower_schedule_pack(Arena *, const Target *, Kernel *, const Layout *);

/* buffers (plan.c) */
int buffer_add(Arena *, Program *, Buffer);
int buffer_const(Lowering *, const Const *, const Layout *);
/* The same, for what only a claimed kernel's definition reads; and as Target.pack transforms it. */
int buffer_definition(Lowering *, const Const *, const Layout *);
int buffer_packed(Lowering *, const Const *, const Contract *, const Offer *);
/* The buffer behind a graph input or output name; -1 if the program has none of that name. */
int buffer_bind(Module *, Program *, const char *name, Type, bool output);
void lower_depth(const Module *, Program *, const Target *); /* depth.c; before the plan */
void lower_plan(Module *, Program *);

/* expand.c: rewrites rows that have no kernel of their own (argsort). */
Graph *pass_expand(Arena *, const Target *, const Graph *);
/* matmul.c: products with weights become convolutions of one tap, where claims are. */
Graph *pass_matmul(Arena *, const Target *, const Graph *);
/* join.c: convolutions that are added, in one; the graph itself where that is not worth it. */
Graph *pass_join(Arena *, const Target *, const Graph *);
/* strides.c: strides of convolutions of one tap become slices and pads, where claims are. */
Graph *pass_strides(Arena *, const Target *, const Graph *);
/* order.c: convolutions of the same data follow each other; before strides.c slices it. */
Graph *pass_order(Arena *, const Graph *);
bool has_one_tap(const Graph *, const Node *conv); /* [N, C, H, W] and no padding, too */
/* x at the points that such a convolution reads. */
Ref points_read(Graph *, const Node *conv, Ref x);
bool widens_bf16(const Graph *, const Node *);  /* a cast of bf16 to f32 */
Ref widen_const(Graph *, const Const *of_bf16); /* the same as f32 */

#endif
