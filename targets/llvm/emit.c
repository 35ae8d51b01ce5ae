/* SPDX-License-Identifier: Apache-2.0 */
/* From a Module to bytes: one LLVM module, a short pipeline of passes (the IR comes with constants
 * folded and vectors made, so little is left to do), code generation into memory. What LLVM would
 * abort on is refused before it sees it: only the triples and CPU rows of the tables get here. */
#include "targets/llvm/emit.h"

#include <llvm-c/Analysis.h>
#include <llvm-c/Error.h>
#include <llvm-c/TargetMachine.h>
#include <llvm-c/Transforms/PassBuilder.h>
#include <stdlib.h>
#include <string.h>

static const char pipeline[] =
    "function(sroa,early-cse,instcombine<no-verify-fixpoint>,simplifycfg,loop-mssa(licm),"
    "early-cse<memssa>,instcombine<no-verify-fixpoint>,dce)";

void llvm_start(void)
{
    LLVMInitializeAllTargetInfos();
    LLVMInitializeAllTargets();
    LLVMInitializeAllTargetMCs();
    LLVMInitializeAllAsmPrinters();
    LLVMInitializeAllAsmParsers(); /* entries hold a line of inline assembly */
}

void bytes_free(Bytes *b)
{
    free(b->data);
    *b = (Bytes){0};
}

/* ---- what LLVM owns, released together ---- */

typedef struct Emitter {
    LLVMContextRef ctx;
    LLVMModuleRef mod;
    LLVMTargetMachineRef tm;
    Stack *stack;
} Emitter;

static void emitter_close(void *arg)
{
    Emitter *e = arg;
    stack_close(e->stack);
    if (e->mod) LLVMDisposeModule(e->mod);
    if (e->tm) LLVMDisposeTargetMachine(e->tm);
    LLVMContextDispose(e->ctx);
    free(e);
}

/* Says what LLVM said, and gives its text back. */
_Noreturn static void fail(const char *what, char *message)
{
    die("%s: %s", what, message ? message : "");
}

static LLVMTargetMachineRef machine_of(const Target *t)
{
    const CpuRow *row = t->row;
    LLVMTargetRef target;
    char *message = NULL;
    if (LLVMGetTargetFromTriple(t->triple, &target, &message))
        err(NULL, "this LLVM has no target for %s", t->triple);
    LLVMTargetMachineRef tm =
        LLVMCreateTargetMachine(target, t->triple, row->llvm_cpu, row->features,
                                LLVMCodeGenLevelDefault, LLVMRelocPIC, LLVMCodeModelDefault);
    if (!tm) err(NULL, "LLVM knows no CPU %s for %s", row->llvm_cpu, t->triple);
    return tm;
}

static Emitter *emitter_open(const Target *t, const char *name)
{
    llvm_start();
    Emitter *e = calloc(1, sizeof *e);
    if (!e) err(NULL, "out of memory");
    e->ctx = LLVMContextCreate();
    err_defer(emitter_close, e);
    e->tm = machine_of(t);
    e->mod = LLVMModuleCreateWithNameInContext(name, e->ctx);
    LLVMSetTarget(e->mod, t->triple);
    LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(e->tm);
    LLVMSetModuleDataLayout(e->mod, layout);
    LLVMDisposeTargetData(layout);
    return e;
}

/* ---- constants ---- */

static void free_arena(void *a)
{
    arena_free(a);
}

static LLVMValueRef add_weights(Emitter *e, const Module *m)
{
    LLVMTypeRef bytes = LLVMArrayType2(LLVMInt8TypeInContext(e->ctx), (uint64_t)m->const_bytes);
    LLVMValueRef g = LLVMAddGlobal(e->mod, bytes, arena_printf(m->arena, "%s_weights", m->prefix));
    LLVMSetLinkage(g, LLVMInternalLinkage);
    LLVMSetAlignment(g, CONST_ALIGN);
    return g;
}

/* Text holds the weights; an object gets them behind its end (weights.c), so that LLVM never sees
 * them. It must not take their place for zeros. */
static void emit_weights(Emitter *e, const Module *m, bool behind)
{
    LLVMValueRef g = add_weights(e, m);
    if (behind) {
        LLVMSetSection(g, WEIGHTS_PLACE);
        LLVMSetInitializer(g, LLVMConstNull(LLVMGlobalGetValueType(g)));
        LLVMSetExternallyInitialized(g, true);
        return;
    }
    Arena *scratch = arena_new();
    err_defer(free_arena, scratch);
    uint8_t *all = arena_alloc(scratch, (size_t)m->const_bytes);
    module_fill(m, all);
    LLVMSetInitializer(
        g, LLVMConstStringInContext2(e->ctx, (const char *)all, (size_t)m->const_bytes, true));
    LLVMSetGlobalConstant(g, true);
    err_keep(scratch);
    arena_free(scratch);
}

/* ---- code ---- */

static void verify(Emitter *e)
{
    char *message = NULL;
    if (LLVMVerifyModule(e->mod, LLVMReturnStatusAction, &message))
        fail("LLVM rejects the module", message);
    LLVMDisposeMessage(message);
}

