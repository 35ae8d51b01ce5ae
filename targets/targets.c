/* SPDX-License-Identifier: Apache-2.0 */
/* The targets and their CPU rows, and which of them a triple and a name mean. */
#include "targets/targets.h"

#include <llvm-c/TargetMachine.h>
#include <string.h>

#include "targets/llvm/emit.h"

static const CpuRow x86_rows[] = {
#define CPU(...) {__VA_ARGS__},
#include "targets/cpu/cpus.def"
};
static const CpuRow arm64_rows[] = {
#include "targets/cpu/arm64.def"
};
static const CpuRow riscv64_rows[] = {
#include "targets/cpu/riscv64.def"
};
static const CpuRow arm_rows[] = {
#include "targets/cpu/arm.def"
};
static const CpuRow ptx_rows[] = {
#include "targets/ptx/cpus.def"
#undef CPU
};

/* ---- bids ---- */

/* A schedule's line decides; one that comes with the compiler may not fit all options. */
static bool offer_by_line(const Target *t, const Contract *c, Offer *o)
{
    char why[PLAN_WHY];
    ScheduleLine *line = t->schedule ? schedule_find(t->schedule, t->cpu, c) : NULL;
    if (!line) return false;
    line->asked = true;
    if (plan_offer(t, c, line->plan, o, why)) return true;
    if (line->where) err(line->where, "%s", why);
    *o = (Offer){.claim = -1};
    return false;
}

static bool offer_cpu(const Target *t, const Contract *c, Offer *o)
{
    if (offer_by_line(t, c, o)) return o->claim >= 0;
    for (int i = 0; i < cpu_nclaims; i++) {
        if (cpu_claims[i].offer(t, c, o)) {
            o->claim = i;
            return true;
        }
    }
    return false;
}

static void pack_cpu(const Target *t, const Contract *c, const Offer *o, const void *dense,
                     void *packed)
{
    cpu_claims[o->claim].pack(t, c, o, dense, packed);
}

static void transform_cpu(const Target *t, const Contract *c, const Offer *o, double *matrix)
{
    cpu_claims[o->claim].transform(t, c, o, matrix);
}

const char *target_claim_name(int claim)
{
    check(claim < cpu_nclaims);
    return claim < 0 ? "generic" : cpu_claims[claim].name;
}

static bool offer_none(const Target *t, const Contract *c, Offer *o)
{
    (void)t, (void)c, (void)o;
    return false;
}

/* ---- the table ---- */

typedef struct Family {
    const char *name, *arch, *triple;
    const CpuRow *row;
    int nrow;
    bool gpu;
    bool (*offer)(const Target *, const Contract *, Offer *);
} Family;

static const Family families[] = {
    {"x86-64", "x86_64", "x86_64-unknown-linux-gnu", x86_rows, COUNT(x86_rows), false, offer_cpu},
    {"aarch64", "aarch64", "aarch64-unknown-linux-gnu", arm64_rows, COUNT(arm64_rows), false,
     offer_cpu},
    {"riscv64", "riscv64", "riscv64-unknown-linux-gnu", riscv64_rows, COUNT(riscv64_rows), false,
     offer_cpu},
    {"arm", "arm", "arm-unknown-linux-gnueabihf", arm_rows, COUNT(arm_rows), false, offer_cpu},
    {"nvptx64", "nvptx64", "nvptx64-nvidia-cuda", ptx_rows, COUNT(ptx_rows), true, offer_none},
};

void target_list(Str *s)
{
    for (int i = 0; i < COUNT(families); i++) {
        const Family *f = &families[i];
        str_fmt(s, "%s (%s):", f->name, f->triple);
        for (int j = 0; j < f->nrow; j++) str_fmt(s, " %s", f->row[j].name);
        str_put(s, "\n");
    }
}

static void release_str(void *s)
{
    str_free(s);
}

_Noreturn static void unknown(const char *what, const char *name)
{
    Str s = {0};
    err_defer(release_str, &s);
    target_list(&s);
    err(NULL, "unknown %s '%s'; known are\n%s", what, name, s.s);
}

/* ---- the family of a triple ---- */

static bool is_arch(const char *triple, const char *arch)
{
    size_t n = strlen(arch);
    return !strncmp(triple, arch, n) && (triple[n] == '-' || !triple[n]);
}

static const Family *family_of(const char *triple)
{
    for (int i = 0; i < COUNT(families); i++)
        if (is_arch(triple, families[i].arch) || !strcmp(triple, families[i].name))
            return &families[i];
    unknown("target", triple);
}

static void copy_message(Arena *a, char *llvm, char **out)
{
    *out = arena_strdup(a, llvm);
    LLVMDisposeMessage(llvm);
}

