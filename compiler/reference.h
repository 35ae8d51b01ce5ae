/* SPDX-License-Identifier: Apache-2.0 */
/* Programs run by the evaluator: the definition that compiled entries are held against. */
#ifndef ADJ_COMPILER_REFERENCE_H
#define ADJ_COMPILER_REFERENCE_H

#include "compiler/compiled.h"
#include "ir/eval.h"

typedef struct Named { /* a dense tensor by the name that graphs know it by */
    const char *name;
    Type type;
    void *data;
} Named;

enum { MAX_NAMED = 1024 };
typedef struct Env { /* everything a phase's graph may read */
    Arena *arena;
    int n;
    Named v[MAX_NAMED];
} Env;

void *env_set(Env *, const char *name, Type, const void *data); /* copies; data NULL: zeros */
Named *env_find(Env *, const char *name);                       /* or NULL */

/* Inputs of program p for a batch of p's slots: n samples, the last one repeated (see adj_verify);
 * hyperparameters at their defaults; tables as the slot machine fills them. */
void reference_env(Env *, const AdjCompiled *, const ProgramSpec *, const AdjSamples *in, int nin,
                   int64_t n, int steps);
/* Evaluates one phase; every output is put into env under its name. */
void reference_phase(Env *, const Graph *);
/* init, step as often as init says, judge, finish. */
void reference_run(Env *, const ProgramSpec *);

#endif
