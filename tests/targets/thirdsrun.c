/* SPDX-License-Identifier: Apache-2.0 */
#include "thirdsrun.h"

#include "targets/llvm/emit.h"

#include <stdio.h>
#include <string.h>

static int passed, failed;

void thirds_verdict(bool ok, const char *what, const Case *c, const char *plan)
{
    ok ? passed++ : failed++;
    if (!ok)
        printf("FAIL %s: %s %lldx%lld s%lld %lld->%lld @%lldx%lld %s\n", what, op_info[c->op].name,
               (long long)c->kh, (long long)c->kw, (long long)c->stride, (long long)c->ic,
               (long long)c->oc, (long long)c->ih, (long long)c->iw, plan ? plan : "");
}

Target thirds_target(Arena *a)
{
    Target t = *target_find(a, NULL, "sapphirerapids");
    t.f32_tiles = true;
    return t;
}

/* ---- what runs ---- */
bool thirds_granted(Arena *a)
{
    Target t = thirds_target(a);
    return tiles_granted(&t);
}

Case thirds_case(Case c, Op op)
{
    int64_t ic = c.ic;
    c.op = op;
    c.dtype = DT_F32;
    c.n = 3;
    if (!c.dilation) c.dilation = 1;
    if (op == OP_conv) return c;
    c.ic = c.oc;
    c.oc = ic;
    return c;
}

typedef struct Job {
    Run r;
    const char *plan;
    ThirdsBody *body;
} Job;

static void run_job(void *user)
{
    Job *j = user;
    Run *r = &j->r;
    void *code;
    r->k = case_kernel(r->a, &r->c, r->t, "k");
    if (!r->k || strncmp(target_claim_name(r->k->offer.claim), j->plan, 7)) {
        thirds_verdict(false, "claimed", &r->c, j->plan);
        return;
    }
    const Kernel *k = r->k;
    Bytes object = emit_kernels(&k, 1, r->t, EMIT_OBJ);
    Loaded *l = object_load(&object, "k", &code);
    run_fill(r);
    j->body(r, code, j->plan);
    object_unload(l);
    bytes_free(&object);
}

uint64_t thirds_bits(const Run *r)
{
    if (!r->mem[P_OUT]) return 0;
    return hash_bytes(r->mem[P_MASK], r->bytes[P_MASK],
                      hash_bytes(r->mem[P_OUT], r->bytes[P_OUT], 1));
}

uint64_t thirds_run(Case c, const char *plan, ThirdsBody *body)
{
    char why[512];
    Arena *a = arena_new();
    Target t = thirds_target(a);
    ScheduleLine line = {.cpu = t.cpu, .contract = case_contract(&c), .plan = plan};
    Schedule s = {.n = 1, .line = &line};
    t.schedule = &s;
    Job j = {.r = {.a = a, .c = c, .t = &t}, .plan = plan, .body = body};
    run_same_again();
    if (!err_guard(run_job, &j, why, sizeof why)) thirds_verdict(false, why, &c, plan);
    uint64_t bits = thirds_bits(&j.r);
    arena_free(a);
    return bits;
}

void thirds_clear(Run *r)
{
    memset(r->mem[P_OUT], 0x5a, r->bytes[P_OUT]);
    memset(r->mem[P_MASK], 0x5a, r->bytes[P_MASK]);
}

int thirds_close(bool ran)
{
    printf("%d passed, %d failed; %s\n", passed, failed, ran ? "run" : "no matrix tiles here");
    return failed > 0;
}
