/* SPDX-License-Identifier: Apache-2.0 */
/* adjfuzz: random graphs through everything that must agree about them. */
#ifndef ADJ_TOOLS_FUZZ_H
#define ADJ_TOOLS_FUZZ_H

#include "ir/graph.h"

/* ---- random numbers (SplitMix64; Steele, Lea, Flood 2014) ---- */
typedef struct Rng {
    uint64_t state;
} Rng;
uint64_t rng_bits(Rng *);
int rng_below(Rng *, int n); /* 0 <= result < n */
double rng_uniform(Rng *, double lo, double hi);

/* ---- gen.c ---- */
typedef enum FuzzClass {
    FUZZ_ELEMENTWISE,
    FUZZ_VIEW,
    FUZZ_REDUCE,
    FUZZ_CONTRACT,
    FUZZ_INDEX,
    FUZZ_STATE,
    FUZZ_CLASSES
} FuzzClass;
extern const char *const fuzz_class_names[FUZZ_CLASSES];
/* A graph in f64 for one sample, its main work of the class; inputs have a leading extent of 1.
 * Everything in it is text of the same size: no constant needs a sidecar. */
Graph *fuzz_graph(Arena *, Rng *, FuzzClass);

/* ---- child.c ---- */
typedef enum Verdict { FUZZ_PASS, FUZZ_SKIP, FUZZ_FAIL } Verdict;
enum { FUZZ_MESSAGE = 512 };
/* Runs every check on the graph of this text, in a child process: a crash or a hang is a failure.
 * msg gets one line. */
Verdict fuzz_check(const char *text, uint64_t seed, char *msg);
void fuzz_check_start(void); /* once, before: what every child would do again */

/* ---- shrink.c ---- */
/* The smallest text found that still fails in the same way, on the heap. */
char *fuzz_shrink(const char *text, uint64_t seed, const char *msg);

#endif
