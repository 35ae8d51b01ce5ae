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

/* In-process loading of object bytes (ORC); returns the address of the symbol. */
typedef struct Loaded Loaded;
Loaded *object_load(const Bytes *object, const char *symbol, void **address);
void object_unload(Loaded *);

#endif
