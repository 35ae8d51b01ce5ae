/* SPDX-License-Identifier: Apache-2.0 */
/* The lowering of any kernel for a GPU: one thread a point of the loop axes, the sample axis
 * outermost, threads beyond the last point leave. Reductions are loops inside a thread, so results
 * do not depend on the grid. The thread's number is taken apart in 32 bits wherever it fits. */
#include "targets/llvm/walk_impl.h"

typedef struct Grid {
    const Nest *nest;
    int sample;       /* axis, or -1 */
    int64_t points;   /* of one sample */
    LLVMTypeRef type; /* of thread numbers */
} Grid;

static Grid grid_of(Walk *w, const Nest *n)
{
    Grid g = {.nest = n, .sample = -1, .points = kernel_points(w->k)};
    int64_t all = g.points;
    for (int i = 0; i < n->nloop; i++)
        if (w->k->axis[n->loop[i]].sample) g.sample = n->loop[i];
    if (g.sample >= 0 && !mul_ok(all, w->k->axis[g.sample].extent, &all)) all = INT64_MAX;
    bool fits = all < INT32_MAX - GPU_BLOCK;
    g.type = fits ? LLVMInt32TypeInContext(w->ctx) : LLVMInt64TypeInContext(w->ctx);
    return g;
}

static LLVMValueRef special(Walk *w, const char *name)
{
    unsigned id = LLVMLookupIntrinsicID(name, __builtin_strlen(name));
    LLVMValueRef fn = LLVMGetIntrinsicDeclaration(w->mod, id, NULL, 0);
    return LLVMBuildCall2(w->b, LLVMIntrinsicGetType(w->ctx, id, NULL, 0), fn, NULL, 0, "");
}

static LLVMValueRef thread_number(Walk *w, const Grid *g)
{
    LLVMValueRef block = special(w, "llvm.nvvm.read.ptx.sreg.ctaid.x");
    LLVMValueRef thread = special(w, "llvm.nvvm.read.ptx.sreg.tid.x");
    block = LLVMBuildZExt(w->b, block, g->type, "");
    thread = LLVMBuildZExt(w->b, thread, g->type, "");
    return i_add(w, i_mul(w, block, v_int(w, g->type, GPU_BLOCK)), thread);
}

/* Leaves unless number < points * (hi - lo). */
static void leave_if_beyond(Walk *w, const Grid *g, LLVMValueRef number)
{
    LLVMBasicBlockRef out = LLVMAppendBasicBlockInContext(w->ctx, w->fn, "out");
    LLVMBasicBlockRef body = LLVMAppendBasicBlockInContext(w->ctx, w->fn, "body");
    LLVMValueRef samples = g->sample < 0 ? walk_i64(w, 1) : i_sub(w, w->hi, w->lo);
    LLVMValueRef total = i_mul(w, samples, walk_i64(w, g->points));
    number = LLVMBuildZExt(w->b, number, LLVMInt64TypeInContext(w->ctx), "");
    LLVMBuildCondBr(w->b, i_cmp(w, LLVMIntSLT, number, total), body, out);
    LLVMPositionBuilderAtEnd(w->b, out);
    LLVMBuildRetVoid(w->b);
    LLVMPositionBuilderAtEnd(w->b, body);
}

static LLVMValueRef wide(Walk *w, LLVMValueRef v)
{
    return LLVMBuildZExt(w->b, v, LLVMInt64TypeInContext(w->ctx), "");
}

static void bind_axes(Walk *w, const Grid *g, LLVMValueRef number)
{
    for (int i = g->nest->nloop; i-- > 0;) {
        int a = g->nest->loop[i];
        if (a == g->sample) continue;
        LLVMValueRef extent = v_int(w, g->type, w->k->axis[a].extent);
        walk_bind(w, a, wide(w, LLVMBuildURem(w->b, number, extent, "")));
        number = LLVMBuildUDiv(w->b, number, extent, "");
    }
    if (g->sample >= 0) walk_bind(w, g->sample, i_add(w, w->lo, wide(w, number)));
}

void ptx_emit(Walk *w)
{
    Nest n = kernel_nest(w->k);
    Grid g = grid_of(w, &n);
    if (w->vec >= 0) die("%s: a thread has no lanes", w->k->name);
    LLVMValueRef number = thread_number(w, &g);
    leave_if_beyond(w, &g, number);
    bind_axes(w, &g, number);
    generic_point(w, &n);
    LLVMBuildRetVoid(w->b);
}
