/* SPDX-License-Identifier: Apache-2.0 */
/* Tile functions and the small builders of tile code. Every loop is marked against unrolling: LLVM
 * would otherwise put so many steps into a block that its scheduler spills accumulators. */
#include "tile.h"

#include "tapplan.h"

#include <llvm-c/DebugInfo.h>
#include <stdio.h>
#include <string.h>

enum { MOST_LANES = 64, LINE = 64, PAGE = 4096 }; /* the latter in bytes */
enum { FAR_PAGES = 4 };

/* ---- the function of a tile ---- */
static LLVMTypeRef tile_type(const Walk *w)
{
    LLVMTypeRef arg[2 * MAX_PARAMS + 1 + TILE_SCALARS];
    LLVMTypeRef ptr = LLVMPointerTypeInContext(w->ctx, 0), i64 = LLVMInt64TypeInContext(w->ctx);
    unsigned n = 0;
    for (int i = 0; i < TILE_SCALARS; i++) arg[n++] = i64;
    for (int p = 0; p < w->k->nparam; p++) arg[n++] = ptr;
    arg[n++] = ptr;
    for (int p = 0; p < w->k->nparam; p++)
        if (w->stride[p]) arg[n++] = i64;
    return LLVMFunctionType(LLVMVoidTypeInContext(w->ctx), arg, n, 0);
}

static void add_flag(const Walk *w, LLVMValueRef fn, unsigned at, const char *name)
{
    unsigned kind = LLVMGetEnumAttributeKindForName(name, strlen(name));
    LLVMAddAttributeAtIndex(fn, at, LLVMCreateEnumAttribute(w->ctx, kind, 0));
}

static void add_width(const Walk *w, LLVMValueRef fn)
{
    static const char *const name[] = {"prefer-vector-width", "min-legal-vector-width"};
    char bits[16];
    unsigned n = (unsigned)snprintf(bits, sizeof bits, "%d", 8 * w->target->vec_bytes);
    for (int i = 0; i < COUNT(name); i++)
        LLVMAddAttributeAtIndex(
            fn, (LLVMAttributeIndex)LLVMAttributeFunctionIndex,
            LLVMCreateStringAttribute(w->ctx, name[i], (unsigned)strlen(name[i]), bits, n));
}

static LLVMValueRef tile_function(const Walk *w, LLVMTypeRef type, const char *suffix)
{
    char name[256];
    snprintf(name, sizeof name, "%s_%s", w->k->name, suffix);
    LLVMValueRef fn = LLVMAddFunction(w->mod, name, type);
    LLVMSetLinkage(fn, LLVMInternalLinkage);
    add_flag(w, fn, (unsigned)LLVMAttributeFunctionIndex, "noinline");
    add_flag(w, fn, (unsigned)LLVMAttributeFunctionIndex, "nounwind");
    add_width(w, fn);
    for (int p = 0; p < w->k->nparam; p++)
        add_flag(w, fn, (unsigned)(1 + TILE_SCALARS + p), "noalias");
    return fn;
}

LLVMValueRef tile_slot(const Walk *w, LLVMValueRef n)
{
    return w->k->axis[0].sample ? n : walk_i64((Walk *)w, 0);
}

static void bind_arguments(Tile *t, const Walk *outer)
{
    unsigned n = 0;
    for (int i = 0; i < TILE_SCALARS; i++) t->scalar[i] = LLVMGetParam(t->w.fn, n++);
    for (int p = 0; p < t->w.k->nparam; p++) t->w.base[p] = LLVMGetParam(t->w.fn, n++);
    t->w.table = LLVMGetParam(t->w.fn, n++);
    for (int p = 0; p < t->w.k->nparam; p++)
        t->w.stride[p] = outer->stride[p] ? LLVMGetParam(t->w.fn, n++) : NULL;
    t->w.lo = tile_slot(outer, t->scalar[0]);
    t->w.hi = NULL;
}

