/* SPDX-License-Identifier: Apache-2.0 */
/* Bindings and memo of the walk. A walk owns a copy of its kernel, so that addresses can be built
 * and simplified as kernel expressions beside the kernel's own; the memo grows with it. An
 * expression is emitted at most once under one binding of the axes it depends on. */
#include <string.h>

#include "targets/llvm/walk_impl.h"

static Kernel *copy_kernel(Arena *a, const Kernel *k)
{
    Kernel *c = arena_dup(a, k, sizeof *k);
    c->arena = a;
    c->expr = arena_dup(a, k->expr, sizeof *k->expr * k->expr_cap);
    if (k->table) c->table = arena_dup(a, k->table, sizeof *k->table * k->table_size);
    return c;
}

static int vec_axis(const Kernel *k)
{
    for (int a = 0; a < k->naxis; a++)
        if (k->axis[a].kind == AX_VEC) return a;
    return -1;
}

void walk_open(Walk *w, Arena *scratch, LLVMValueRef fn, LLVMBuilderRef b, const Kernel *k,
               const Target *t)
{
    *w = (Walk){.fn = fn, .b = b, .target = t, .k = copy_kernel(scratch, k)};
    w->mod = LLVMGetGlobalParent(fn);
    w->ctx = LLVMGetModuleContext(w->mod);
    w->vec = vec_axis(k);
    w->lanes = w->vec < 0 ? 1 : (int)k->axis[w->vec].extent;
    walk_room(w);
    if (w->vec >= 0) w->axis[w->vec] = walk_i64(w, 0);
}

void walk_room(Walk *w)
{
    if (w->k->nexpr) GROW(w->k->arena, w->memo, w->k->nexpr - 1, w->memo_cap);
}

void walk_bind(Walk *w, int axis, LLVMValueRef value)
{
    w->axis[axis] = value;
    for (uint32_t r = 0; r < w->k->nexpr && r < w->memo_cap; r++)
        if (w->k->expr[r].axes >> axis & 1) w->memo[r] = NULL;
}

void walk_set(Walk *w, KRef r, LLVMValueRef value)
{
    w->memo[r] = value;
}

LLVMTypeRef walk_type(Walk *w, DType d)
{
    switch (d) {
    case DT_F64: return LLVMDoubleTypeInContext(w->ctx);
    case DT_F32:
    case DT_F16:
    case DT_BF16: return LLVMFloatTypeInContext(w->ctx);
    case DT_I64: return LLVMInt64TypeInContext(w->ctx);
    case DT_I32: return LLVMInt32TypeInContext(w->ctx);
    case DT_BOOL: return LLVMInt1TypeInContext(w->ctx);
    default: return LLVMInt8TypeInContext(w->ctx);
    }
}

LLVMTypeRef walk_vec(Walk *w, DType d, int lanes)
{
    return LLVMVectorType(walk_type(w, d), (unsigned)lanes);
}

LLVMValueRef walk_i64(Walk *w, int64_t v)
{
    return LLVMConstInt(LLVMInt64TypeInContext(w->ctx), (uint64_t)v, true);
}

LLVMValueRef walk_splat(Walk *w, LLVMValueRef scalar)
{
    LLVMTypeRef t = LLVMVectorType(LLVMTypeOf(scalar), (unsigned)w->lanes);
    LLVMTypeRef mask = LLVMVectorType(LLVMInt32TypeInContext(w->ctx), (unsigned)w->lanes);
    LLVMValueRef zero = LLVMConstInt(LLVMInt32TypeInContext(w->ctx), 0, false);
    LLVMValueRef one = LLVMBuildInsertElement(w->b, LLVMGetPoison(t), scalar, zero, "");
    return LLVMBuildShuffleVector(w->b, one, LLVMGetPoison(t), LLVMConstNull(mask), "");
}
