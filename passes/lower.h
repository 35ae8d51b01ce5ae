/* SPDX-License-Identifier: Apache-2.0 */
/* From graphs to a Module: fuse, layout, plan, schedule. The compiler describes a program by its
 * graphs; lower_program adds its kernels, buffers and calls to the module.
 *
 * Names bind graphs to the slot machine. Inputs: the name of an io tensor ([B, dims]) or of a
 * hyperparameter ([B]); "seed" i64[]; "id" i64[B]; "t", "limit", "done" i32[B]; "state.NAME" ([B,
 * ..]). Outputs: the name of an io output, "state.NAME", "limit", "done". Every "state.NAME" that a
 * graph reads is written by init. */
#ifndef ADJ_PASSES_LOWER_H
#define ADJ_PASSES_LOWER_H

#include "ir/module.h"
#include "ir/target.h"

typedef struct ProgramSpec {
    const char *name;
    int nio, nhyper;
    ProgIO io[MAX_IO];
    ProgHyper hyper[MAX_HYPER];
    int slots;
    bool loop, whole; /* as in Program */
    int step_forwards, step_backwards, judge_forwards, finish_forwards, finish_backwards;
    int again; /* values that may be computed a second time, where that makes the arena smaller */
    Graph *init, *step, *judge, *finish; /* NULL: empty; step is required */
} ProgramSpec;

Module *module_new(Arena *, const char *prefix);
/* Returns how many values of a phase could be computed again. */
int lower_program(Module *, const Target *, const ProgramSpec *);
/* With as few of them as bring its arena down to `most` bytes for one worker (0: any); an error if
 * none do. */
void lower_program_within(Module *, const Target *, const ProgramSpec *, int64_t most);
/* After the last program: the blob of constants is complete. */
void module_finish(Module *);

#endif
