/* SPDX-License-Identifier: Apache-2.0 */
/* Where load.c puts objects: an LLVMOrcLLJITBuilderObjectLinkingLayerCreatorFunction, given the
 * bytes of the largest object (size_t *). */
#ifndef ADJ_TARGETS_LOAD_MEMORY_H
#define ADJ_TARGETS_LOAD_MEMORY_H

#include <llvm-c/OrcEE.h>

LLVMOrcObjectLayerRef load_layer(void *bytes, LLVMOrcExecutionSessionRef, const char *triple);

#endif
