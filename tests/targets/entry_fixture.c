/* SPDX-License-Identifier: Apache-2.0 */
/* Modules by hand, and the shortest way from them to a loaded object: the entries are those of the
 * compiler, the rest of the LLVM module is made here. */
#include "entry_fixture.h"

#include <llvm-c/Analysis.h>
#include <llvm-c/Target.h>
#include <llvm-c/TargetMachine.h>
#include <llvm-c/Transforms/PassBuilder.h>
#include <stdlib.h>
#include <string.h>

#include "targets/llvm/emit.h"

enum { MOST = 16 };

Fixture *fixture_new(const char *prefix)
{
    Arena *a = arena_new();
    Fixture *f = NEW(a, Fixture);
    f->arena = a;
    f->needs = "";
    f->m = NEW(a, Module);
    *f->m = (Module){.arena = a,
                     .prefix = prefix,
                     .source = "by-hand.onnx",
                     .hash = 99,
                     .kernel = NEW_N(a, Kernel *, MOST),
                     .program = NEW_N(a, Program, MOST)};
    return f;
}

void fixture_free(Fixture *f)
{
    if (f->loaded) object_unload(f->loaded);
    bytes_free(&f->object);
    arena_free(f->arena);
}

/* ---- by hand ---- */

int fixture_kernel(Fixture *f, void *c_fn, const char *params)
{
    Module *m = f->m;
    Kernel *k = NEW(f->arena, Kernel);
    k->name = arena_printf(f->arena, "k%d", m->nkernel);
    k->offer.claim = -1;
    for (const char *p = params; *p; p++)
        k->param[k->nparam++] = (KParam){.io = *p != 'm', .in = *p != 'o', .out = *p == 'o'};
    f->c_fn[m->nkernel] = c_fn;
    m->kernel[m->nkernel] = k;
    return m->nkernel++;
}

int fixture_shared_kernel(Fixture *f, void *c_fn, const char *params, int64_t pieces)
{
    int k = fixture_kernel(f, c_fn, params);
    f->shared[k] = true;
    f->m->kernel[k]->axis[f->m->kernel[k]->naxis++] = (Axis){"i", AX_SEQ, pieces, false};
    return k;
}

Program *fixture_program(Fixture *f, const char *name, int slots)
{
    Program *p = &f->m->program[f->m->nprogram++];
    *p = (Program){.name = name,
                   .slots = slots,
                   .team_slots = slots,
                   .buf_id = -1,
                   .buf_t = -1,
                   .buf_limit = -1,
                   .buf_done = -1,
                   .buffer = NEW_N(f->arena, Buffer, 3 * MOST)};
    p->buf_sample = fixture_memory(f, p, 8 * slots);
    return p;
}

static int add_io(Program *p, ProgIO io)
{
    p->io[p->nio] = io;
    return p->nio++;
}

int fixture_input(Program *p, const char *name, DType dtype, int64_t dim, int alias)
{
    return add_io(p, (ProgIO){name, dtype, 1, {dim}, false, alias, ""});
}

int fixture_output(Program *p, const char *name, DType dtype, int64_t dim)
{
    return add_io(p, (ProgIO){name, dtype, 1, {dim}, true, -1, ""});
}

int fixture_hyper(Program *p, const char *name, DType dtype, double value)
{
    p->hyper[p->nhyper] = (ProgHyper){name, dtype, value, 0, 10, ""};
    return p->nhyper++;
}

static int64_t up(int64_t n)
{
    return (n + 63) / 64 * 64;
}

int fixture_memory(Fixture *f, Program *p, int64_t bytes)
{
    int b = fixture_buffer(f, p, BUF_STATE, 0);
    p->buffer[b].offset = p->main_bytes;
    p->main_bytes += up(bytes);
    return b;
}

int fixture_buffer(Fixture *f, Program *p, BufKind kind, int index)
{
    (void)f;
    check(p->nbuffer < 3 * MOST);
    p->buffer[p->nbuffer] = (Buffer){.kind = kind, .index = index, .offset = index};
    return p->nbuffer++;
}

void fixture_call(Fixture *f, Phase *phase, int kernel, const int *buf)
{
    int n = f->m->kernel[kernel]->nparam;
    if (!phase->call) phase->call = NEW_N(f->arena, Call, MOST);
    phase->call[phase->ncall++] = (Call){.kernel = kernel,
                                         .nbuf = n,
                                         .buf = arena_dup(f->arena, buf, sizeof(int) * n),
                                         .macs = f->shared[kernel] ? 1e8 : 0};
}

void fixture_plan(Fixture *f, Program *p, int64_t zero_bytes)
{
    (void)f;
    p->zero_offset = p->main_bytes - up(zero_bytes);
    p->zero_bytes = zero_bytes;
    p->phase_offset = p->main_bytes;
    p->main_bytes = p->phase_offset + up(8 * p->slots);
    p->scratch_offset = p->main_bytes;
    p->own_bytes = 64;
    program_arena(p);
}

/* ---- to an object ---- */

/* The C function is one with any parameters; the stub passes on its own, but for the range of
 * pieces where there is only one. */
