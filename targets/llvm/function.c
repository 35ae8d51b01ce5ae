/* SPDX-License-Identifier: Apache-2.0 */
/* A kernel's function: its signature, its attributes, the walk bound to its arguments. Distinct
 * parameters never overlap where one of them is written (in place means one parameter that is
 * both), so all are noalias; those never written are readonly, which on a GPU makes their loads go
 * through the non-coherent cache. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "targets/llvm/walk_impl.h"

enum { CC_PTX_KERNEL = 71, MOST_ARGS = 5 + 2 * MAX_PARAMS };

static LLVMTypeRef pointer_type(LLVMContextRef c, const Target *t)
{
    return LLVMPointerTypeInContext(c, t->gpu ? 1 : 0);
}

static LLVMTypeRef function_type(LLVMContextRef c, const Kernel *k, const Target *t)
{
    LLVMTypeRef arg[MOST_ARGS], i64 = LLVMInt64TypeInContext(c), ptr = pointer_type(c, t);
    unsigned n = 0;
    arg[n++] = ptr;
    for (int i = 0; i < (t->gpu ? 2 : 4); i++) arg[n++] = i64;
    for (int i = 0; i < k->nparam; i++) {
        arg[n++] = ptr;
        if (k->param[i].io) arg[n++] = i64;
    }
    return LLVMFunctionType(LLVMVoidTypeInContext(c), arg, n, false);
}

static void add_enum(LLVMContextRef c, LLVMValueRef fn, unsigned at, const char *name)
{
    unsigned kind = LLVMGetEnumAttributeKindForName(name, strlen(name));
    LLVMAddAttributeAtIndex(fn, at, LLVMCreateEnumAttribute(c, kind, 0));
}

static void add_text(LLVMContextRef c, LLVMValueRef fn, const char *name, const char *value)
{
    LLVMAttributeRef a =
        LLVMCreateStringAttribute(c, name, (unsigned)strlen(name), value, (unsigned)strlen(value));
    LLVMAddAttributeAtIndex(fn, LLVMAttributeFunctionIndex, a);
}

/* Without the widths, a CPU tuned for narrower vectors would have them split. */
void emit_cpu_attributes(LLVMContextRef c, LLVMValueRef fn, const Target *t)
{
    const CpuRow *row = t->row;
    add_text(c, fn, "target-cpu", row->llvm_cpu);
    add_text(c, fn, "target-features", row->features);
    if (t->vec_bytes == 64) {
        add_text(c, fn, "prefer-vector-width", "512");
        add_text(c, fn, "min-legal-vector-width", "512");
    }
}

static void gpu_attributes(LLVMContextRef c, LLVMValueRef fn)
{
    char block[16];
    snprintf(block, sizeof block, "%d", GPU_BLOCK);
    LLVMSetFunctionCallConv(fn, CC_PTX_KERNEL);
    add_text(c, fn, "nvvm.maxntid", block);
}

/* What PTX takes in a name; elsewhere LLVM would quote it. */
static bool is_plain_name(const char *s)
{
    for (; *s; s++)
        if (!isalnum((unsigned char)*s) && *s != '_') return false;
    return true;
}

static LLVMValueRef declare(LLVMModuleRef mod, const Kernel *k, const Target *t, bool exported)
{
    LLVMContextRef c = LLVMGetModuleContext(mod);
    if (!is_plain_name(k->name)) die("kernel name '%s'", k->name);
    LLVMValueRef fn = LLVMAddFunction(mod, k->name, function_type(c, k, t));
    if (!exported && !t->gpu) LLVMSetLinkage(fn, LLVMInternalLinkage);
    add_enum(c, fn, LLVMAttributeFunctionIndex, "nounwind");
    if (t->gpu)
        gpu_attributes(c, fn);
    else
        emit_cpu_attributes(c, fn, t);
    return fn;
}

static LLVMValueRef take_pointer(Walk *w, unsigned n, bool written)
{
    add_enum(w->ctx, w->fn, n + 1, "noalias"); /* arguments count from 1 there */
    if (!written) add_enum(w->ctx, w->fn, n + 1, "readonly");
    return LLVMGetParam(w->fn, n);
}

static void bind_arguments(Walk *w)
{
    unsigned n = 0;
    w->table = take_pointer(w, n++, false);
    w->lo = LLVMGetParam(w->fn, n++);
    w->hi = LLVMGetParam(w->fn, n++);
    if (!w->target->gpu) {
        w->from = LLVMGetParam(w->fn, n++);
        w->to = LLVMGetParam(w->fn, n++);
    }
    for (int i = 0; i < w->k->nparam; i++) {
        w->base[i] = take_pointer(w, n++, w->k->param[i].out);
        w->stride[i] = w->k->param[i].io ? LLVMGetParam(w->fn, n++) : NULL;
    }
}

int64_t kernel_pieces(const Kernel *k)
{
    if (k->offer.claim < 0) return generic_pieces(k);
    const ClaimRow *row = &cpu_claims[k->offer.claim];
    return row->pieces ? row->pieces(k) : 1;
}

bool kernel_repeats(const Kernel *k)
{
    return k->offer.claim >= 0 && cpu_claims[k->offer.claim].repeats;
}

static void emit_body(Walk *w)
{
    int claim = w->k->offer.claim;
    if (w->target->gpu) {
        ptx_emit(w);
    } else if (claim >= 0) {
        check(claim < cpu_nclaims);
        cpu_claims[claim].emit(w);
    } else {
        generic_emit(w);
    }
}

static void release_arena(void *arena)
{
    arena_free(arena);
}

static void release_builder(void *builder)
{
    LLVMDisposeBuilder(builder);
}

LLVMValueRef emit_kernel(LLVMModuleRef mod, const Kernel *k, const Target *t, bool exported)
{
    LLVMValueRef fn = declare(mod, k, t, exported);
    LLVMContextRef c = LLVMGetModuleContext(mod);
    LLVMBuilderRef b = LLVMCreateBuilderInContext(c);
    err_defer(release_builder, b);
    LLVMPositionBuilderAtEnd(b, LLVMAppendBasicBlockInContext(c, fn, ""));
    Arena *scratch = arena_new();
    err_defer(release_arena, scratch);
    Walk w;
    walk_open(&w, scratch, fn, b, k, t);
    bind_arguments(&w);
    emit_body(&w);
    err_keep(scratch);
    err_keep(b);
    release_arena(scratch);
    release_builder(b);
    return fn;
}
