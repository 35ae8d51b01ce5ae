/* SPDX-License-Identifier: Apache-2.0 */
/* A thin layer over the LLVM builder for code that is control flow rather than arithmetic: the
 * entry functions and their slot machine. Variables are allocas of the function's first block,
 * which LLVM turns into registers; blocks nest like the statements they stand for. */
#ifndef ADJ_TARGETS_LLVM_IB_H
#define ADJ_TARGETS_LLVM_IB_H

#include <llvm-c/Core.h>
#include <stdint.h>

typedef struct Ib {
    LLVMContextRef ctx;
    LLVMModuleRef mod;
    LLVMBuilderRef b;
    LLVMTypeRef none, i1, i8, i32, i64, f64, ptr, size; /* size: size_t of the target */
    LLVMValueRef fn;                                    /* the function being filled */
    LLVMBasicBlockRef vars; /* its first block: allocas, then a jump to the code */
} Ib;

void ib_open(Ib *, LLVMModuleRef);
void ib_close(Ib *);

/* ---- functions: internal, nounwind; the builder stands in the body ---- */
LLVMTypeRef ib_fn_type(LLVMTypeRef result, int n, const LLVMTypeRef *arg);
LLVMValueRef ib_function(Ib *, const char *name, LLVMTypeRef type);
LLVMValueRef ib_arg(Ib *, int);
LLVMValueRef ib_call(Ib *, LLVMTypeRef, LLVMValueRef fn, int n, LLVMValueRef *arg);
void ib_return(Ib *, LLVMValueRef); /* NULL: void */

/* ---- values ---- */
LLVMValueRef ib_i32(Ib *, int64_t);
LLVMValueRef ib_i64(Ib *, int64_t);
LLVMValueRef ib_null(Ib *);
LLVMValueRef ib_add(Ib *, LLVMValueRef, LLVMValueRef);
LLVMValueRef ib_cmp(Ib *, LLVMIntPredicate, LLVMValueRef, LLVMValueRef);
LLVMValueRef ib_is_null(Ib *, LLVMValueRef);
LLVMValueRef ib_and(Ib *, LLVMValueRef, LLVMValueRef);
LLVMValueRef ib_or(Ib *, LLVMValueRef, LLVMValueRef);
LLVMValueRef ib_select(Ib *, LLVMValueRef c, LLVMValueRef yes, LLVMValueRef no);
LLVMValueRef ib_min(Ib *, LLVMValueRef, LLVMValueRef); /* signed */
LLVMValueRef ib_max(Ib *, LLVMValueRef, LLVMValueRef);
LLVMValueRef ib_to_i64(Ib *, LLVMValueRef); /* signed */

/* ---- memory ---- */
LLVMValueRef ib_load(Ib *, LLVMTypeRef, LLVMValueRef ptr);
void ib_store(Ib *, LLVMValueRef ptr, LLVMValueRef);
LLVMValueRef ib_at(Ib *, LLVMValueRef ptr, int64_t bytes);
LLVMValueRef ib_elem(Ib *, LLVMTypeRef elem, LLVMValueRef ptr, LLVMValueRef i);
LLVMValueRef ib_field(Ib *, LLVMTypeRef record, LLVMValueRef ptr, int field); /* its address */
LLVMValueRef ib_get(Ib *, LLVMTypeRef record, LLVMValueRef ptr, int field);
void ib_put(Ib *, LLVMTypeRef record, LLVMValueRef ptr, int field, LLVMValueRef);
int64_t ib_bytes(Ib *, LLVMTypeRef); /* size on the target */
void ib_copy(Ib *, LLVMTypeRef, LLVMValueRef to, LLVMValueRef from);
void ib_zero(Ib *, LLVMValueRef ptr, int64_t bytes);
/* Atomic: old value of *ptr += n; n as wide as *ptr. */
LLVMValueRef ib_fetch_add(Ib *, LLVMValueRef ptr, LLVMValueRef n);

/* ---- variables and records of the function ---- */
typedef struct IbVar {
    LLVMTypeRef type;
    LLVMValueRef at;
} IbVar;
IbVar ib_var(Ib *, const char *name, LLVMTypeRef, LLVMValueRef init);
LLVMValueRef ib_value(Ib *, IbVar);
void ib_set(Ib *, IbVar, LLVMValueRef);
void ib_inc(Ib *, IbVar, LLVMValueRef by);
LLVMValueRef ib_record(Ib *, const char *name, LLVMTypeRef); /* uninitialised */

/* ---- control flow ---- */
typedef struct IbIf {
    LLVMBasicBlockRef no, end;
} IbIf;
IbIf ib_if(Ib *, LLVMValueRef);
void ib_else(Ib *, IbIf *);
void ib_end_if(Ib *, IbIf *);
void ib_return_if(Ib *, LLVMValueRef, LLVMValueRef result);

typedef struct IbLoop {
    LLVMBasicBlockRef head, exit;
} IbLoop;
IbLoop ib_loop(Ib *); /* for ever, but for */
void ib_leave_if(Ib *, IbLoop *, LLVMValueRef);
void ib_end_loop(Ib *, IbLoop *);

typedef struct IbFor {
    IbLoop loop;
    IbVar i;
} IbFor;
IbFor ib_for(Ib *, LLVMValueRef from, LLVMValueRef to); /* i64, from <= i < to */
void ib_end_for(Ib *, IbFor *);

#endif