Tile tile_begin(const Walk *outer, const char *suffix)
{
    Tile t = {.w = *outer, .type = tile_type(outer)};
    t.w.fn = tile_function(outer, t.type, suffix);
    t.w.memo = NEW_N(outer->k->arena, LLVMValueRef, outer->k->nexpr);
    t.w.memo_cap = outer->k->nexpr;
    memset(t.w.axis, 0, sizeof t.w.axis);
    bind_arguments(&t, outer);
    t.w.b = LLVMCreateBuilderInContext(outer->ctx);
    LLVMPositionBuilderAtEnd(t.w.b, LLVMAppendBasicBlockInContext(outer->ctx, t.w.fn, "entry"));
    return t;
}

void tile_end(Tile *t)
{
    LLVMBuildRetVoid(t->w.b);
    LLVMDisposeBuilder(t->w.b);
    t->w.b = NULL;
}

void tile_call(const Walk *w, const Tile *t, const LLVMValueRef scalar[TILE_SCALARS])
{
    LLVMValueRef arg[2 * MAX_PARAMS + 1 + TILE_SCALARS];
    unsigned n = 0;
    for (int i = 0; i < TILE_SCALARS; i++) arg[n++] = scalar[i];
    for (int p = 0; p < w->k->nparam; p++) arg[n++] = w->base[p];
    arg[n++] = w->table ? w->table : LLVMConstNull(LLVMPointerTypeInContext(w->ctx, 0));
    for (int p = 0; p < w->k->nparam; p++)
        if (w->stride[p]) arg[n++] = w->stride[p];
    LLVMBuildCall2(w->b, t->type, t->w.fn, arg, n, "");
}

/* ---- axes ---- */
void claim_axes(const Kernel *k, int axis[MAX_CLAIM_AXES])
{
    int n = 0;
    for (int a = 0; a < k->naxis; a++) {
        if (k->axis[a].kind == AX_RED) continue;
        check(n < MAX_CLAIM_AXES);
        axis[n++] = a;
    }
    check(n == MAX_CLAIM_AXES && k->axis[axis[n - 1]].kind == AX_VEC);
}

void claim_samples(const Walk *w, int axis, LLVMValueRef *from, LLVMValueRef *to)
{
    const Axis *a = &w->k->axis[axis];
    *from = a->sample ? w->lo : walk_i64((Walk *)w, 0);
    *to = a->sample ? w->hi : walk_i64((Walk *)w, a->extent);
}

LLVMBasicBlockRef claim_begin(Walk *w, LLVMValueRef from, LLVMValueRef to)
{
    LLVMBasicBlockRef body = LLVMAppendBasicBlockInContext(w->ctx, w->fn, "body");
    LLVMBasicBlockRef end = LLVMAppendBasicBlockInContext(w->ctx, w->fn, "end");
    LLVMValueRef samples = LLVMBuildICmp(w->b, LLVMIntSLT, from, to, "");
    LLVMValueRef pieces = LLVMBuildICmp(w->b, LLVMIntSLT, w->from, w->to, "");
    LLVMBuildCondBr(w->b, LLVMBuildAnd(w->b, samples, pieces, ""), body, end);
    LLVMPositionBuilderAtEnd(w->b, body);
    return end;
}

void claim_end(Walk *w, LLVMBasicBlockRef end)
{
    LLVMBuildBr(w->b, end);
    LLVMPositionBuilderAtEnd(w->b, end);
    LLVMBuildRetVoid(w->b);
}

/* ---- addresses and arithmetic ---- */
LLVMTypeRef tile_elem(const Walk *w, int param)
{
    return walk_storage((Walk *)w, w->k->param[param].dtype);
}

LLVMValueRef tile_affine(Walk *w, LLVMValueRef v, int64_t scale, int64_t add)
{
    if (scale != 1) v = LLVMBuildMul(w->b, v, walk_i64(w, scale), "");
    return add ? LLVMBuildAdd(w->b, v, walk_i64(w, add), "") : v;
}

LLVMValueRef tile_at(Walk *w, LLVMTypeRef elem, LLVMValueRef base, LLVMValueRef index,
                     int64_t scale)
{
    LLVMValueRef i = tile_affine(w, index, scale, 0);
    return LLVMBuildGEP2(w->b, elem, base, &i, 1, "");
}

LLVMValueRef tile_at_const(Walk *w, LLVMTypeRef elem, LLVMValueRef base, int64_t index)
{
    return index ? tile_at(w, elem, base, walk_i64(w, index), 1) : base;
}

