/* SPDX-License-Identifier: Apache-2.0 */
/* The tensor graph. Three decisions carry everything else:
 *   1. a graph is an array of nodes in topological order: an argument has a smaller index;
 *   2. a node has exactly one result;
 *   3. nodes are immutable and hash-consed; a pass builds a new graph through a Ref -> Ref map.
 * Shapes are static, broadcast is explicit, reductions keep their axes with extent 1. The table of
 * ops is ops.def. Where a value came from (its ONNX nodes) lives beside the hash, not in it. */
#ifndef ADJ_IR_GRAPH_H
#define ADJ_IR_GRAPH_H

#include "base.h"

enum { MAX_RANK = 8, MAX_ARGS = 8, MAX_ATTRS = 6 };

typedef uint32_t Ref; /* index of a node in its graph */
#define NOREF UINT32_MAX

typedef enum DType {
    DT_F64,
    DT_F32,
    DT_F16,
    DT_BF16,
    DT_I64,
    DT_I32,
    DT_I8,
    DT_U8,
    DT_BOOL,
    DT_COUNT
} DType;

typedef struct Type {
    DType dtype;
    int rank;
    int64_t dim[MAX_RANK];
} Type;

/* ---- attributes ---- */
typedef enum AttrKind { ATTR_INT, ATTR_INTS, ATTR_FLOAT, ATTR_DTYPE, ATTR_STR } AttrKind;

typedef struct Attr { /* which member is live is the schema's business (ops.def) */
    int n;            /* ATTR_INTS: how many */
    union {
        int64_t i[MAX_RANK]; /* ATTR_INT, ATTR_DTYPE use i[0] */
        double f;
        const char *s; /* interned by the graph */
    };
} Attr;

typedef struct AttrSpec {
    const char *name;
    AttrKind kind;
} AttrSpec;

/* ---- the op table ---- */
typedef enum OpClass {
    CL_SOURCE,
    CL_ELEMENTWISE,
    CL_VIEW,
    CL_JOIN,
    CL_REDUCE,
    CL_CONTRACT,
    CL_INDEX,
    CL_META
} OpClass;

typedef enum Op {
#define OP(name, nargs, cls, shape, vjp, eval, ...) OP_##name,
#include "ops.def"
#undef OP
    OP_COUNT
} Op;

typedef struct OpInfo {
    const char *name;
    int nargs; /* -1: one or more (concat) */
    OpClass cls;
    int nattr;
    AttrSpec attr[MAX_ATTRS];
} OpInfo;

extern const OpInfo op_info[OP_COUNT];
Op op_by_name(const char *name); /* OP_COUNT if unknown */

/* ---- constants ---- */
typedef struct Const {
    Type type;
    uint64_t hash;    /* of type and contents; of a weight: of type and id */
    uint64_t id;      /* 0, or which weight this is: equal to no other, whatever the contents */
    bool splat;       /* every element equal: data holds one element */
    const void *data; /* dense, row-major, packed as dtype_bytes() each; bool is one byte 0/1 */
} Const;

/* ---- nodes ---- */
typedef struct Node {
    Op op;
    int nargs;
    const Ref *args;
    const Attr *attr;   /* op_info[op].nattr of them, in schema order */
    const Const *value; /* OP_const only */
    Type type;
} Node;

/* A set of origins: sorted ids into Graph.names. Bit 31 marks "gradient of". */
typedef struct Origin {
    uint32_t n;
    const uint32_t *id;
} Origin;
#define ORIGIN_GRAD 0x80000000u

typedef struct GraphOutput {
    const char *name;
    Ref ref;
} GraphOutput;

typedef struct Graph {
    Arena *arena;     /* owned by whoever made it; all of the graph lives there */
    const char *name; /* "forward", "step" ... */
    Node *node;
    uint32_t n, cap;
    Origin *origin; /* beside node[]: provenance */
    uint32_t origin_cap;
    Origin current;     /* given to nodes made from now on */
    const char **names; /* origin names: "Conv_12 (Conv)" */
    uint32_t nnames, names_cap;
    uint32_t *name_table, name_table_size; /* finds names, open addressing */
    GraphOutput *out;
    uint32_t nout, out_cap;
    uint32_t *table, table_size; /* hash-consing, open addressing */
} Graph;

