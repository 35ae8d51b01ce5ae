/* SPDX-License-Identifier: Apache-2.0 */
/* How much stack an entry needs below its caller. Sizes of frames are known only while machine code
 * is made, so every function is given the limit 0 and LLVM reports each frame that exceeds it. The
 * functions of a module are compiled in order, an entry after all that it may call, and data is
 * written after all functions: when the report of an entry arrives, the frames below it are known,
 * and its row of the entry table can still be completed. */
#include <llvm-c/Core.h>
#include <llvm-c/Target.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "targets/llvm/emit.h"

enum { WORD = 8, REGISTER_ARGS = 6, STACK_ALIGN = 16, WIDEST_SPILL = 64, LAYERS = 8 };

typedef struct Function {
    LLVMValueRef fn;
    int64_t frame;  /* 0 until reported: no report, no frame */
    int64_t margin; /* what aligning the frame may add */
    int ncall, cap;
    struct {
        int callee;     /* -1: not of this module */
        int64_t pushed; /* arguments that do not fit registers */
    } * call;
} Function;

struct Stack {
    LLVMModuleRef mod;
    int n;
    Function *f;
    char error[512];
};

void stack_close(Stack *s)
{
    if (!s) return;
    for (int i = 0; i < s->n; i++) free(s->f[i].call);
    free(s->f);
    free(s);
}

/* ---- who calls whom ---- */

static int index_of(const Stack *s, LLVMValueRef fn)
{
    for (int i = 0; i < s->n; i++)
        if (s->f[i].fn == fn) return i;
    return -1;
}

static void add_call(Function *f, int callee, int64_t pushed)
{
    for (int i = 0; i < f->ncall; i++)
        if (f->call[i].callee == callee && f->call[i].pushed >= pushed) return;
    if (f->ncall == f->cap) {
        f->cap = f->cap ? 2 * f->cap : 8;
        void *more = realloc(f->call, (size_t)f->cap * sizeof *f->call);
        if (!more) err(NULL, "out of memory");
        f->call = more;
    }
    f->call[f->ncall].callee = callee;
    f->call[f->ncall++].pushed = pushed;
}

static int64_t pushed_bytes(LLVMValueRef call)
{
    int64_t n = (int64_t)LLVMGetNumArgOperands(call) - REGISTER_ARGS;
    return n > 0 ? (n * WORD + STACK_ALIGN - 1) / STACK_ALIGN * STACK_ALIGN : 0;
}

/* A spilled vector wider than the stack's alignment has the whole frame aligned to it, and its size
 * rounded. */
static void note_width(const Stack *s, Function *f, LLVMTypeRef t)
{
    if (LLVMGetTypeKind(t) != LLVMVectorTypeKind) return;
    int64_t n = (int64_t)LLVMABISizeOfType(LLVMGetModuleDataLayout(s->mod), t);
    n = n < WIDEST_SPILL ? n : WIDEST_SPILL;
    if (n > STACK_ALIGN && f->margin < 2 * n) f->margin = 2 * n;
}

/* A function that an instruction names may be called there, directly or by whoever gets it. */
static void note_instruction(const Stack *s, Function *f, LLVMValueRef in)
{
    bool call = LLVMIsACallInst(in) != NULL;
    note_width(s, f, LLVMTypeOf(in));
    if (call) add_call(f, -1, pushed_bytes(in));
    for (int i = 0; i < LLVMGetNumOperands(in); i++) {
        LLVMValueRef v = LLVMGetOperand(in, (unsigned)i);
        int callee = LLVMIsAFunction(v) ? index_of(s, v) : -1;
        if (callee >= 0) add_call(f, callee, call ? pushed_bytes(in) : 0);
    }
}

static void note_body(const Stack *s, Function *f)
{
    for (LLVMBasicBlockRef b = LLVMGetFirstBasicBlock(f->fn); b; b = LLVMGetNextBasicBlock(b))
        for (LLVMValueRef in = LLVMGetFirstInstruction(b); in; in = LLVMGetNextInstruction(in))
            note_instruction(s, f, in);
}

/* Without a red zone a frame is all that a function uses. */
static void set_limit(LLVMContextRef c, LLVMValueRef fn)
{
    static const char limit[] = "warn-stack-size", zone[] = "noredzone";
    unsigned kind = LLVMGetEnumAttributeKindForName(zone, sizeof zone - 1);
    LLVMAttributeRef a[] = {LLVMCreateStringAttribute(c, limit, sizeof limit - 1, "0", 1),
                            LLVMCreateEnumAttribute(c, kind, 0)};
    for (int i = 0; i < COUNT(a); i++)
        LLVMAddAttributeAtIndex(fn, LLVMAttributeFunctionIndex, a[i]);
}

static void list_functions(Stack *s)
{
    int cap = 0;
    for (LLVMValueRef f = LLVMGetFirstFunction(s->mod); f; f = LLVMGetNextFunction(f)) cap++;
    s->f = calloc((size_t)cap + 1, sizeof *s->f);
    if (!s->f) err(NULL, "out of memory");
    for (LLVMValueRef f = LLVMGetFirstFunction(s->mod); f; f = LLVMGetNextFunction(f))
        if (!LLVMIsDeclaration(f)) s->f[s->n++].fn = f;
}

