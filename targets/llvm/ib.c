/* SPDX-License-Identifier: Apache-2.0 */
/* The builder layer of ib.h. Every block that a helper opens is closed by its partner, so code that
 * uses only these helpers is well formed by construction. */
#include "ib.h"

#include <llvm-c/Target.h>
#include <stddef.h>

/* ---- modules and functions ---- */

void ib_open(Ib *ib, LLVMModuleRef mod)
{
    LLVMContextRef c = LLVMGetModuleContext(mod);
    *ib = (Ib){.ctx = c, .mod = mod, .b = LLVMCreateBuilderInContext(c)};
    ib->none = LLVMVoidTypeInContext(c);
    ib->i1 = LLVMInt1TypeInContext(c);
    ib->i8 = LLVMInt8TypeInContext(c);
    ib->i32 = LLVMInt32TypeInContext(c);
    ib->i64 = LLVMInt64TypeInContext(c);
    ib->f64 = LLVMDoubleTypeInContext(c);
    ib->ptr = LLVMPointerTypeInContext(c, 0);
    ib->size = LLVMIntPtrTypeInContext(c, LLVMGetModuleDataLayout(mod));
}

void ib_close(Ib *ib)
{
    LLVMDisposeBuilder(ib->b);
}

LLVMTypeRef ib_fn_type(LLVMTypeRef result, int n, const LLVMTypeRef *arg)
{
    return LLVMFunctionType(result, (LLVMTypeRef *)arg, (unsigned)n, 0);
}

static LLVMBasicBlockRef block(Ib *ib, const char *name)
{
    return LLVMAppendBasicBlockInContext(ib->ctx, ib->fn, name);
}

static void stand_at(Ib *ib, LLVMBasicBlockRef b)
{
    LLVMPositionBuilderAtEnd(ib->b, b);
}

static void set_nounwind(Ib *ib, LLVMValueRef fn)
{
    unsigned kind = LLVMGetEnumAttributeKindForName("nounwind", 8);
    LLVMAttributeRef a = LLVMCreateEnumAttribute(ib->ctx, kind, 0);
    LLVMAddAttributeAtIndex(fn, LLVMAttributeFunctionIndex, a);
}

LLVMValueRef ib_function(Ib *ib, const char *name, LLVMTypeRef type)
{
    ib->fn = LLVMAddFunction(ib->mod, name, type);
    LLVMSetLinkage(ib->fn, LLVMInternalLinkage);
    set_nounwind(ib, ib->fn);
    ib->vars = block(ib, "vars");
    LLVMBasicBlockRef body = block(ib, "body");
    stand_at(ib, ib->vars);
    LLVMBuildBr(ib->b, body);
    stand_at(ib, body);
    return ib->fn;
}

LLVMValueRef ib_arg(Ib *ib, int i)
{
    return LLVMGetParam(ib->fn, (unsigned)i);
}

LLVMValueRef ib_call(Ib *ib, LLVMTypeRef type, LLVMValueRef fn, int n, LLVMValueRef *arg)
{
    return LLVMBuildCall2(ib->b, type, fn, arg, (unsigned)n, "");
}

void ib_return(Ib *ib, LLVMValueRef v)
{
    if (v)
        LLVMBuildRet(ib->b, v);
    else
        LLVMBuildRetVoid(ib->b);
}

/* ---- values ---- */

LLVMValueRef ib_i32(Ib *ib, int64_t v)
{
    return LLVMConstInt(ib->i32, (unsigned long long)v & 0xffffffffu, 0);
}

LLVMValueRef ib_i64(Ib *ib, int64_t v)
{
    return LLVMConstInt(ib->i64, (unsigned long long)v, 0);
}

LLVMValueRef ib_null(Ib *ib)
{
    return LLVMConstNull(ib->ptr);
}

LLVMValueRef ib_add(Ib *ib, LLVMValueRef a, LLVMValueRef b)
{
    return LLVMBuildAdd(ib->b, a, b, "");
}