static void optimise(Emitter *e)
{
    LLVMPassBuilderOptionsRef o = LLVMCreatePassBuilderOptions();
    LLVMErrorRef bad = LLVMRunPasses(e->mod, pipeline, e->tm, o);
    LLVMDisposePassBuilderOptions(o);
    if (bad) fail("LLVM passes", LLVMGetErrorMessage(bad));
}

static Bytes bytes_of(const char *data, size_t size)
{
    Bytes b = {.data = malloc(size ? size : 1), .size = size};
    if (!b.data) err(NULL, "out of memory (%zu bytes wanted)", size);
    memcpy(b.data, data, size);
    return b;
}

static Bytes print_ir(Emitter *e)
{
    char *text = LLVMPrintModuleToString(e->mod);
    Bytes b = bytes_of(text, strlen(text));
    LLVMDisposeMessage(text);
    return b;
}

static Bytes generate(Emitter *e, LLVMCodeGenFileType type)
{
    char *message = NULL;
    LLVMMemoryBufferRef buffer;
    e->stack = stack_open(e->mod);
    if (LLVMTargetMachineEmitToMemoryBuffer(e->tm, e->mod, type, &message, &buffer))
        fail("LLVM code generation", message);
    if (stack_error(e->stack)) err(NULL, "LLVM code generation: %s", stack_error(e->stack));
    Bytes b = bytes_of(LLVMGetBufferStart(buffer), LLVMGetBufferSize(buffer));
    LLVMDisposeMemoryBuffer(buffer);
    return b;
}

static Bytes emitter_run(Emitter *e, const Target *t, EmitKind kind)
{
    verify(e);
    optimise(e);
    bool object = kind == EMIT_OBJ && !t->gpu;
    return kind == EMIT_LLVM ? print_ir(e)
                             : generate(e, object ? LLVMObjectFile : LLVMAssemblyFile);
}

static Bytes emitter_finish(Emitter *e, const Target *t, EmitKind kind)
{
    Bytes b = emitter_run(e, t, kind);
    err_keep(e);
    emitter_close(e);
    return b;
}

static void mark_variant(Emitter *e, const Variant *v, LLVMValueRef fn)
{
    size_t n;
    const char *old = LLVMGetValueName2(fn, &n);
    const char *name = arena_printf(v->m->arena, "%s.%s", old, v->target->cpu);
    LLVMSetValueName2(fn, name, strlen(name));
    emit_cpu_attributes(e->ctx, fn, v->target);
}

/* Where there are several variants, the functions of each (kernels, and what claims put beside
 * them) have the CPU's name behind theirs and say for which CPU they are: the code generator is set
 * to one. */
static LLVMValueRef *variant_kernels(Emitter *e, const Variant *v, bool several)
{
    const Module *m = v->m;
    LLVMValueRef *fn = NEW_N(m->arena, LLVMValueRef, m->nkernel);
    LLVMValueRef last = LLVMGetLastFunction(e->mod);
    for (int i = 0; i < m->nkernel; i++)
        fn[i] = emit_kernel(e->mod, m->kernel[i], v->target, false);
    if (!several) return fn;
    for (LLVMValueRef f = last ? LLVMGetNextFunction(last) : LLVMGetFirstFunction(e->mod); f;
         f = LLVMGetNextFunction(f))
        if (!LLVMIsDeclaration(f)) mark_variant(e, v, f);
    return fn;
}

Bytes target_emit_variants(const Variant *v, int n, EmitKind kind, int64_t *stack)
{
    const Module *m = v[0].m;
    LLVMValueRef *fn[MAX_VARIANTS];
    bool gpu = v[0].target->gpu;
    check(n > 0 && n <= MAX_VARIANTS);
    Emitter *e = emitter_open(v[0].target, m->source ? m->source : m->prefix);
    bool embed = m->embed && !gpu, behind = kind == EMIT_OBJ && m->const_bytes > 0;
    if (embed) emit_weights(e, m, behind);
    for (int i = 0; i < n; i++) fn[i] = variant_kernels(e, &v[i], n > 1);
    if (!gpu) emit_variants(e->mod, v, n, fn);
    Bytes b = emitter_run(e, v[0].target, kind);
    if (embed && behind) weights_place(&b, m->const_bytes);
    for (int i = 0; stack && i < m->nprogram; i++) stack[i] = stack_of_row(e->mod, i);
    err_keep(e);
    emitter_close(e);
    return b;
}

Bytes target_emit(const Module *m, const Target *t, EmitKind kind)
{
    Bytes b = target_emit_variants(&(Variant){m, t}, 1, kind, NULL);
    if (kind == EMIT_OBJ && m->embed && !t->gpu) weights_append(&b, m);
    return b;
}

Bytes emit_kernels(const Kernel *const *k, int n, const Target *t, EmitKind kind)
{
    Emitter *e = emitter_open(t, "kernels");
    for (int i = 0; i < n; i++) emit_kernel(e->mod, k[i], t, true);
    return emitter_finish(e, t, kind);
}
