/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the compile API know of a model being compiled. */
#ifndef ADJ_COMPILER_COMPILED_H
#define ADJ_COMPILER_COMPILED_H

#include "compiler/adjoint.h"
#include "compiler/onnx.h"
#include "compiler/programs.h"
#include "targets/targets.h"

enum { MAX_ENTRIES = 64, DEFAULT_BATCH = 8, BATCH_NONE = -1 };

/* What is compiled for one row of --cpu. */
typedef struct CpuVariant {
    const Target *target;
    Module *module;
} CpuVariant;

struct AdjCompiled {
    Arena *arena;
    AdjOptions opt; /* strings copied into the arena */
    int nvariant;
    CpuVariant variant[MAX_VARIANTS];
    const Target *target;   /* of the variant that runs here, or of the first, as is module */
    const char *cpus;       /* names of all, with commas */
    const OnnxFixed *fixed; /* opt.nconsts of them */
    const struct Trainable *trainable; /* NULL: nobody has asked yet */
    const Graph *imported;             /* as the file has it, batch 1 */
    const char *image;                 /* the file's name of its input x; NULL: it has none */
    Model model;
    int nspec;
    ProgramSpec spec[MAX_ENTRIES];
    Module *module;
    Schedule schedule; /* lines that bids obey */
    AdjTimes times;
    Str stages; /* names that --print-after could have had */
    bool printed;
    Bytes object;               /* emitted on first use, without the blob that follows it */
    int64_t stack[MAX_ENTRIES]; /* of each entry; known with the object */
    Loaded *loaded;
    const AdjModel *here;
};

double wall_seconds(void);
/* variants.c: targets of --cpu's list; modules that agree in what a caller sees. */
void variants_open(AdjCompiled *);
void variants_join(AdjCompiled *);
Bytes variants_emit(const AdjCompiled *, EmitKind, int64_t *stack);
/* schedules.c: the options' lines and the measured ones, checked; then the lines in use. */
void schedules_open(AdjCompiled *);
void schedules_used(const AdjCompiled *, Str *);
uint64_t model_hash(const AdjCompiled *);     /* structure.c; after the lowering */
const Bytes *compiled_object(AdjCompiled *);  /* err()s on failure */
int64_t compiled_object_bytes(AdjCompiled *); /* of the file: with the blob, if embedded */
const char *compiled_c_name(AdjCompiled *, const char *program); /* "pgd-linf" -> "pgd_linf" */
/* Text of the generated header; manifest as JSON (heap). */
void header_text(AdjCompiled *, Str *, const char *base_name);
char *manifest_text(AdjCompiled *, bool with_graph);
struct json_t *options_json(AdjCompiled *); /* pack.c: what it needs to compile alike */

/* One guard for every public function: runs fn(c), turns an err() into AdjError. */
bool guarded_call(void (*fn)(void *), void *arg, AdjError *);

#endif
