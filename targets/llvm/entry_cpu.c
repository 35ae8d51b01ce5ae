/* SPDX-License-Identifier: Apache-2.0 */
/* Which variant of the object does this machine run, if any? On x86-64 the features of its CPU row
 * are asked of cpuid, and the registers they need of xgetbv (the system must save them). Other
 * triples have one variant and nothing to ask: their features are known to the system only, and
 * objects import nothing to ask it with. What runs before the answer is compiled for the least
 * machine of the triple. */
#include "entry.h"

#include <string.h>

#include "emit.h"

typedef enum Leaf { LEAF_1, LEAF_7, LEAF_7_1, LEAF_EXT_1, LEAVES } Leaf;
enum { EAX, EBX, ECX, EDX, REGS };

/* cpuid leaf and subleaf. */
static const struct {
    uint32_t leaf, sub;
} leaf_info[LEAVES] = {{1, 0}, {7, 0}, {7, 1}, {0x80000001u, 0}};

/* State that the system saves: XCR0 bits. */
enum { XCR0_YMM = 0x6, XCR0_ZMM = 0xe6, XCR0_TILE = 0x60006 };

/* Names are LLVM's; bits are Intel's (Software Developer's Manual, volume 2, CPUID). */
static const struct Feature {
    const char *name;
    Leaf leaf;
    int reg, bit;
    uint32_t xcr0;
} features[] = {
    {"sse3", LEAF_1, ECX, 0, 0},
    {"pclmul", LEAF_1, ECX, 1, 0},
    {"ssse3", LEAF_1, ECX, 9, 0},
    {"fma", LEAF_1, ECX, 12, XCR0_YMM},
    {"cx16", LEAF_1, ECX, 13, 0},
    {"sse4.1", LEAF_1, ECX, 19, 0},
    {"sse4.2", LEAF_1, ECX, 20, 0},
    {"movbe", LEAF_1, ECX, 22, 0},
    {"popcnt", LEAF_1, ECX, 23, 0},
    {"aes", LEAF_1, ECX, 25, 0},
    {"avx", LEAF_1, ECX, 28, XCR0_YMM},
    {"f16c", LEAF_1, ECX, 29, XCR0_YMM},
    {"bmi", LEAF_7, EBX, 3, 0},
    {"avx2", LEAF_7, EBX, 5, XCR0_YMM},
    {"bmi2", LEAF_7, EBX, 8, 0},
    {"avx512f", LEAF_7, EBX, 16, XCR0_ZMM},
    {"avx512dq", LEAF_7, EBX, 17, XCR0_ZMM},
    {"adx", LEAF_7, EBX, 19, 0},
    {"avx512ifma", LEAF_7, EBX, 21, XCR0_ZMM},
    {"avx512cd", LEAF_7, EBX, 28, XCR0_ZMM},
    {"sha", LEAF_7, EBX, 29, 0},
    {"avx512bw", LEAF_7, EBX, 30, XCR0_ZMM},
    {"avx512vl", LEAF_7, EBX, 31, XCR0_ZMM},
    {"avx512vbmi", LEAF_7, ECX, 1, XCR0_ZMM},
    {"avx512vbmi2", LEAF_7, ECX, 6, XCR0_ZMM},
    {"gfni", LEAF_7, ECX, 8, 0},
    {"vaes", LEAF_7, ECX, 9, XCR0_YMM},
    {"vpclmulqdq", LEAF_7, ECX, 10, XCR0_YMM},
    {"avx512vnni", LEAF_7, ECX, 11, XCR0_ZMM},
    {"avx512bitalg", LEAF_7, ECX, 12, XCR0_ZMM},
    {"avx512vpopcntdq", LEAF_7, ECX, 14, XCR0_ZMM},
    {"avx512vp2intersect", LEAF_7, EDX, 8, XCR0_ZMM},
    {"amx-bf16", LEAF_7, EDX, 22, XCR0_TILE},
    {"avx512fp16", LEAF_7, EDX, 23, XCR0_ZMM},
    {"amx-tile", LEAF_7, EDX, 24, XCR0_TILE},
    {"amx-int8", LEAF_7, EDX, 25, XCR0_TILE},
    {"avxvnni", LEAF_7_1, EAX, 4, XCR0_YMM},
    {"avx512bf16", LEAF_7_1, EAX, 5, XCR0_ZMM},
    {"lzcnt", LEAF_EXT_1, ECX, 5, 0},
    {"xop", LEAF_EXT_1, ECX, 11, XCR0_YMM}, /* of one family of CPUs: tests use it to be refused */
};

