/* SPDX-License-Identifier: Apache-2.0 */
/* Uniforms: Philox 4x32-10 written out, 32-bit words in i64 lanes so that a product is one
 * widening multiply. The same words as ir/philox.c for every (seed, id, stream, draw, element). */
#include "targets/llvm/walk_impl.h"

typedef struct Philox {
    LLVMValueRef c[4], k[2]; /* i64, below 2^32 */
} Philox;

static LLVMValueRef low32(Walk *w, LLVMValueRef v)
{
    return i_and(w, v, v_same_int(w, v, 0xffffffff));
}

static LLVMValueRef high32(Walk *w, LLVMValueRef v)
{
    return i_lshr(w, v, v_same_int(w, v, 32));
}

static void philox_round(Walk *w, Philox *p)
{
    LLVMValueRef p0 = i_mul(w, p->c[0], v_same_int(w, p->c[0], 0xD2511F53));
    LLVMValueRef p1 = i_mul(w, p->c[2], v_same_int(w, p->c[2], 0xCD9E8D57));
    p->c[0] = i_xor(w, i_xor(w, high32(w, p1), p->c[1]), p->k[0]);
    p->c[1] = low32(w, p1);
    p->c[2] = i_xor(w, i_xor(w, high32(w, p0), p->c[3]), p->k[1]);
    p->c[3] = low32(w, p0);
    p->k[0] = low32(w, i_add(w, p->k[0], v_same_int(w, p->k[0], 0x9E3779B9)));
    p->k[1] = low32(w, i_add(w, p->k[1], v_same_int(w, p->k[1], 0xBB67AE85)));
}

/* Word `element & 3`. */
static LLVMValueRef choose(Walk *w, const Philox *p, LLVMValueRef element)
{
    LLVMValueRef one = v_same_int(w, element, 1), two = v_same_int(w, element, 2);
    LLVMValueRef zero = v_same_int(w, element, 0);
    LLVMValueRef odd = i_cmp(w, LLVMIntNE, i_and(w, element, one), zero);
    LLVMValueRef high = i_cmp(w, LLVMIntNE, i_and(w, element, two), zero);
    return v_select(w, high, v_select(w, odd, p->c[3], p->c[2]),
                    v_select(w, odd, p->c[1], p->c[0]));
}

static LLVMValueRef operand(Walk *w, KRef r, bool vec)
{
    LLVMValueRef v = walk_operand(w, r, vec);
    return walk_cast(w, walk_at(w, r)->dtype, DT_I64, v);
}

LLVMValueRef walk_rng(Walk *w, KRef r)
{
    KExpr e = *walk_at(w, r);
    bool vec = walk_on_vec(w, r);
    LLVMValueRef seed = operand(w, e.arg[0], vec), id = operand(w, e.arg[1], vec);
    LLVMValueRef draw = operand(w, e.arg[2], vec), element = operand(w, e.arg[3], vec);
    LLVMValueRef block = i_lshr(w, element, v_same_int(w, element, 2));
    LLVMValueRef stream = v_same_int(w, draw, e.imm.i << 24 & 0xffffffff);
    Philox p = {{low32(w, block), low32(w, i_or(w, draw, stream)), low32(w, id), high32(w, id)},
                {low32(w, seed), high32(w, seed)}};
    for (int i = 0; i < 10; i++) philox_round(w, &p);
    LLVMValueRef word = i_lshr(w, choose(w, &p, element), v_same_int(w, element, 8));
    LLVMTypeRef i32 = v_like(LLVMInt32TypeInContext(w->ctx), word);
    LLVMTypeRef f32 = v_like(LLVMFloatTypeInContext(w->ctx), word);
    LLVMValueRef f = LLVMBuildSIToFP(w->b, LLVMBuildTrunc(w->b, word, i32, ""), f32, "");
    f = f_mul(w, f, v_same(w, f, 0x1p-24)); /* 24 bits: exact */
    return walk_cast(w, DT_F32, e.dtype, f);
}
