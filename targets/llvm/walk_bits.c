/* SPDX-License-Identifier: Apache-2.0 */
/* Booleans at one bit each: element e is bit e % 8 of byte e / 8. Eight lanes or more are an
 * integer load and a bit cast, which CPUs with mask registers do in one instruction. Fewer lanes
 * share a byte with their neighbours: a store reads the byte, changes its bits and writes it back,
 * which is safe because one thread owns a row, and rows are whole bytes. A GPU thread owns no
 * row. */
#include "targets/llvm/walk_impl.h"

bool bits_together(const Address *a, int lanes)
{
    int64_t unit = lanes < 8 ? lanes : 8;
    return (lanes % 8 == 0 || 8 % lanes == 0) && a->multiple % unit == 0;
}

static LLVMValueRef byte_ptr(Walk *w, LLVMValueRef base, LLVMValueRef element)
{
    LLVMValueRef byte = index_shift(w, element, 3);
    return LLVMBuildInBoundsGEP2(w->b, LLVMInt8TypeInContext(w->ctx), base, &byte, 1, "");
}

static LLVMTypeRef int_of(Walk *w, int bits)
{
    return LLVMIntTypeInContext(w->ctx, (unsigned)bits);
}

/* i1 or a vector of them <-> an integer of as many bits; lane 0 is the lowest. */
static LLVMValueRef from_int(Walk *w, LLVMValueRef v, int lanes)
{
    if (lanes == 1) return v;
    return LLVMBuildBitCast(w->b, v, LLVMVectorType(int_of(w, 1), (unsigned)lanes), "");
}

static LLVMValueRef to_int(Walk *w, LLVMValueRef v, int lanes)
{
    return lanes == 1 ? v : LLVMBuildBitCast(w->b, v, int_of(w, lanes), "");
}

static LLVMValueRef load_at(Walk *w, LLVMValueRef ptr, int bits)
{
    LLVMValueRef v = LLVMBuildLoad2(w->b, int_of(w, bits), ptr, "");
    LLVMSetAlignment(v, 1);
    return v;
}

static void store_at(Walk *w, LLVMValueRef ptr, LLVMValueRef v)
{
    LLVMSetAlignment(LLVMBuildStore(w->b, v, ptr), 1);
}

/* Position of an element within its byte. */
static LLVMValueRef bit_of(Walk *w, LLVMValueRef element)
{
    LLVMValueRef bit = i_and(w, element, walk_i64(w, 7));
    return LLVMBuildTrunc(w->b, bit, int_of(w, 8), "");
}

LLVMValueRef bits_load(Walk *w, LLVMValueRef base, LLVMValueRef element, int lanes)
{
    LLVMValueRef ptr = byte_ptr(w, base, element);
    if (lanes >= 8) return from_int(w, load_at(w, ptr, lanes), lanes);
    LLVMValueRef v = i_lshr(w, load_at(w, ptr, 8), bit_of(w, element));
    return from_int(w, LLVMBuildTrunc(w->b, v, int_of(w, lanes), ""), lanes);
}

void bits_store(Walk *w, LLVMValueRef base, LLVMValueRef element, LLVMValueRef v, int lanes)
{
    LLVMValueRef ptr = byte_ptr(w, base, element);
    if (lanes >= 8) {
        store_at(w, ptr, to_int(w, v, lanes));
        return;
    }
    if (w->target->gpu) die("%s: threads cannot store single bits", w->k->name);
    LLVMTypeRef i8 = int_of(w, 8);
    LLVMValueRef bit = bit_of(w, element), ones = LLVMConstInt(i8, (1u << lanes) - 1, false);
    LLVMValueRef keep = LLVMBuildNot(w->b, i_shl(w, ones, bit), "");
    LLVMValueRef put = i_shl(w, LLVMBuildZExt(w->b, to_int(w, v, lanes), i8, ""), bit);
    store_at(w, ptr, i_or(w, i_and(w, load_at(w, ptr, 8), keep), put));
}
