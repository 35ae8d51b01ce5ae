/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the LLVM emitter know of each other: the pieces of a module (kernel functions,
 * entry points, constants) and the row of a CPU table. Everything is emitted into one LLVM module
 * that target_emit owns; kernels and the constant array have internal linkage, so only
 * <prefix>_model shows. */
#ifndef ADJ_TARGETS_LLVM_EMIT_H
#define ADJ_TARGETS_LLVM_EMIT_H

#include "targets/llvm/walk.h"
#include "targets/targets.h"

/* A row of a CPU table (cpu/cpus.def says what the columns mean); Target.row points to one. */
typedef struct CpuRow {
    const char *name, *llvm_cpu, *features;
    bool any; /* may stand for a machine that LLVM knows by another name */
    int vec_bytes, vec_regs;
    double rate, dot, tiles;
    bool fma, adds, rounds, halves;
    int64_t l1, l2;
    double l3_rate, memory_rate;
    const char *needs; /* commas between: "avx2,fma" */
} CpuRow;

/* Makes LLVM's targets known; may be called again. */
void llvm_start(void);

/* One kernel function:
 *     void name(ptr table, i64 lo, i64 hi [, i64 from, i64 to],
 *               for each parameter: ptr; for io ones ptr, i64 stride)
 * On a CPU it loops over [lo, hi) of the sample axis and over pieces [from, to) of the rest; on a
 * GPU, without from and to, it is a grid of GPU_BLOCK threads a block over
 * (hi - lo) * kernel_points() threads, the sample axis outermost. */
LLVMValueRef emit_kernel(LLVMModuleRef, const Kernel *, const Target *, bool exported);

/* The pieces of a kernel, of which any range may be run by itself, in any order and at the same
 * time as others: each result belongs to one piece, and is the same number whatever the range. At
 * least 1. */
int64_t kernel_pieces(const Kernel *);
bool kernel_repeats(const Kernel *); /* ClaimRow.repeats */

enum { GPU_BLOCK = 256 };
/* Threads a GPU launch needs for one sample (or in all, if the kernel has no sample axis). */
int64_t kernel_points(const Kernel *);

/* What a function of the row's CPU carries. */
void emit_cpu_attributes(LLVMContextRef, LLVMValueRef fn, const Target *);

/* Entry points, the model's data and the check of the CPU. The constants, if embedded, are the
 * global <prefix>_weights. kernel_fns[i] is the function of m->kernel[i], not called by anyone
 * else. */
void emit_entries(LLVMModuleRef, const Module *, const Target *, LLVMValueRef *kernel_fns);
void emit_variants(LLVMModuleRef, const Variant *, int n, LLVMValueRef **kernel_fns);

/* The array of AdjEntry, and the place of `run` in a row. stack.c completes the last member. */
#define ENTRY_TABLE "adj.entries"
enum { ENTRY_TABLE_FN = 1 };

/* weights.c: the section of an object in which emit.c reserves room for the weights, and what makes
 * it one of bytes that begin where the object ends. */
#define WEIGHTS_PLACE ".bss.adjweights"
void weights_place(Bytes *object, int64_t bytes);

/* stack.c: from stack_open until stack_close, code generation tells the frames of the module's
 * functions, and each row of the entry table gets its stack_bytes. */
typedef struct Stack Stack;
Stack *stack_open(LLVMModuleRef);
void stack_close(Stack *);
const char *stack_error(const Stack *);         /* what LLVM complained about, or NULL */
int64_t stack_of_row(LLVMModuleRef, int entry); /* of the entry table */

/* Kernels alone, with external names: for tests and for looking at code. */
Bytes emit_kernels(const Kernel *const *, int n, const Target *, EmitKind);

/* The bodies of emit_kernel: the builder stands in the entry block, the Walk is bound to
 * arguments. */
void generic_emit(Walk *); /* loops over every axis */
int64_t generic_pieces(const Kernel *);
void ptx_emit(Walk *); /* one thread a point */

/* What both bodies share: the axes that make loops (or the thread's number), from the outside in,
 * and what is done under them: tiles, reductions, stores. */
typedef struct Nest {
    int nloop, ntile, nred;
    int loop[MAX_AXES], tile[MAX_AXES], red[MAX_AXES];
} Nest;
Nest kernel_nest(const Kernel *);
void generic_point(Walk *, const Nest *);

/* The claim table of CPU targets. */
extern const ClaimRow cpu_claims[];
extern const int cpu_nclaims;
/* plans.c: the offer that a plan's text stands for; false: why there is none. */
bool plan_offer(const Target *, const Contract *, const char *plan, Offer *, char why[PLAN_WHY]);

#endif
