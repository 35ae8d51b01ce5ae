/* SPDX-License-Identifier: Apache-2.0 */
/* Object bytes into this process, through ORC's linker: no system linker, no temporary file. An
 * object may import memcpy and memset; any other name stays unresolved and the load fails. */
#include <llvm-c/Error.h>
#include <llvm-c/LLJIT.h>
#include <llvm-c/TargetMachine.h>
#include <stdlib.h>
#include <string.h>

#include "targets/llvm/emit.h"
#include "targets/load_memory.h"

struct Loaded {
    LLVMOrcLLJITRef jit;
    LoadMemory *memory; /* NULL: LLVM's own */
};

void object_unload(Loaded *l)
{
    if (!l) return;
    if (l->jit) LLVMConsumeError(LLVMOrcDisposeLLJIT(l->jit));
    load_memory_free(l->memory);
    free(l);
}

static void release(void *l)
{
    object_unload(l);
}

/* err()s unwind, so LLVM's text is copied out first. */
static void succeed(LLVMErrorRef e, const char *what)
{
    char text[512];
    if (!e) return;
    char *message = LLVMGetErrorMessage(e);
    strncpy(text, message, sizeof text - 1);
    text[sizeof text - 1] = '\0';
    LLVMDisposeErrorMessage(message);
    err(NULL, "%s: %s", what, text);
}

static LLVMOrcCSymbolMapPair import(Loaded *l, const char *name, const void *address)
{
    LLVMJITEvaluatedSymbol s = {(LLVMOrcExecutorAddress)(uintptr_t)address,
                                {LLVMJITSymbolGenericFlagsExported, 0}};
    return (LLVMOrcCSymbolMapPair){LLVMOrcLLJITMangleAndIntern(l->jit, name), s};
}

static void add_imports(Loaded *l)
{
    LLVMOrcCSymbolMapPair pair[] = {import(l, "memcpy", (const void *)(uintptr_t)memcpy),
                                    import(l, "memset", (const void *)(uintptr_t)memset)};
    LLVMOrcMaterializationUnitRef unit = LLVMOrcAbsoluteSymbols(pair, COUNT(pair));
    succeed(LLVMOrcJITDylibDefine(LLVMOrcLLJITGetMainJITDylib(l->jit), unit), "loading");
}

static void add_object(Loaded *l, const Bytes *object)
{
    LLVMMemoryBufferRef buffer = LLVMCreateMemoryBufferWithMemoryRange(
        (const char *)object->data, object->size, "object", false);
    LLVMOrcJITDylibRef main = LLVMOrcLLJITGetMainJITDylib(l->jit);
    succeed(LLVMOrcLLJITAddObjectFile(l->jit, main, buffer), "loading the object");
}

static void start(Loaded *l, const Bytes *object)
{
    LLVMOrcLLJITBuilderRef builder = LLVMOrcCreateLLJITBuilder();
#if defined(__x86_64__) && defined(__linux__) /* elsewhere LLVM chooses linker and memory */
    l->memory = load_memory_new(object->size);
    if (!l->memory) {
        LLVMOrcDisposeLLJITBuilder(builder);
        err(NULL, "out of memory (%zu bytes wanted)", object->size);
    }
    LLVMOrcLLJITBuilderSetObjectLinkingLayerCreator(builder, load_memory_layer, l->memory);
#endif
    succeed(LLVMOrcCreateLLJIT(&l->jit, builder), "starting the loader");
}

Loaded *object_load(const Bytes *object, const char *symbol, void **address)
{
    llvm_start();
    Loaded *l = calloc(1, sizeof *l);
    if (!l) err(NULL, "out of memory");
    err_defer(release, l);
    start(l, object);
    add_imports(l);
    add_object(l, object);
    LLVMOrcExecutorAddress at = 0;
    succeed(LLVMOrcLLJITLookup(l->jit, &at, symbol), "linking the object");
    *address = (void *)(uintptr_t)at;
    err_keep(l);
    return l;
}
