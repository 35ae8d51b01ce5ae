/* SPDX-License-Identifier: Apache-2.0 */
/* Targets: from a Module to machine code. The only folder that includes llvm-c. */
#ifndef ADJ_TARGETS_H
#define ADJ_TARGETS_H

#include "ir/module.h"
#include "ir/target.h"

/* triple NULL: this machine. cpu NULL or "native": the row that fits this machine best. err()s name
 * what is not known and list what is. */
const Target *target_find(Arena *, const char *triple, const char *cpu);
void target_list(Str *); /* triples and CPU rows, for --help */

typedef enum EmitKind { EMIT_OBJ, EMIT_ASM, EMIT_LLVM } EmitKind;

typedef struct Bytes {
    uint8_t *data; /* malloc'd; bytes_free */
    size_t size;
} Bytes;
void bytes_free(Bytes *);

/* The whole module: kernels, entry loops, constants, <prefix>_model. For a GPU target, PTX text. */
Bytes target_emit(const Module *, const Target *, EmitKind);
/* Puts the blob that target_emit_variants leaves to others behind an object. */
void weights_append(Bytes *object, const Module *);

/* One object for several CPUs of a family. Every variant is a module of its own, lowered for its
 * target; programs agree in all that a caller sees, arena sizes included, and constants are in one
 * blob. An entry runs the last variant that the machine can run. An object with embedded constants
 * (Module.embed) ends where its blob must follow, whoever writes it: module_stream. stack, if not
 * NULL, gets AdjEntry's stack_bytes of each program; 0 where no machine code is made. */
enum { MAX_VARIANTS = 8 };
typedef struct Variant {
    const Module *m;
    const Target *target;
} Variant;
Bytes target_emit_variants(const Variant *, int n, EmitKind, int64_t *stack);

/* Offer.claim by name: "winograd"; "generic" for -1. */
const char *target_claim_name(int claim);

/* ---- plans: what a line of a schedule says behind its colon ---- */

/* The plan of an offer, "winograd tile=8x2 block=24 unroll=4"; "generic" if claim is -1. */
void target_plan_text(Str *, const Offer *);
/* err()s, naming the line, unless the target can run the line's contraction by its plan. */
void target_check_line(const Target *, const ScheduleLine *);
bool target_cpu_known(const char *name);
/* Lines that come with the compiler: measured, by CPU row. */
extern const char target_schedules[];

typedef struct TargetPlan {
    const char *text;
    double cost; /* estimated cycles */
} TargetPlan;
/* Plans that differ from `plan` in one field, others following from it where they must; `bits`:
 * also those that compute other bits, the other claims' own among them. Least cost first; the
 * count. */
int target_plans_near(Arena *, const Target *, const Contract *, const char *plan, bool bits,
                      const TargetPlan **out);

/* This machine runs the target's code; entries ask the same. */
bool target_runs_here(const Target *);

/* Names that the object leaves to the linker, sorted; the count. */
int object_imports(Arena *, const Bytes *object, const char ***names);

/* In-process loading of object bytes (ORC), which may go then; returns the symbol's address. */
typedef struct Loaded Loaded;
Loaded *object_load(const Bytes *object, const char *symbol, void **address);
void object_unload(Loaded *);

#endif
