/* SPDX-License-Identifier: Apache-2.0 */
#include "amx.h"

#include <string.h>

static void instruction(Walk *w, const char *name, unsigned n, LLVMValueRef *arg)
{
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    LLVMValueRef fn = LLVMGetIntrinsicDeclaration(w->mod, id, NULL, 0);
    LLVMBuildCall2(w->b, LLVMIntrinsicGetType(w->ctx, id, NULL, 0), fn, arg, n, "");
}

static LLVMValueRef tile_number(const Walk *w, int64_t i)
{
    check(i < AMX_TILES);
    return LLVMConstInt(LLVMInt8TypeInContext(w->ctx), (uint64_t)i, false);
}

static void move(Walk *w, const char *name, int64_t i, LLVMValueRef at, int64_t stride)
{
    LLVMValueRef arg[] = {tile_number(w, i), at, walk_i64(w, stride)};
    instruction(w, name, 3, arg);
}

void amx_zero(Walk *w, int64_t tile)
{
    LLVMValueRef arg[] = {tile_number(w, tile)};
    instruction(w, "llvm.x86.tilezero", 1, arg);
}

void amx_load(Walk *w, int64_t tile, LLVMValueRef at, int64_t bytes)
{
    move(w, "llvm.x86.tileloadd64", tile, at, bytes);
}

void amx_store(Walk *w, int64_t tile, LLVMValueRef at, int64_t bytes)
{
    move(w, "llvm.x86.tilestored64", tile, at, bytes);
}

void amx_product(Walk *w, int64_t sum, int64_t data, int64_t weights)
{
    LLVMValueRef arg[] = {tile_number(w, sum), tile_number(w, data), tile_number(w, weights)};
    instruction(w, "llvm.x86.tdpbf16ps", 3, arg);
}

/* ldtilecfg reads the palette, 1, then bytes of a row and rows of each tile. */
void amx_shape(Walk *w, const AmxShapes *s)
{
    unsigned char shape[AMX_LINE] = {1};
    for (int i = 0; i < AMX_TILES; i++) {
        shape[16 + 2 * i] = s->bytes[i];
        shape[48 + i] = s->rows[i];
    }
    LLVMValueRef text = LLVMConstStringInContext2(w->ctx, (const char *)shape, AMX_LINE, true);
    LLVMValueRef g = LLVMAddGlobal(w->mod, LLVMTypeOf(text), "tiles");
    LLVMSetInitializer(g, text);
    LLVMSetGlobalConstant(g, true);
    LLVMSetLinkage(g, LLVMPrivateLinkage);
    LLVMSetAlignment(g, AMX_LINE);
    instruction(w, "llvm.x86.ldtilecfg", 1, &g);
}

void amx_release(Walk *w)
{
    instruction(w, "llvm.x86.tilerelease", 0, NULL);
}