/* The triple of this machine, of which only the architecture counts: the rest is the family's. */
static const Family *host_family(Arena *a)
{
    char *triple;
    copy_message(a, LLVMGetDefaultTargetTriple(), &triple);
    return family_of(triple);
}

/* ---- the row of a CPU ---- */

/* features: "+avx2,-avx512f,..." */
static bool has_feature(const char *features, const char *name, size_t n)
{
    for (const char *p = features; (p = strchr(p, '+')) != NULL; p++)
        if (!strncmp(p + 1, name, n) && (p[1 + n] == ',' || !p[1 + n])) return true;
    return false;
}

static bool has_all(const char *features, const char *needs)
{
    while (*needs) {
        size_t n = strcspn(needs, ",");
        if (!has_feature(features, needs, n)) return false;
        needs += n + (needs[n] == ',');
    }
    return true;
}

static const CpuRow *native_row(Arena *a, const Family *f)
{
    char *cpu, *features;
    copy_message(a, LLVMGetHostCPUName(), &cpu);
    copy_message(a, LLVMGetHostCPUFeatures(), &features);
    const CpuRow *best = &f->row[0];
    for (int i = 0; i < f->nrow; i++) {
        const CpuRow *r = &f->row[i];
        if (!has_all(features, r->needs)) continue;
        if (!strcmp(r->llvm_cpu, cpu)) return r;
        if (r->any) best = r;
    }
    return best;
}

bool target_cpu_known(const char *name)
{
    for (int i = 0; i < COUNT(families); i++)
        for (int k = 0; k < families[i].nrow; k++)
            if (!strcmp(families[i].row[k].name, name)) return true;
    return false;
}

static const CpuRow *named_row(const Family *f, const char *name)
{
    for (int i = 0; i < f->nrow; i++)
        if (!strcmp(f->row[i].name, name)) return &f->row[i];
    unknown("CPU", name);
}

/* Another machine than this one has no native row: the least, or for a GPU the latest. */
static const CpuRow *row_of(Arena *a, const Family *f, const char *name)
{
    if (name && strcmp(name, "native")) return named_row(f, name);
    if (f->gpu) return &f->row[f->nrow - 1];
    return f == host_family(a) ? native_row(a, f) : &f->row[0];
}

bool target_runs_here(const Target *t)
{
    bool yes = false;
    Arena *a = arena_new();
    char *features;
    copy_message(a, LLVMGetHostCPUFeatures(), &features);
    char *triple;
    copy_message(a, LLVMGetDefaultTargetTriple(), &triple);
    yes = is_arch(triple, family_of(t->triple)->arch) &&
          has_all(features, ((const CpuRow *)t->row)->needs);
    arena_free(a);
    return yes;
}

/* ---- targets ---- */

/* Virtual machines may hide the matrix tiles that the CPU has. */
static bool has_tiles(Arena *a)
{
    char *features;
    copy_message(a, LLVMGetHostCPUFeatures(), &features);
    return has_all(features, "amx-tile,amx-bf16");
}

/* "aarch64-linux-gnu" is "aarch64-unknown-linux-gnu"; LLVM takes the parts as they stand. A bare
 * architecture gets the family's triple. */
static const char *whole_triple(Arena *a, const Family *f, const char *triple)
{
    char *whole;
    if (!triple || !strchr(triple, '-') || !strcmp(triple, f->name)) return f->triple;
    copy_message(a, LLVMNormalizeTargetTriple(triple), &whole);
    return whole;
}

const Target *target_find(Arena *a, const char *triple, const char *cpu)
{
    const Family *f = triple ? family_of(triple) : host_family(a);
    const CpuRow *r = row_of(a, f, cpu);
    bool named = cpu && strcmp(cpu, "native");
    Target *t = NEW(a, Target);
    *t = (Target){.name = f->name,
                  .triple = whole_triple(a, f, triple),
                  .cpu = r->name,
                  .vec_bytes = r->vec_bytes,
                  .vec_regs = r->vec_regs,
                  .rate = r->rate,
                  .dot = r->dot,
                  .tiles = named || has_tiles(a) ? r->tiles : 0,
                  .fma = r->fma,
                  .adds = r->adds,
                  .gpu = f->gpu,
                  .l1 = r->l1,
                  .l2 = r->l2,
                  .l3_rate = r->l3_rate,
                  .memory_rate = r->memory_rate,
                  .offer = f->offer,
                  .pack = pack_cpu,
                  .transform = transform_cpu,
                  .winograd = true,
                  .depth_first = true,
                  .row = r};
    return t;
}
