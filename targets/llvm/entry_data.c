/* SPDX-License-Identifier: Apache-2.0 */
/* The read-only description of the model: AdjModel and what it points to, as constants of the
 * object. Structs mirror runtime/adjoint_abi.h member by member; only <prefix>_model is
 * exported. */
#include "entry.h"

#include "emit.h"
#include "runtime/adjoint_abi.h"

enum { TENSOR_RANK = (int)(sizeof((AdjTensor *)0)->dim / sizeof(int64_t)) };

/* ---- constants ---- */

LLVMValueRef entry_constant(EntryGen *g, LLVMValueRef value, const char *name)
{
    LLVMValueRef v = LLVMAddGlobal(g->ib.mod, LLVMTypeOf(value), name);
    LLVMSetInitializer(v, value);
    LLVMSetGlobalConstant(v, 1);
    LLVMSetLinkage(v, LLVMPrivateLinkage);
    LLVMSetUnnamedAddress(v, LLVMGlobalUnnamedAddr);
    return v;
}

static LLVMValueRef text(EntryGen *g, const char *s)
{
    size_t n = 0;
    while (s[n]) n++;
    return entry_constant(g, LLVMConstStringInContext2(g->ib.ctx, s, n, 0), "text");
}

static LLVMValueRef record(EntryGen *g, LLVMValueRef *member, int n)
{
    return LLVMConstStructInContext(g->ib.ctx, member, (unsigned)n, 0);
}

/* The array's address; NULL if it is empty. */
static LLVMValueRef table(EntryGen *g, LLVMValueRef *item, int n, const char *name)
{
    if (!n) return ib_null(&g->ib);
    return entry_constant(g, LLVMConstArray2(LLVMTypeOf(item[0]), item, (uint64_t)n), name);
}

static LLVMValueRef real(EntryGen *g, double v)
{
    return LLVMConstReal(g->ib.f64, v);
}

static int abi_dtype(DType d)
{
    static const int number[DT_COUNT] = {
        [DT_F64] = ADJ_F64,   [DT_F32] = ADJ_F32, [DT_F16] = ADJ_F16,
        [DT_BF16] = ADJ_BF16, [DT_I64] = ADJ_I64, [DT_I32] = ADJ_I32,
        [DT_I8] = ADJ_I8,     [DT_U8] = ADJ_U8,   [DT_BOOL] = ADJ_BOOL};
    return number[d];
}

/* ---- tensors and hyperparameters ---- */

static LLVMValueRef tensor(EntryGen *g, const ProgIO *io)
{
    Ib *ib = &g->ib;
    LLVMValueRef dim[TENSOR_RANK];
    check(io->rank <= TENSOR_RANK);
    for (int d = 0; d < TENSOR_RANK; d++) dim[d] = ib_i64(ib, d < io->rank ? io->dim[d] : 0);
    LLVMValueRef member[] = {text(g, io->name),      ib_i32(ib, abi_dtype(io->dtype)),
                             ib_i32(ib, io->rank),   LLVMConstArray2(ib->i64, dim, TENSOR_RANK),
                             ib_i32(ib, io->output), ib_i32(ib, io->output || io->alias >= 0)};
    return record(g, member, COUNT(member));
}

static LLVMValueRef tensors(EntryGen *g, const Program *p)
{
    LLVMValueRef item[MAX_IO];
    for (int i = 0; i < p->nio; i++) item[i] = tensor(g, &p->io[i]);
    return table(g, item, p->nio, "io");
}

static LLVMValueRef hyper(EntryGen *g, const ProgHyper *h)
{
    Ib *ib = &g->ib;
    LLVMValueRef member[] = {text(g, h->name), ib_i32(ib, abi_dtype(h->dtype)),
                             ib_i32(ib, 0),    real(g, h->value),
                             real(g, h->lo),   real(g, h->hi)};
    return record(g, member, COUNT(member));
}

static LLVMValueRef hypers(EntryGen *g, const Program *p)
{
    LLVMValueRef item[MAX_HYPER];
    for (int i = 0; i < p->nhyper; i++) item[i] = hyper(g, &p->hyper[i]);
    return table(g, item, p->nhyper, "hyper");
}

static LLVMValueRef hyper_value(EntryGen *g, const ProgHyper *h)
{
    Ib *ib = &g->ib;
    switch (h->dtype) {
    case DT_F64: return real(g, h->value);
    case DT_F32: return LLVMConstReal(LLVMFloatTypeInContext(ib->ctx), (float)h->value);
    case DT_I64: return ib_i64(ib, (int64_t)h->value);
    case DT_I32: return ib_i32(ib, (int32_t)h->value);
    default: die("hyperparameter %s cannot be %s", h->name, dtype_name(h->dtype));
    }
}

LLVMValueRef entry_hyper_default(EntryGen *g, int k)
{
    return entry_constant(g, hyper_value(g, &g->p->hyper[k]), "default");
}

/* ---- entries and the model ---- */

static LLVMValueRef entry(EntryGen *g, const Program *p, LLVMValueRef fn)
{
    Ib *ib = &g->ib;
    LLVMValueRef member[] = {
        text(g, p->name),
        fn,
        tensors(g, p),
        hypers(g, p),
        ib_i32(ib, p->nio),
        ib_i32(ib, p->nhyper),
        ib_i32(ib, p->slots),
        ib_i32(ib, p->loop),
        ib_i64(ib, p->shared_bytes),
        ib_i64(ib, p->worker_bytes),
        ib_i64(ib, 0)}; /* stack: stack.c knows it once the machine code is made */
    return record(g, member, COUNT(member));
}

static LLVMValueRef entries(EntryGen *g, LLVMValueRef *fn)
{
    LLVMValueRef *item = NEW_N(g->m->arena, LLVMValueRef, g->m->nprogram);
    for (int i = 0; i < g->m->nprogram; i++) item[i] = entry(g, &g->m->program[i], fn[i]);
    return table(g, item, g->m->nprogram, ENTRY_TABLE);
}

/* "haswell,znver4" */
static const char *cpu_names(EntryGen *g)
{
    const char *all = g->variant[0].target->cpu;
    for (int v = 1; v < g->nvariant; v++)
        all = arena_printf(g->m->arena, "%s,%s", all, g->variant[v].target->cpu);
    return all ? all : "";
}

void entry_model(EntryGen *g, LLVMValueRef *entry_fns)
{
    Ib *ib = &g->ib;
    const Module *m = g->m;
    LLVMValueRef member[] = {ib_i32(ib, ADJ_ABI_VERSION),
                             ib_i32(ib, m->nprogram),
                             text(g, m->source ? m->source : m->prefix),
                             text(g, g->target->triple),
                             text(g, cpu_names(g)),
                             entries(g, entry_fns),
                             ib_i64(ib, m->embed ? 0 : m->const_bytes),
                             ib_i64(ib, (int64_t)m->hash)};
    LLVMValueRef value = record(g, member, COUNT(member));
    const char *symbol = arena_printf(m->arena, "%s_model", m->prefix);
    check(!LLVMGetNamedFunction(ib->mod, symbol)); /* a program named "model" */
    LLVMValueRef v = LLVMAddGlobal(ib->mod, LLVMTypeOf(value), symbol);
    LLVMSetInitializer(v, value);
    LLVMSetGlobalConstant(v, 1);
}