LLVMValueRef ib_cmp(Ib *ib, LLVMIntPredicate p, LLVMValueRef a, LLVMValueRef b)
{
    return LLVMBuildICmp(ib->b, p, a, b, "");
}

LLVMValueRef ib_is_null(Ib *ib, LLVMValueRef p)
{
    return ib_cmp(ib, LLVMIntEQ, p, ib_null(ib));
}

LLVMValueRef ib_and(Ib *ib, LLVMValueRef a, LLVMValueRef b)
{
    return LLVMBuildAnd(ib->b, a, b, "");
}

LLVMValueRef ib_or(Ib *ib, LLVMValueRef a, LLVMValueRef b)
{
    return LLVMBuildOr(ib->b, a, b, "");
}

LLVMValueRef ib_select(Ib *ib, LLVMValueRef c, LLVMValueRef yes, LLVMValueRef no)
{
    return LLVMBuildSelect(ib->b, c, yes, no, "");
}

LLVMValueRef ib_min(Ib *ib, LLVMValueRef a, LLVMValueRef b)
{
    return ib_select(ib, ib_cmp(ib, LLVMIntSLT, a, b), a, b);
}

LLVMValueRef ib_max(Ib *ib, LLVMValueRef a, LLVMValueRef b)
{
    return ib_select(ib, ib_cmp(ib, LLVMIntSGT, a, b), a, b);
}

LLVMValueRef ib_to_i64(Ib *ib, LLVMValueRef v)
{
    return LLVMBuildIntCast2(ib->b, v, ib->i64, 1, "");
}

/* ---- memory ---- */

LLVMValueRef ib_load(Ib *ib, LLVMTypeRef type, LLVMValueRef ptr)
{
    return LLVMBuildLoad2(ib->b, type, ptr, "");
}

void ib_store(Ib *ib, LLVMValueRef ptr, LLVMValueRef v)
{
    LLVMBuildStore(ib->b, v, ptr);
}

LLVMValueRef ib_at(Ib *ib, LLVMValueRef ptr, int64_t bytes)
{
    return bytes ? ib_elem(ib, ib->i8, ptr, ib_i64(ib, bytes)) : ptr;
}

LLVMValueRef ib_elem(Ib *ib, LLVMTypeRef elem, LLVMValueRef ptr, LLVMValueRef i)
{
    return LLVMBuildGEP2(ib->b, elem, ptr, &i, 1, "");
}

LLVMValueRef ib_field(Ib *ib, LLVMTypeRef record, LLVMValueRef ptr, int field)
{
    return LLVMBuildStructGEP2(ib->b, record, ptr, (unsigned)field, "");
}

LLVMValueRef ib_get(Ib *ib, LLVMTypeRef record, LLVMValueRef ptr, int field)
{
    LLVMTypeRef type = LLVMStructGetTypeAtIndex(record, (unsigned)field);
    return ib_load(ib, type, ib_field(ib, record, ptr, field));
}

void ib_put(Ib *ib, LLVMTypeRef record, LLVMValueRef ptr, int field, LLVMValueRef v)
{
    ib_store(ib, ib_field(ib, record, ptr, field), v);
}

int64_t ib_bytes(Ib *ib, LLVMTypeRef type)
{
    return (int64_t)LLVMABISizeOfType(LLVMGetModuleDataLayout(ib->mod), type);
}

void ib_copy(Ib *ib, LLVMTypeRef type, LLVMValueRef to, LLVMValueRef from)
{
    unsigned align = LLVMABIAlignmentOfType(LLVMGetModuleDataLayout(ib->mod), type);
    LLVMBuildMemCpy(ib->b, to, align, from, align, ib_i64(ib, ib_bytes(ib, type)));
}

