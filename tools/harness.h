/* SPDX-License-Identifier: Apache-2.0 */
/* A model compiled and loaded into this process, with what its calls need: threads, arena, weights.
 * One call at a time. */
#ifndef ADJ_TOOLS_HARNESS_H
#define ADJ_TOOLS_HARNESS_H

#include "compiler/adjoint.h"
#include "runtime/pool.h"
#include "tools/data/npy.h"

typedef struct Harness {
    AdjCompiled *compiled;
    const AdjModel *model;
    const char *path;      /* of the model */
    const char *precision; /* "f32", "f64", "bf16" */
    AdjPool *pool;
    AdjEnv env;
    void *weights; /* NULL if embedded */
    void *arena;   /* serves every entry */
    size_t arena_bytes;
    uint32_t variant;       /* that earlier calls ran; 0: there was none */
    double compile_seconds; /* from the file to loaded code */
} Harness;

/* All return an exit status, 0 if fine (see say.h). A harness that failed to open needs no closing;
 * closing one that is all zero does nothing. */
int harness_open(Harness *, const AdjOptions *, int threads);
void harness_close(Harness *);

/* The entry of that name; NULL if the model was compiled without it. */
const AdjEntry *harness_entry(const Harness *, const char *name);

/* Runs an entry; size, weights, arena are filled in here. The status may be NULL. A call that
 * env.tick stopped is no error. */
int harness_call(Harness *, const AdjEntry *, AdjCall *, AdjStatus *);

/* ---- tensors of an entry ---- */

int64_t tensor_elements(const AdjTensor *); /* of one sample */
size_t tensor_bytes(const AdjTensor *);     /* of one sample */

/* zeroed; says so and returns NULL if there is no memory */
void *tensor_new(const AdjTensor *, int64_t samples);

/* Element i of an array of a tensor's type, as a number. */
double tensor_value(const AdjTensor *, const void *data, int64_t i);
/* The other way: of f64, f32 and i32. */
void element_store(int dtype, void *data, int64_t i, double v);

enum { ENTRY_TENSORS = 40, ENTRY_HYPERS = 32 }; /* most that an entry has */

/* Hyperparameters of a call; those that are not set are the entry's defaults. All zero: none is. */
typedef struct Hypers {
    const void *at[ENTRY_HYPERS]; /* for AdjCall.hyper */
    double room[ENTRY_HYPERS];
} Hypers;
/* Number k of the entry (see adj_hyper), in the type it wants. */
void hypers_set(Hypers *, const AdjEntry *, int k, double v);

/* The element type as .npy has it; says so if it has none. */
int tensor_npy_type(const AdjTensor *, NpyType *out);

/* Writes n samples as .npy, in the tensor's own type. */
int tensor_save(const char *path, const AdjTensor *, int64_t n, const void *data);

/* Says why a file could not be written there, before hours are spent on what goes into it. NULL is
 * fine. */
int output_check(const char *path);

#endif