LLVMValueRef tile_sample(Walk *w, int param, LLVMValueRef n)
{
    const KParam *p = &w->k->param[param];
    LLVMTypeRef i64 = LLVMInt64TypeInContext(w->ctx), i8 = LLVMInt8TypeInContext(w->ctx);
    if (!p->io)
        return tile_at(w, tile_elem(w, param), w->base[param], n,
                       layout_stride(&p->layout, layout_digit(&p->layout, 0, 1)));
    LLVMValueRef slot = tile_load(w, i64, tile_at(w, i64, w->table, n, 1), 8);
    LLVMValueRef bytes = LLVMBuildMul(w->b, slot, w->stride[param], "");
    return tile_at(w, i8, w->base[param], bytes, 1);
}

LLVMValueRef tile_load(Walk *w, LLVMTypeRef type, LLVMValueRef at, int align)
{
    LLVMValueRef v = LLVMBuildLoad2(w->b, type, at, "");
    LLVMSetAlignment(v, (unsigned)align);
    return v;
}

LLVMValueRef tile_data(Walk *w, LLVMValueRef at)
{
    DType d = w->k->param[w->k->data_param].dtype;
    LLVMTypeRef vec = LLVMVectorType(walk_storage(w, d), (unsigned)w->lanes);
    return walk_widen(w, d, tile_load(w, vec, at, w->lanes * dtype_bytes(d)));
}

/* level: 3 is the nearest cache */
static void prefetch(Walk *w, LLVMValueRef at, unsigned long long level, bool store)
{
    LLVMTypeRef ptr = LLVMTypeOf(at), i32 = LLVMInt32TypeInContext(w->ctx);
    unsigned id = LLVMLookupIntrinsicID("llvm.prefetch", 13);
    LLVMValueRef fn = LLVMGetIntrinsicDeclaration(w->mod, id, &ptr, 1);
    LLVMValueRef write = LLVMConstInt(i32, store, 0), near = LLVMConstInt(i32, level, 0);
    LLVMValueRef arg[] = {at, write, near, LLVMConstInt(i32, 1, 0)}; /* 1: data */
    LLVMBuildCall2(w->b, LLVMIntrinsicGetType(w->ctx, id, &ptr, 1), fn, arg, 4, "");
}

void tile_prefetch(Walk *w, LLVMValueRef at)
{
    prefetch(w, at, 3, false);
}

void tile_prefetch_far(Walk *w, LLVMValueRef at)
{
    prefetch(w, at, 2, false);
}

void tile_prefetch_store(Walk *w, LLVMValueRef at)
{
    prefetch(w, at, 3, true);
}

/* With two multiply-adds a cycle a page is short, and the nearest cache wants it. With one there is
 * time for the L2 cache to hand it on, and for what comes from beyond the L3 to arrive. */
void tile_prefetch_stream(Walk *w, LLVMValueRef at, int64_t bytes)
{
    LLVMTypeRef i8 = LLVMInt8TypeInContext(w->ctx);
    bool near = w->target->rate >= 2;
    int64_t ahead = near ? PAGE : FAR_PAGES * PAGE;
    for (int64_t i = 0; i < bytes; i += LINE)
        prefetch(w, tile_at_const(w, i8, at, ahead + i), near ? 3 : 2, false);
}

void tile_in_order(Walk *w)
{
    LLVMBuildFence(w->b, LLVMAtomicOrderingSequentiallyConsistent, true, "");
}

LLVMValueRef tile_fma(Walk *w, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c)
{
    if (!w->target->fma) return LLVMBuildFAdd(w->b, LLVMBuildFMul(w->b, a, b, ""), c, "");
    LLVMTypeRef type = LLVMTypeOf(c);
    unsigned id = LLVMLookupIntrinsicID("llvm.fma", 8);
    LLVMValueRef fn = LLVMGetIntrinsicDeclaration(w->mod, id, &type, 1), arg[] = {a, b, c};
    return LLVMBuildCall2(w->b, LLVMIntrinsicGetType(w->ctx, id, &type, 1), fn, arg, 3, "");
}

LLVMValueRef tile_weights(Walk *w, LLVMTypeRef type, LLVMValueRef at, int align)
{
    return tap_holds_weights(w->target) ? tile_load(w, type, at, align) : at;
}

