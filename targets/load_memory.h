/* SPDX-License-Identifier: Apache-2.0 */
/* Where load.c puts an object. */
#ifndef ADJ_TARGETS_LOAD_MEMORY_H
#define ADJ_TARGETS_LOAD_MEMORY_H

#include <llvm-c/OrcEE.h>

typedef struct LoadMemory LoadMemory;
/* For one object of so many bytes; NULL: there is no more. It outlives the layer. */
LoadMemory *load_memory_new(size_t bytes);
void load_memory_free(LoadMemory *);
/* An LLVMOrcLLJITBuilderObjectLinkingLayerCreatorFunction. */
LLVMOrcObjectLayerRef load_memory_layer(void *memory, LLVMOrcExecutionSessionRef,
                                        const char *triple);

#endif