void ib_zero(Ib *ib, LLVMValueRef ptr, int64_t bytes)
{
    LLVMBuildMemSet(ib->b, ptr, LLVMConstInt(ib->i8, 0, 0), ib_i64(ib, bytes), 1);
}

LLVMValueRef ib_fetch_add(Ib *ib, LLVMValueRef ptr, LLVMValueRef n)
{
    return LLVMBuildAtomicRMW(ib->b, LLVMAtomicRMWBinOpAdd, ptr, n, LLVMAtomicOrderingMonotonic, 0);
}

/* ---- variables ---- */

LLVMValueRef ib_record(Ib *ib, const char *name, LLVMTypeRef type)
{
    LLVMBasicBlockRef here = LLVMGetInsertBlock(ib->b);
    LLVMPositionBuilderBefore(ib->b, LLVMGetBasicBlockTerminator(ib->vars));
    LLVMValueRef at = LLVMBuildAlloca(ib->b, type, name);
    stand_at(ib, here);
    return at;
}

IbVar ib_var(Ib *ib, const char *name, LLVMTypeRef type, LLVMValueRef init)
{
    IbVar v = {type, ib_record(ib, name, type)};
    ib_set(ib, v, init);
    return v;
}

LLVMValueRef ib_value(Ib *ib, IbVar v)
{
    return ib_load(ib, v.type, v.at);
}

void ib_set(Ib *ib, IbVar v, LLVMValueRef value)
{
    ib_store(ib, v.at, value);
}

void ib_inc(Ib *ib, IbVar v, LLVMValueRef by)
{
    ib_set(ib, v, ib_add(ib, ib_value(ib, v), by));
}

/* ---- control flow ---- */

IbIf ib_if(Ib *ib, LLVMValueRef c)
{
    LLVMBasicBlockRef yes = block(ib, "then");
    IbIf s = {block(ib, "else"), block(ib, "end")};
    LLVMBuildCondBr(ib->b, c, yes, s.no);
    stand_at(ib, yes);
    return s;
}

void ib_else(Ib *ib, IbIf *s)
{
    LLVMBuildBr(ib->b, s->end);
    stand_at(ib, s->no);
    s->no = NULL;
}

void ib_end_if(Ib *ib, IbIf *s)
{
    if (s->no) ib_else(ib, s);
    LLVMBuildBr(ib->b, s->end);
    stand_at(ib, s->end);
}

void ib_return_if(Ib *ib, LLVMValueRef c, LLVMValueRef result)
{
    LLVMBasicBlockRef yes = block(ib, "return"), no = block(ib, "go_on");
    LLVMBuildCondBr(ib->b, c, yes, no);
    stand_at(ib, yes);
    ib_return(ib, result);
    stand_at(ib, no);
}

IbLoop ib_loop(Ib *ib)
{
    IbLoop l = {block(ib, "loop"), block(ib, "exit")};
    LLVMBuildBr(ib->b, l.head);
    stand_at(ib, l.head);
    return l;
}

void ib_leave_if(Ib *ib, IbLoop *l, LLVMValueRef c)
{
    LLVMBasicBlockRef on = block(ib, "on");
    LLVMBuildCondBr(ib->b, c, l->exit, on);
    stand_at(ib, on);
}

void ib_end_loop(Ib *ib, IbLoop *l)
{
    LLVMBuildBr(ib->b, l->head);
    stand_at(ib, l->exit);
}

IbFor ib_for(Ib *ib, LLVMValueRef from, LLVMValueRef to)
{
    IbVar i = ib_var(ib, "i", ib->i64, from);
    IbFor f = {ib_loop(ib), i};
    ib_leave_if(ib, &f.loop, ib_cmp(ib, LLVMIntSGE, ib_value(ib, i), to));
    return f;
}

void ib_end_for(Ib *ib, IbFor *f)
{
    ib_inc(ib, f->i, ib_i64(ib, 1));
    ib_end_loop(ib, &f->loop);
}