static LLVMValueRef stub(LLVMModuleRef mod, LLVMBuilderRef b, const Kernel *k, void *c_fn,
                         bool shared)
{
    unsigned left_out = shared ? 0 : 2;
    LLVMContextRef ctx = LLVMGetModuleContext(mod);
    LLVMTypeRef ptr = LLVMPointerTypeInContext(ctx, 0), i64 = LLVMInt64TypeInContext(ctx);
    LLVMTypeRef t[5 + 2 * MAX_PARAMS] = {ptr, i64, i64, i64, i64};
    unsigned n = 5;
    for (int i = 0; i < k->nparam; i++) {
        t[n++] = ptr;
        if (k->param[i].io) t[n++] = i64;
    }
    LLVMTypeRef type = LLVMFunctionType(LLVMVoidTypeInContext(ctx), t, n, 0);
    LLVMValueRef fn = LLVMAddFunction(mod, k->name, type), arg[5 + 2 * MAX_PARAMS];
    LLVMSetLinkage(fn, LLVMInternalLinkage);
    LLVMPositionBuilderAtEnd(b, LLVMAppendBasicBlockInContext(ctx, fn, ""));
    LLVMGetParams(fn, arg);
    memmove(t + 5 - left_out, t + 5, sizeof *t * (n - 5));
    memmove(arg + 5 - left_out, arg + 5, sizeof *arg * (n - 5));
    n -= left_out;
    LLVMTypeRef c_type = LLVMFunctionType(LLVMVoidTypeInContext(ctx), t, n, 0);
    LLVMValueRef at = LLVMConstInt(i64, (uintptr_t)c_fn, 0);
    LLVMBuildCall2(b, c_type, LLVMConstIntToPtr(at, ptr), arg, n, "");
    LLVMBuildRetVoid(b);
    return fn;
}

static void add_weights(LLVMModuleRef mod, const Module *m)
{
    LLVMContextRef ctx = LLVMGetModuleContext(mod);
    LLVMValueRef bytes =
        LLVMConstStringInContext2(ctx, (const char *)m->consts, (size_t)m->const_bytes, 1);
    LLVMValueRef v =
        LLVMAddGlobal(mod, LLVMTypeOf(bytes), arena_printf(m->arena, "%s_weights", m->prefix));
    LLVMSetInitializer(v, bytes);
    LLVMSetLinkage(v, LLVMInternalLinkage);
    LLVMSetAlignment(v, 64);
}

static LLVMTargetMachineRef machine(const char *triple)
{
    LLVMTargetRef t;
    char *msg = NULL;
    LLVMInitializeNativeTarget();
    LLVMInitializeNativeAsmPrinter();
    LLVMInitializeNativeAsmParser();
    if (LLVMGetTargetFromTriple(triple, &t, &msg)) die("%s", msg);
    return LLVMCreateTargetMachine(t, triple, "", "", LLVMCodeGenLevelDefault, LLVMRelocPIC,
                                   LLVMCodeModelDefault);
}

static void fill(LLVMModuleRef mod, Fixture *f, const Target *target)
{
    const Module *m = f->m;
    LLVMValueRef fn[MOST];
    LLVMBuilderRef b = LLVMCreateBuilderInContext(LLVMGetModuleContext(mod));
    for (int i = 0; i < m->nkernel; i++)
        fn[i] = stub(mod, b, m->kernel[i], f->c_fn[i], f->shared[i]);
    LLVMDisposeBuilder(b);
    if (m->embed && m->const_bytes) add_weights(mod, m);
    emit_entries(mod, m, target, fn);
    char *msg = NULL;
    if (LLVMVerifyModule(mod, LLVMReturnStatusAction, &msg)) die("%s", msg);
    LLVMDisposeMessage(msg);
}

static Bytes object_of(LLVMModuleRef mod, LLVMTargetMachineRef tm)
{
    LLVMMemoryBufferRef buf;
    char *msg = NULL;
    if (LLVMTargetMachineEmitToMemoryBuffer(tm, mod, LLVMObjectFile, &msg, &buf)) die("%s", msg);
    Bytes b = {.size = LLVMGetBufferSize(buf)};
    b.data = malloc(b.size);
    memcpy(b.data, LLVMGetBufferStart(buf), b.size);
    LLVMDisposeMemoryBuffer(buf);
    return b;
}

static void optimise(LLVMModuleRef mod, LLVMTargetMachineRef tm)
{
    LLVMPassBuilderOptionsRef o = LLVMCreatePassBuilderOptions();
    LLVMErrorRef e = LLVMRunPasses(mod, "default<O2>", tm, o);
    if (e) die("%s", LLVMGetErrorMessage(e));
    LLVMDisposePassBuilderOptions(o);
}

void fixture_build(Fixture *f)
{
    char *triple = LLVMGetDefaultTargetTriple();
    CpuRow row = {.name = "test", .needs = f->needs};
    Target target = {.name = "test", .triple = triple, .cpu = "by-hand", .row = &row};
    LLVMTargetMachineRef tm = machine(triple);
    LLVMContextRef ctx = LLVMContextCreate();
    LLVMModuleRef mod = LLVMModuleCreateWithNameInContext("m", ctx);
    LLVMSetTarget(mod, triple);
    LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(tm);
    LLVMSetModuleDataLayout(mod, layout);
    LLVMDisposeTargetData(layout);
    fill(mod, f, &target);
    if (f->optimise) optimise(mod, tm);
    f->object = object_of(mod, tm);
    LLVMDisposeModule(mod);
    LLVMContextDispose(ctx);
    LLVMDisposeTargetMachine(tm);
    LLVMDisposeMessage(triple);
    void *at = NULL;
    f->loaded = object_load(&f->object, arena_printf(f->arena, "%s_model", f->m->prefix), &at);
    f->model = at;
}
