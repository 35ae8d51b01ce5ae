/* SPDX-License-Identifier: Apache-2.0 */
/* What the checks of one graph share. */
#ifndef ADJ_TOOLS_FUZZ_CHECK_H
#define ADJ_TOOLS_FUZZ_CHECK_H

#include "compiler/reference.h"
#include "fuzz.h"

enum { SLOTS = 3, SAMPLES = 5, STEPS = 2, FIRST_ID = 7, CALL_SEED = 99 };

typedef struct Check {
    Arena *a;
    uint64_t seed;
    Rng rng;      /* of cotangents and of elements looked at */
    Rng choice;   /* of targets: the same for every graph tried with a seed */
    double scale; /* largest value met */
    double drift; /* largest difference between evaluation in f32 and in f64 */
    double tol;   /* of the comparison at hand */
} Check;

/* ---- machine.c ---- */
bool is_state(const char *name);
const char *input_name(const Graph *, Ref);
/* The program that a graph describes: inputs "state.a" are written by init from an input "a.in",
 * and read by finish into an output "a.out". A graph that is no program ends in "skip: ...". */
ProgramSpec spec_of(Check *, Graph *, int slots);
Type io_type(const ProgIO *, int64_t n);
void fill(const Check *, const char *name, Type, void *data);
void set_tables(Env *, int64_t n); /* seed, id, t */
Env evaluate(Check *, const ProgramSpec *);
/* n samples of one output */
void compare(const Check *, const char *what, const ProgIO *, const void *got, const void *want,
             int64_t n);

/* ---- derive.c ---- */
enum { MAX_WRT = 8 };
typedef struct Derive {
    Graph *g;
    int nout, nwrt;
    Ref out[MAX_WRT], cot[MAX_WRT], wrt[MAX_WRT], grad[MAX_WRT];
} Derive;
Derive derive(Check *, const Graph *);
/* The graph with its inputs bound; one element of the input `at` is moved by `by`; NOREF: none. */
Eval *bind(Check *, const Graph *, Ref at, int64_t element, double by);
void check_gradient(Check *, const Derive *);

/* ---- code.c ---- */
void check_code(Check *, const Graph *one, DType);

/* ---- check.c ---- */
Graph *settle(Check *, const Graph *); /* what simplify and fold make of it */
/* NULL if samples are not independent, as far as the pass can see. */
Graph *batched(Check *, const Graph *, int64_t b);
void check_all(Check *, const char *text);

#endif