/* An instruction of two operands overwrites one. LLVM would load the weights once, into a register
 * there is not, and hoist products until sums wait on the stack: it gets each as a whole. */
LLVMValueRef tile_weigh(Walk *w, LLVMValueRef data, LLVMValueRef weights, LLVMValueRef c)
{
    if (tap_holds_weights(w->target)) return tile_fma(w, data, weights, c);
    static const char single[] = "movaps $2, $1\n\tmulps $4, $1\n\taddps $1, $0",
                      twice[] = "movaps $2, $1\n\tmulpd $4, $1\n\taddpd $1, $0",
                      operands[] = "=x,=&x,x,0,*m";
    LLVMTypeRef vec = LLVMTypeOf(c), out[] = {vec, vec};
    LLVMTypeRef in[] = {vec, vec, LLVMPointerTypeInContext(w->ctx, 0)};
    LLVMTypeRef both = LLVMStructTypeInContext(w->ctx, out, 2, false);
    LLVMTypeRef type = LLVMFunctionType(both, in, 3, false);
    bool pd = LLVMGetTypeKind(LLVMGetElementType(vec)) == LLVMDoubleTypeKind;
    LLVMValueRef code =
        LLVMGetInlineAsm(type, pd ? twice : single, sizeof single - 1, operands,
                         sizeof operands - 1, false, false, LLVMInlineAsmDialectATT, false);
    LLVMValueRef arg[] = {data, c, weights}, v = LLVMBuildCall2(w->b, type, code, arg, 3, "");
    unsigned kind = LLVMGetEnumAttributeKindForName("elementtype", 11);
    LLVMAddCallSiteAttribute(v, 3, LLVMCreateTypeAttribute(w->ctx, kind, vec));
    return LLVMBuildExtractValue(w->b, v, 0, "");
}

LLVMValueRef tile_dot(Walk *w, LLVMValueRef a, LLVMValueRef b, LLVMValueRef c)
{
    static const char name[] = "llvm.x86.avx512bf16.dpbf16ps.512";
    unsigned id = LLVMLookupIntrinsicID(name, sizeof name - 1);
    LLVMTypeRef pairs = LLVMVectorType(LLVMBFloatTypeInContext(w->ctx), 2 * (unsigned)w->lanes);
    LLVMValueRef fn = LLVMGetIntrinsicDeclaration(w->mod, id, NULL, 0);
    LLVMValueRef arg[] = {c, LLVMBuildBitCast(w->b, a, pairs, ""),
                          LLVMBuildBitCast(w->b, b, pairs, "")};
    check(w->lanes == 16);
    return LLVMBuildCall2(w->b, LLVMIntrinsicGetType(w->ctx, id, NULL, 0), fn, arg, 3, "");
}

LLVMValueRef tile_real(LLVMValueRef model, double v)
{
    LLVMTypeRef type = LLVMTypeOf(model);
    LLVMValueRef lane[MOST_LANES];
    if (LLVMGetTypeKind(type) != LLVMVectorTypeKind) return LLVMConstReal(type, v);
    unsigned n = LLVMGetVectorSize(type);
    check(n <= MOST_LANES);
    for (unsigned i = 0; i < n; i++) lane[i] = LLVMConstReal(LLVMGetElementType(type), v);
    return LLVMConstVector(lane, n);
}

/* ---- loops ---- */
/* A self-referring node: {itself, !"llvm.loop.unroll.disable"}. */
static LLVMMetadataRef no_unroll(LLVMContextRef ctx)
{
    LLVMMetadataRef self = LLVMTemporaryMDNode(ctx, NULL, 0);
    LLVMMetadataRef name = LLVMMDStringInContext2(ctx, "llvm.loop.unroll.disable", 24);
    LLVMMetadataRef part[] = {self, LLVMMDNodeInContext2(ctx, &name, 1)};
    LLVMMetadataRef loop = LLVMMDNodeInContext2(ctx, part, 2);
    LLVMMetadataReplaceAllUsesWith(self, loop);
    return loop;
}