Graph *graph_new(Arena *, const char *name);
/* The one constructor. Checks the attributes, infers the type, returns an equal node if there is
 * one. A shape that does not fit is an err() naming the current origin. attr may be NULL if there
 * are none. */
Ref graph_node(Graph *, Op, int nargs, const Ref *args, const Attr *attr);
Ref graph_const(Graph *, Type, const void *dense); /* copies; detects splats */
Ref graph_splat(Graph *, Type, double value);      /* value converted to the dtype */
/* A constant whose contents may be exchanged later: never a splat, and equal only to one of the
 * same type and id (not 0), so what is made of the graph depends on no value of it. */
Ref graph_weight(Graph *, Type, const void *dense, uint64_t id);
/* The same, of data that lives as long as the graph and stays as it is: if large, not copied. */
Ref graph_const_at(Graph *, Type, const void *dense);
Ref graph_weight_at(Graph *, Type, const void *dense, uint64_t id);
uint64_t node_attrs_hash(const Node *, uint64_t seed);
void graph_output(Graph *, const char *name, Ref);
Ref graph_find_input(const Graph *, const char *name);  /* OP_input or OP_param by name, or NOREF */
Ref graph_find_output(const Graph *, const char *name); /* or NOREF */

/* Copies node r of src into dst with its arguments already mapped (map[arg] valid), and its origin.
 */
Ref graph_copy(Graph *dst, const Graph *src, Ref r, const Ref *map);
/* Sets dst->current to the origin of src's node r (ids are translated by name). */
void graph_take_origin(Graph *dst, const Graph *src, Ref r);
void graph_set_origin(Graph *, const char *name); /* one fresh or known name; NULL clears */
void graph_mark_grad(Graph *);                    /* current := gradient of current */
/* "Conv_12 (Conv), gradient of Relu_3 (Relu)"; at most a few, then "and N more". */
void graph_origin_text(const Graph *, Ref, Str *);

const Attr *node_attr(const Node *, const char *name); /* die()s if the schema has no such name */
int64_t node_int(const Node *, const char *name);

/* ---- types ---- */
int dtype_bytes(DType);
const char *dtype_name(DType);
bool dtype_by_name(const char *, DType *);
bool dtype_is_float(DType);
const char *type_check(Type); /* NULL, or why no such tensor can be held */
Type type_of(DType, int rank, const int64_t *dim);
Type type_scalar(DType);
Type type_with(Type, DType);
bool type_eq(Type, Type);
bool type_same_dims(Type, Type);
int64_t type_count(Type); /* elements; types are checked on construction to fit 2^40 bytes */
int64_t type_bytes(Type);
void type_text(Str *, Type); /* f32[1,3,32,32] */

/* Shape rule of an op: fills out, or returns a static or arena message saying what does not fit. */
const char *op_infer(Op, int nargs, const Type *args, const Attr *attr, const Const *value,
                     Type *out, Arena *);

/* Multiply-adds of a contraction for one sample, its leading extent being the samples; of another
 * node 0. */
double node_macs(const Graph *, Ref);

/* ---- conversion of elements ---- */
double elem_get(DType, const void *data, int64_t i); /* i64 above 2^53 rounds: use elem_get_int */
int64_t elem_get_int(DType, const void *data, int64_t i);
void elem_set(DType, void *data, int64_t i, double v); /* rounds to nearest even; ints truncate */
void elem_set_int(DType, void *data, int64_t i, int64_t v);
float half_to_float(uint16_t);
uint16_t float_to_half(float);
float bf16_to_float(uint16_t);
uint16_t float_to_bf16(float);

/* ---- text: print, read, verify (text.c, verify.c) ---- */
/* Large constants print as const {hash=0x...}; the reader takes them from the sidecar written by
 * graph_write_consts, small ones (<= 16 elements) and splats print whole. Text in equals text out.
 */
void graph_print(Str *, const Graph *);
void graph_print_origins(Str *, const Graph *); /* with "; origin" comments, which reading skips */
Graph *graph_read(Arena *, const char *text, const char *where, const char *sidecar);
bool graph_write_consts(const Graph *, const char *path);
void graph_verify(const Graph *, const char *after); /* die()s with the node that breaks a rule */

#endif