typedef struct Needs {
    uint32_t mask[LEAVES][REGS];
    uint32_t xcr0;
} Needs;

static void need(Needs *n, const char *name, size_t len)
{
    for (int i = 0; i < COUNT(features); i++) {
        const struct Feature *f = &features[i];
        if (strlen(f->name) != len || memcmp(f->name, name, len)) continue;
        n->mask[f->leaf][f->reg] |= 1u << f->bit;
        n->xcr0 |= f->xcr0;
        return;
    }
    die("no cpuid bit known for feature \"%.*s\"", (int)len, name);
}

/* Names with commas or spaces between. */
static Needs needs_of(const char *list)
{
    Needs n = {0};
    while (list && *list) {
        size_t len = strcspn(list, " ,");
        if (len) need(&n, list, len);
        list += len + (list[len] != '\0');
    }
    if (n.xcr0) n.mask[LEAF_1][ECX] |= 1u << 27; /* OSXSAVE: xgetbv may be used */
    return n;
}

/* {eax, ebx, ecx, edx}. LLVM may hold its base pointer in rbx, so it is swapped out and back. */
static LLVMValueRef cpuid(EntryGen *g, uint32_t leaf, uint32_t sub)
{
    static const char text[] = "xchgq %rbx, ${1:q}\n\tcpuid\n\txchgq %rbx, ${1:q}";
    static const char regs[] = "={ax},=r,={cx},={dx},0,2,~{dirflag},~{fpsr},~{flags}";
    Ib *ib = &g->ib;
    LLVMTypeRef out[] = {ib->i32, ib->i32, ib->i32, ib->i32}, in[] = {ib->i32, ib->i32};
    LLVMTypeRef type = ib_fn_type(LLVMStructTypeInContext(ib->ctx, out, 4, 0), 2, in);
    LLVMValueRef code = LLVMGetInlineAsm(type, text, sizeof text - 1, regs, sizeof regs - 1, 1, 0,
                                         LLVMInlineAsmDialectATT, 0);
    LLVMValueRef arg[] = {ib_i32(ib, leaf), ib_i32(ib, sub)};
    return ib_call(ib, type, code, 2, arg);
}

static LLVMValueRef xcr0(EntryGen *g)
{
    static const char text[] = "xgetbv";
    static const char regs[] = "={ax},={dx},{cx},~{dirflag},~{fpsr},~{flags}";
    Ib *ib = &g->ib;
    LLVMTypeRef out[] = {ib->i32, ib->i32};
    LLVMTypeRef type = ib_fn_type(LLVMStructTypeInContext(ib->ctx, out, 2, 0), 1, &ib->i32);
    LLVMValueRef code = LLVMGetInlineAsm(type, text, sizeof text - 1, regs, sizeof regs - 1, 1, 0,
                                         LLVMInlineAsmDialectATT, 0);
    LLVMValueRef zero = ib_i32(ib, 0);
    return LLVMBuildExtractValue(ib->b, ib_call(ib, type, code, 1, &zero), 0, "");
}

static void require(EntryGen *g, LLVMValueRef c)
{
    ib_return_if(&g->ib, LLVMBuildNot(g->ib.b, c, ""), LLVMConstInt(g->ib.i1, 0, 0));
}

