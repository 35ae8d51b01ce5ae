/* SPDX-License-Identifier: Apache-2.0 */
/* For test_entry: modules made by hand whose kernels are C functions of the test. A kernel of
 * the object is a stub that jumps to the C function's address, with the arguments of every
 * compiled kernel: (table, lo, hi, for each parameter: pointer, and for the caller's tensors
 * also a stride in bytes). */
#ifndef ADJ_TESTS_ENTRY_FIXTURE_H
#define ADJ_TESTS_ENTRY_FIXTURE_H

#include "runtime/adjoint_abi.h"
#include "targets/targets.h"

typedef struct Fixture {
    Arena *arena;
    Module *m;
    void *c_fn[16];    /* by kernel */
    bool shared[16];   /* its C function takes a range of pieces */
    const char *needs; /* cpuid features that the object asks for */
    bool optimise;
    Bytes object;
    Loaded *loaded;
    const AdjModel *model;
} Fixture;

Fixture *fixture_new(const char *prefix);
void fixture_free(Fixture *);
/* params: a letter each: i caller's input or hyperparameter, o caller's output, m memory of the
 * model */
int fixture_kernel(Fixture *, void *c_fn, const char *params);
/* One of so many pieces: its C function has i64 from and to behind hi. */
int fixture_shared_kernel(Fixture *, void *c_fn, const char *params, int64_t pieces);

Program *fixture_program(Fixture *, const char *name, int slots);
int fixture_input(Program *, const char *name, DType, int64_t dim, int alias);
int fixture_output(Program *, const char *name, DType, int64_t dim);
int fixture_hyper(Program *, const char *name, DType, double value);
/* Buffers: of the worker's arena (bytes there), and others by kind and index (consts: offset). */
int fixture_memory(Fixture *, Program *, int64_t bytes);
int fixture_buffer(Fixture *, Program *, BufKind, int index);
/* buf: buffer numbers, -1 ends. */
void fixture_call(Fixture *, Phase *, int kernel, const int *buf);
/* Places the zeroed memory first, then scratch and the slot machine's words. */
void fixture_plan(Fixture *, Program *, int64_t zero_bytes);

void fixture_build(Fixture *); /* emits, loads; die()s if the module is not well formed */

#endif
