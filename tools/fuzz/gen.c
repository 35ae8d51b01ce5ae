/* SPDX-License-Identifier: Apache-2.0 */
/* Random graphs. A pool of values grows by operations on random members; an operation that does
 * not fit its operands is refused by the shape rules and nothing happens. Operands of rows with a
 * limited domain are brought into it first, and sums are scaled by their length, so that values
 * stay near 1. */
#include "gen.h"

const char *const fuzz_class_names[FUZZ_CLASSES] = {"elementwise", "view",  "reduce",
                                                    "contract",    "index", "state"};

enum { MAX_ELEMENTS = 600 };

/* ---- random numbers ---- */

uint64_t rng_bits(Rng *r)
{
    uint64_t z = (r->state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

int rng_below(Rng *r, int n)
{
    return (int)((rng_bits(r) >> 33) % (uint64_t)n);
}

double rng_uniform(Rng *r, double lo, double hi)
{
    return lo + (hi - lo) * (double)(rng_bits(r) >> 11) * 0x1p-53;
}

int below(Gen *s, int n)
{
    return rng_below(s->rng, n);
}

/* ---- the pool ---- */

Type type(const Gen *s, Ref r)
{
    return s->g->node[r].type;
}

void add(Gen *s, Ref r)
{
    Type t = type(s, r);
    if (t.rank < 2 || t.dim[0] != 1 || type_count(t) > MAX_ELEMENTS || t.dtype != DT_F64) return;
    s->pool[s->n < MAX_POOL ? s->n++ : below(s, MAX_POOL)] = r;
}

Ref any(Gen *s)
{
    int late = below(s, s->n), again = below(s, s->n);
    return s->pool[late > again ? late : again]; /* graphs become deep rather than wide */
}

Ref any_of_rank(Gen *s, int rank)
{
    for (int i = 0; i < 40; i++) {
        Ref r = any(s);
        if (type(s, r).rank == rank) return r;
    }
    return NOREF;
}

Ref any_like(Gen *s, Ref model)
{
    for (int i = 0; i < 20; i++) {
        Ref r = any(s);
        if (type_eq(type(s, r), type(s, model))) return r;
    }
    return model;
}

static Type random_type(Gen *s, int rank)
{
    static const int spatial[] = {1, 2, 3, 5, 6}, channels[] = {1, 2, 3, 4, 8, 16, 17};
    Type t = {.dtype = DT_F64, .rank = rank, .dim = {1}};
    for (int d = 1; d < rank; d++) t.dim[d] = spatial[below(s, 5)];
    t.dim[1] = channels[below(s, 7)];
    return t;
}

Ref splat(Gen *s, Ref like, double v)
{
    return graph_splat(s->g, type(s, like), v);
}

Ref scaled(Gen *s, Ref r, double by)
{
    return b_binary(s->g, OP_mul, r, splat(s, r, by));
}

static void random_numbers(Gen *s)
{
    static const int64_t one = 1;
    Ref seed = b_input(s->g, "seed", type_scalar(DT_I64));
    Ref id = b_input(s->g, "id", type_of(DT_I64, 1, &one));
    Ref t = b_input(s->g, "t", type_of(DT_I32, 1, &one));
    add(s, b_rng(s->g, seed, id, t, random_type(s, 2 + below(s, 3)), below(s, 4)));
}

/* ---- graphs ---- */

typedef struct Attempt {
    Gen *s;
    FuzzClass c;
} Attempt;

static void grow(void *attempt)
{
    Attempt *at = attempt;
    static void (*const main_work[])(Gen *) = {grow_elementwise, grow_view,  grow_reduce,
                                               grow_contract,    grow_index, grow_elementwise};
    static void (*const other[])(Gen *) = {grow_elementwise, grow_elementwise, grow_view,
                                           grow_reduce, grow_contract};
    if (below(at->s, 3))
        main_work[at->c](at->s);
    else
        other[below(at->s, COUNT(other))](at->s);
}

static void inputs(Gen *s, FuzzClass c)
{
    static const char *const names[] = {"x", "z", "u"};
    int n = 1 + below(s, 3);
    add(s, b_input(s->g, "w", random_type(s, 2))); /* small: the pool is never empty */
    for (int i = 0; i < n; i++) {
        int rank = c == FUZZ_CONTRACT && below(s, 3) ? 4 : 2 + below(s, 3);
        add(s, b_input(s->g, names[i], random_type(s, rank)));
    }
    if (c == FUZZ_STATE && below(s, 2)) random_numbers(s);
}

static void outputs(Gen *s)
{
    int n = 1 + below(s, 3);
    for (int i = 0; i < n; i++)
        graph_output(s->g, arena_printf(s->g->arena, "y%d", i), i ? any(s) : s->pool[s->n - 1]);
}

/* Each state gets a new value of its own type. */
static void states(Gen *s, int n, const Ref *state)
{
    for (int i = 0; i < n; i++) {
        Ref next = any_like(s, state[i]), old = below(s, 2) ? state[i] : any_like(s, state[i]);
        if (below(s, 3)) next = b_unary(s->g, OP_tanh, b_binary(s->g, OP_add, next, old));
        graph_output(s->g, node_attr(&s->g->node[state[i]], "name")->s, next);
    }
}

Graph *fuzz_graph(Arena *a, Rng *rng, FuzzClass c)
{
    Gen s = {.g = graph_new(a, "fuzz"), .rng = rng};
    Ref state[2];
    int nstate = c == FUZZ_STATE ? 1 + below(&s, 2) : 0;
    char msg[256];
    inputs(&s, c);
    for (int i = 0; i < nstate; i++) {
        Type t = below(&s, 2) ? random_type(&s, 2 + below(&s, 3)) : type(&s, s.pool[0]);
        state[i] = b_input(s.g, i ? "state.b" : "state.a", t);
        add(&s, state[i]);
    }
    int steps = 2 + below(&s, 14);
    for (int i = 0; i < steps; i++) {
        Attempt at = {&s, c};
        err_guard(grow, &at, msg, sizeof msg);
    }
    outputs(&s);
    states(&s, nstate, state);
    return s.g;
}