static void require_bits(EntryGen *g, LLVMValueRef word, uint32_t mask)
{
    LLVMValueRef m = ib_i32(&g->ib, mask);
    if (mask) require(g, ib_cmp(&g->ib, LLVMIntEQ, ib_and(&g->ib, word, m), m));
}

static bool wanted(const Needs *n, Leaf leaf)
{
    for (int r = 0; r < REGS; r++)
        if (n->mask[leaf][r]) return true;
    return false;
}

static void require_leaf(EntryGen *g, const Needs *n, Leaf leaf, LLVMValueRef regs)
{
    for (int r = 0; r < REGS; r++)
        require_bits(g, LLVMBuildExtractValue(g->ib.b, regs, (unsigned)r, ""), n->mask[leaf][r]);
}

static LLVMValueRef ask(EntryGen *g, Leaf leaf)
{
    return cpuid(g, leaf_info[leaf].leaf, leaf_info[leaf].sub);
}

/* eax of the first leaf, and of the first subleaf, says which exist; others answer at random. */
static void require_number(EntryGen *g, LLVMValueRef regs, uint32_t least)
{
    LLVMValueRef most = LLVMBuildExtractValue(g->ib.b, regs, EAX, "");
    require(g, ib_cmp(&g->ib, LLVMIntUGE, most, ib_i32(&g->ib, least)));
}

static void check_leaf_7(EntryGen *g, const Needs *n)
{
    require_number(g, cpuid(g, 0, 0), 7);
    LLVMValueRef regs = ask(g, LEAF_7);
    require_leaf(g, n, LEAF_7, regs);
    if (!wanted(n, LEAF_7_1)) return;
    require_number(g, regs, 1);
    require_leaf(g, n, LEAF_7_1, ask(g, LEAF_7_1));
}

/* Every x86-64 has leaves 1 and 80000001. Each question is put once: a virtual machine takes
 * microseconds for an answer. */
static void check_leaves(EntryGen *g, const Needs *n)
{
    require_leaf(g, n, LEAF_1, ask(g, LEAF_1)); /* first: it says whether xgetbv may be used */
    if (n->xcr0) require_bits(g, xcr0(g), n->xcr0);
    if (wanted(n, LEAF_7) || wanted(n, LEAF_7_1)) check_leaf_7(g, n);
    if (wanted(n, LEAF_EXT_1)) require_leaf(g, n, LEAF_EXT_1, ask(g, LEAF_EXT_1));
}

static bool is_x86_64(const EntryGen *g)
{
    return !strncmp(g->target->triple, "x86_64", 6);
}

static void set_attribute(EntryGen *g, LLVMValueRef fn, const char *name, const char *value)
{
    LLVMAttributeRef a = LLVMCreateStringAttribute(g->ib.ctx, name, (unsigned)strlen(name), value,
                                                   (unsigned)strlen(value));
    LLVMAddAttributeAtIndex(fn, LLVMAttributeFunctionIndex, a);
}

void entry_baseline(EntryGen *g, LLVMValueRef fn)
{
    if (!is_x86_64(g)) return;
    set_attribute(g, fn, "target-cpu", "x86-64");
    set_attribute(g, fn, "target-features", "");
}

/* Linux lets a process use matrix tiles once it has asked: arch_prctl(ARCH_REQ_XCOMP_PERM,
 * XFEATURE_XTILEDATA), as often as it likes (Documentation/arch/x86/xstate.rst). */