/* ---- sums ---- */

static int64_t return_address(const Stack *s)
{
    const char *triple = LLVMGetTarget(s->mod);
    return strncmp(triple, "x86_64", 6) ? 0 : WORD; /* others return through a register */
}

/* From the stack pointer at the call to the lowest byte, arguments excluded. The layers are entry,
 * worker, phase, kernel, tile; nothing recurs. */
static int64_t depth_of(const Stack *s, int i, int layer)
{
    const Function *f = &s->f[i];
    int64_t deepest = 0;
    for (int k = 0; k < f->ncall; k++) {
        int callee = f->call[k].callee;
        check(layer < LAYERS);
        int64_t below = callee < 0 ? return_address(s) : depth_of(s, callee, layer + 1);
        if (below + f->call[k].pushed > deepest) deepest = below + f->call[k].pushed;
    }
    return return_address(s) + f->frame + (f->frame ? f->margin : 0) + deepest;
}

/* ---- the entry table ---- */

static LLVMValueRef row_with(LLVMValueRef row, int64_t bytes)
{
    enum { MOST = 16 };
    LLVMValueRef member[MOST];
    int n = LLVMGetNumOperands(row);
    check(n > 0 && n <= MOST);
    for (int i = 0; i < n; i++) member[i] = LLVMGetOperand(row, (unsigned)i);
    LLVMTypeRef type = LLVMTypeOf(member[n - 1]);
    member[n - 1] = LLVMConstInt(type, (unsigned long long)bytes, 0);
    return LLVMConstStructInContext(LLVMGetTypeContext(type), member, (unsigned)n, 0);
}

static void complete_row(Stack *s, LLVMValueRef fn, int64_t bytes)
{
    LLVMValueRef table = LLVMGetNamedGlobal(s->mod, ENTRY_TABLE);
    if (!table) return;
    LLVMValueRef rows = LLVMGetInitializer(table);
    int n = LLVMGetNumOperands(rows);
    LLVMValueRef *row = calloc((size_t)n, sizeof *row);
    if (!row) return; /* stays 0: not known */
    for (int i = 0; i < n; i++) {
        row[i] = LLVMGetOperand(rows, (unsigned)i);
        if (LLVMGetOperand(row[i], ENTRY_TABLE_FN) == fn) row[i] = row_with(row[i], bytes);
    }
    LLVMSetInitializer(table, LLVMConstArray2(LLVMTypeOf(row[0]), row, (uint64_t)n));
    free(row);
}

int64_t stack_of_row(LLVMModuleRef mod, int i)
{
    LLVMValueRef table = LLVMGetNamedGlobal(mod, ENTRY_TABLE);
    if (!table) return 0;
    LLVMValueRef row = LLVMGetOperand(LLVMGetInitializer(table), (unsigned)i);
    return (int64_t)LLVMConstIntGetZExtValue(
        LLVMGetOperand(row, (unsigned)LLVMGetNumOperands(row) - 1));
}

/* ---- what LLVM reports ---- */

static void take_frame(Stack *s, const char *text)
{
    long long bytes;
    int at = 0;
    text = strstr(text, "stack frame size"); /* a place in no source comes first */
    if (!text) return;
    if (sscanf(text, "stack frame size (%lld) exceeds limit (0) in function '%n", &bytes, &at) != 1)
        return;
    char *name = strdup(text + at);
    if (!at || !name) return;
    name[strcspn(name, "'")] = '\0';
    LLVMValueRef fn = LLVMGetNamedFunction(s->mod, name);
    free(name);
    int i = fn ? index_of(s, fn) : -1;
    if (i < 0) return;
    s->f[i].frame = bytes;
    if (LLVMGetLinkage(fn) == LLVMExternalLinkage) complete_row(s, fn, depth_of(s, i, 0));
}

/* Runs inside LLVM, so nothing here may unwind. */
static void listen(LLVMDiagnosticInfoRef d, void *arg)
{
    Stack *s = arg;
    char *text = LLVMGetDiagInfoDescription(d);
    if (LLVMGetDiagInfoSeverity(d) == LLVMDSError && !*s->error)
        snprintf(s->error, sizeof s->error, "%s", text);
    else
        take_frame(s, text);
    LLVMDisposeMessage(text);
}

const char *stack_error(const Stack *s)
{
    return *s->error ? s->error : NULL;
}

Stack *stack_open(LLVMModuleRef mod)
{
    LLVMContextRef c = LLVMGetModuleContext(mod);
    Stack *s = calloc(1, sizeof *s);
    if (!s) err(NULL, "out of memory");
    s->mod = mod;
    list_functions(s);
    for (int i = 0; i < s->n; i++) {
        note_body(s, &s->f[i]);
        set_limit(c, s->f[i].fn);
    }
    LLVMContextSetDiagnosticHandler(c, listen, s);
    return s;
}