static void close_loop(Walk *w, Loop *l, const LLVMValueRef *next, LLVMValueRef *result)
{
    LLVMBasicBlockRef latch = LLVMGetInsertBlock(w->b);
    loop_end(w, l, next, result);
    unsigned kind = LLVMGetMDKindIDInContext(w->ctx, "llvm.loop", 9);
    LLVMSetMetadata(LLVMGetBasicBlockTerminator(latch), kind,
                    LLVMMetadataAsValue(w->ctx, no_unroll(w->ctx)));
}

void tile_range(Walk *w, const char *name, LLVMValueRef from, LLVMValueRef to, TileBody *body,
                void *user)
{
    Loop l = loop_begin(w, name, from, to, 1, 0, NULL);
    body(w, user, l.index);
    close_loop(w, &l, NULL, NULL);
}

void tile_steps(Walk *w, const char *name, Slice s, int64_t step, TileBody *body, void *user)
{
    LLVMBasicBlockRef some = LLVMAppendBasicBlockInContext(w->ctx, w->fn, "some");
    LLVMBasicBlockRef end = LLVMAppendBasicBlockInContext(w->ctx, w->fn, "none");
    LLVMBuildCondBr(w->b, LLVMBuildICmp(w->b, LLVMIntSLT, s.from, s.to, ""), some, end);
    LLVMPositionBuilderAtEnd(w->b, some);
    Loop l = loop_begin(w, name, s.from, s.to, step, 0, NULL);
    body(w, user, l.index);
    close_loop(w, &l, NULL, NULL);
    LLVMBuildBr(w->b, end);
    LLVMPositionBuilderAtEnd(w->b, end);
}

void tile_for(Walk *w, const char *name, int64_t from, int64_t count, int64_t step, TileBody *body,
              void *user)
{
    if (count == 0) return;
    LLVMValueRef first = walk_i64(w, from);
    if (count == 1) {
        body(w, user, first);
        return;
    }
    Loop l = loop_begin(w, name, first, walk_i64(w, from + count * step), step, 0, NULL);
    body(w, user, l.index);
    close_loop(w, &l, NULL, NULL);
}

void tile_sum(Walk *w, const char *name, LLVMValueRef count, int nacc, LLVMValueRef *acc,
              SumBody *body, void *user)
{
    LLVMValueRef next[MAX_ACC];
    Loop l = loop_begin(w, name, walk_i64(w, 0), count, 1, nacc, acc);
    memcpy(next, l.acc, sizeof(LLVMValueRef) * (size_t)nacc);
    body(w, user, l.index, next);
    close_loop(w, &l, next, acc);
}

static void nest_level(Walk *w, const Nest *n, int level, LLVMValueRef in, LLVMValueRef wt,
                       LLVMValueRef *acc)
{
    if (level == n->nlevel) {
        n->body(w, n->user, walk_own_register(w, in), walk_own_register(w, wt), acc);
        return;
    }
    const Level *v = &n->level[level];
    if (n->enter && level == n->nlevel - 1) n->enter(w, n->user, in);
    if (v->extent <= v->step) {
        nest_level(w, n, level + 1, in, wt, acc);
        return;
    }
    LLVMValueRef next[MAX_ACC], from = v->from ? v->from : walk_i64(w, 0),
                                to = v->to ? v->to : walk_i64(w, v->extent);
    Loop l = loop_begin(w, v->name, from, to, v->step, n->nacc, acc);
    memcpy(next, l.acc, sizeof(LLVMValueRef) * (size_t)n->nacc);
    in = tile_at(w, n->elem, in, l.index, v->in);
    wt = v->wt_by ? tile_at(w, n->elem, wt, LLVMBuildMul(w->b, l.index, v->wt_by, ""), 1)
                  : tile_at(w, n->elem, wt, l.index, v->wt);
    nest_level(w, n, level + 1, in, wt, next);
    close_loop(w, &l, next, acc);
}

void nest_emit(Walk *w, const Nest *n, LLVMValueRef in, LLVMValueRef wt, LLVMValueRef *acc)
{
    check(n->nacc <= MAX_ACC && n->nlevel <= MAX_LEVELS);
    for (int i = 0; i < n->nlevel; i++)
        if (n->level[i].extent == 0) return; /* no taps: the sum is what it starts with */
    nest_level(w, n, 0, in, wt, acc);
}