static LLVMValueRef tiles_granted(EntryGen *g)
{
    enum { SYS_ARCH_PRCTL = 158, REQ_XCOMP_PERM = 0x1023, XTILEDATA = 18 };
    static const char text[] = "syscall";
    static const char regs[] = "={ax},{ax},{di},{si},~{rcx},~{r11},~{memory},~{dirflag},~{fpsr},"
                               "~{flags}";
    Ib *ib = &g->ib;
    LLVMTypeRef in[] = {ib->i64, ib->i64, ib->i64};
    LLVMTypeRef type = ib_fn_type(ib->i64, 3, in);
    LLVMValueRef code = LLVMGetInlineAsm(type, text, sizeof text - 1, regs, sizeof regs - 1, 1, 0,
                                         LLVMInlineAsmDialectATT, 0);
    LLVMValueRef arg[] = {ib_i64(ib, SYS_ARCH_PRCTL), ib_i64(ib, REQ_XCOMP_PERM),
                          ib_i64(ib, XTILEDATA)};
    return ib_cmp(ib, LLVMIntEQ, ib_call(ib, type, code, 3, arg), ib_i64(ib, 0));
}

/* What the variant needs: its row's features, and those of claims that it has kernels of. */
static const char *all_needs(const Variant *v)
{
    const CpuRow *row = v->target->row;
    const char *all = row->needs;
    bool seen[64] = {false};
    check(cpu_nclaims <= COUNT(seen));
    for (int i = 0; i < v->m->nkernel; i++) {
        int claim = v->m->kernel[i]->offer.claim;
        if (claim < 0 || seen[claim] || !cpu_claims[claim].needs) continue;
        seen[claim] = true;
        all = arena_printf(v->m->arena, "%s,%s", all, cpu_claims[claim].needs);
    }
    return all;
}

/* i1 (): this machine runs the variant; NULL: there is nothing to ask. */
static LLVMValueRef check_function(EntryGen *g, const Variant *v)
{
    const CpuRow *row = v->target->row;
    Needs n = is_x86_64(g) ? needs_of(all_needs(v)) : (Needs){0};
    bool any = false;
    for (Leaf leaf = 0; leaf < LEAVES; leaf++) any |= wanted(&n, leaf);
    if (!any) return NULL;
    Ib *ib = &g->ib;
    const char *symbol = arena_printf(g->m->arena, "%s.cpu.%s", g->m->prefix, row->name);
    LLVMValueRef fn = ib_function(ib, symbol, ib_fn_type(ib->i1, 0, NULL));
    entry_baseline(g, fn);
    check_leaves(g, &n);
    if ((n.xcr0 & XCR0_TILE) == XCR0_TILE) require(g, tiles_granted(g));
    ib_return(ib, LLVMConstInt(ib->i1, 1, 0));
    return fn;
}

/* From the last variant down, and no more is asked than needed; nothing where an earlier call has
 * told: `known`, from 1 on. */
static void pick(EntryGen *g, LLVMValueRef *ok, LLVMValueRef known)
{
    Ib *ib = &g->ib;
    LLVMValueRef told = ib_cmp(ib, LLVMIntNE, known, ib_i32(ib, 0));
    ib_return_if(ib, told, LLVMBuildSub(ib->b, known, ib_i32(ib, 1), ""));
    for (int v = g->nvariant - 1; v >= 0; v--) {
        if (!ok[v]) {
            ib_return(ib, ib_i32(ib, v));
            return;
        }
        LLVMValueRef runs = ib_call(ib, LLVMGlobalGetValueType(ok[v]), ok[v], 0, NULL);
        ib_return_if(ib, runs, ib_i32(ib, v));
    }
    ib_return(ib, ib_i32(ib, -1));
}

LLVMValueRef entry_cpu_pick(EntryGen *g)
{
    LLVMValueRef ok[MAX_VARIANTS];
    Ib *ib = &g->ib;
    for (int v = 0; v < g->nvariant; v++) ok[v] = check_function(g, &g->variant[v]);
    if (g->nvariant == 1 && !ok[0]) return NULL;
    const char *symbol = arena_printf(g->m->arena, "%s.pick", g->m->prefix);
    LLVMValueRef fn = ib_function(ib, symbol, ib_fn_type(ib->i32, 1, &ib->i32));
    entry_baseline(g, fn);
    pick(g, ok, LLVMGetParam(fn, 0));
    return fn;
}
