/* SPDX-License-Identifier: Apache-2.0 */
/* A team: workers that share each kernel of one slot machine, for calls with fewer samples than
 * workers. The worker that comes first is the leader and runs the machine. Before a phase it
 * publishes an order; the others, which wait for orders, run the same phase beside it.
 *
 * In a phase everyone goes through the kernels in order. The pieces of a kernel are dealt: `turn`
 * holds its number and the next piece, and who takes some moves it on. Whoever does the last piece
 * moves `turn` to the next kernel, and only then is that one begun by anybody. So nobody waits for
 * a worker that has nothing in hand: one that is slow to start, has lost its processor, or is not
 * run at all until the others are done (env->parallel may call in turn) finds that the kernel's
 * number is gone by, and goes on. Which pieces a worker gets changes no bit of the results. */
#include "emit.h"
#include "entry.h"

#include "runtime/adjoint_abi.h"

/* An order: number of the first kernel, phase, range of slots. They differ from each other and from
 * 0, since ranges are not empty. */
enum { ORDER_CALL = 32, ORDER_PHASE = 30, ORDER_LO = 15, MOST_SLOTS = (1 << 15) - 1 };
enum { ORDER_NONE = 0, ORDER_OVER = -1 };

/* Less than this is not worth handing to another worker. */
enum { GRAIN_US = 10, MACS_A_US = 40000, BYTES_A_US = 10000 };

/* ---- how a kernel is shared ---- */

static int64_t grain(double cost, int64_t units)
{
    double n = cost > 0 ? GRAIN_US / cost : (double)units;
    if (2 * n > (double)units) return units; /* not enough for two */
    return n < 1 ? 1 : (int64_t)(n + 0.999);
}

static bool has_samples(const Kernel *k)
{
    for (int a = 0; a < k->naxis; a++)
        if (k->axis[a].sample) return true;
    return false;
}

TeamShare team_share(const Kernel *k, const Call *c)
{
    double macs = c->macs / MACS_A_US, bytes = c->bytes / BYTES_A_US;
    double cost = macs > bytes ? macs : bytes; /* of a sample, microseconds */
    TeamShare s = {.pieces = kernel_pieces(k), .by_samples = has_samples(k)};
    s.least = grain(cost / (double)s.pieces, s.pieces);
    s.least_samples = grain(cost, INT32_MAX);
    s.evenly = kernel_repeats(k);
    return s;
}

static bool phase_pays(const Module *m, const Phase *p)
{
    for (int i = 0; i < p->ncall; i++) {
        TeamShare s = team_share(m->kernel[p->call[i].kernel], &p->call[i]);
        if (s.least < s.pieces) return true;
    }
    return false;
}

/* A tracer reads memory while nobody writes it. */
bool team_pays(const Module *m, const Program *p)
{
    if (m->trace || p->slots > MOST_SLOTS) return false;
    return phase_pays(m, &p->step) || phase_pays(m, &p->init) || phase_pays(m, &p->judge) ||
           phase_pays(m, &p->finish);
}

/* ---- words of the head ---- */

static LLVMValueRef word(EntryGen *g, LLVMValueRef run, int field)
{
    return ib_field(&g->ib, g->shared_t, ib_get(&g->ib, g->run_t, run, RUN_SHARED), field);
}

static LLVMValueRef read_word(EntryGen *g, LLVMValueRef run, int field)
{
    LLVMValueRef v = ib_load(&g->ib, g->ib.i64, word(g, run, field));
    LLVMSetOrdering(v, LLVMAtomicOrderingAcquire);
    return v;
}

static void write_word(EntryGen *g, LLVMValueRef run, int field, LLVMValueRef v)
{
    LLVMValueRef s = LLVMBuildStore(g->ib.b, v, word(g, run, field));
    LLVMSetOrdering(s, LLVMAtomicOrderingRelease);
    LLVMSetAlignment(s, (unsigned)ib_bytes(&g->ib, LLVMTypeOf(v)));
}

/* high << 32 | low, of i32. */
static LLVMValueRef pair(Ib *ib, LLVMValueRef high, LLVMValueRef low)
{
    LLVMValueRef h = LLVMBuildZExt(ib->b, high, ib->i64, "");
    h = LLVMBuildShl(ib->b, h, ib_i64(ib, 32), "");
    return ib_or(ib, h, LLVMBuildZExt(ib->b, low, ib->i64, ""));
}

static LLVMValueRef low_of(Ib *ib, LLVMValueRef v)
{
    return LLVMBuildTrunc(ib->b, v, ib->i32, "");
}

static LLVMValueRef high_of(Ib *ib, LLVMValueRef v)
{
    return low_of(ib, LLVMBuildLShr(ib->b, v, ib_i64(ib, 32), ""));
}

/* Lets the caller's system have the processor; it is told how often in a row. */
static void idle(EntryGen *g, LLVMValueRef run, IbVar times)
{
    Ib *ib = &g->ib;
    LLVMTypeRef t[] = {ib->ptr, ib->i32};
    LLVMValueRef fn = ib_get(ib, g->run_t, run, RUN_IDLE);
    LLVMValueRef arg[] = {ib_get(ib, g->run_t, run, RUN_USER), ib_value(ib, times)};
    ib_call(ib, ib_fn_type(ib->none, 2, t), fn, 2, arg);
    LLVMValueRef many = ib_cmp(ib, LLVMIntEQ, ib_value(ib, times), ib_i32(ib, INT32_MAX));
    ib_inc(ib, times, ib_select(ib, many, ib_i32(ib, 0), ib_i32(ib, 1)));
}

/* ---- dealing ---- */

enum { TAKE_RUN, TAKE_CALL, TAKE_UNITS, TAKE_LEAST, TAKE_BEFORE };

/* Marks what was taken before as done. The last one opens the next kernel and returns. */
static void give_back(EntryGen *g, LLVMValueRef run, LLVMValueRef call, LLVMValueRef units)
{
    Ib *ib = &g->ib;
    LLVMValueRef before = ib_arg(ib, TAKE_BEFORE), one = ib_i32(ib, 1);
    IbIf none = ib_if(ib, ib_cmp(ib, LLVMIntEQ, before, ib_i64(ib, 0)));
    ib_else(ib, &none);
    LLVMValueRef n = LLVMBuildSub(ib->b, high_of(ib, before), low_of(ib, before), "");
    LLVMValueRef old = LLVMBuildAtomicRMW(ib->b, LLVMAtomicRMWBinOpAdd, word(g, run, SHARED_DONE),
                                          n, LLVMAtomicOrderingAcquireRelease, 0);
    IbIf last = ib_if(ib, ib_cmp(ib, LLVMIntEQ, ib_add(ib, old, n), units));
    write_word(g, run, SHARED_DONE, ib_i32(ib, 0));
    write_word(g, run, SHARED_TURN, pair(ib, ib_add(ib, call, one), ib_i32(ib, 0)));
    ib_end_if(ib, &last);
    ib_end_if(ib, &none);
}

/* At first a good part of an equal share, then less and less, so that all end together. */
static LLVMValueRef portion(EntryGen *g, LLVMValueRef run, LLVMValueRef left)
{
    Ib *ib = &g->ib;
    LLVMValueRef team = ib_get(ib, g->run_t, run, RUN_TEAM), four = ib_i32(ib, 4);
    LLVMValueRef by = LLVMBuildMul(ib->b, team, four, "");
    LLVMValueRef n = LLVMBuildMul(ib->b, left, ib_i32(ib, 3), "");
    n = ib_add(ib, n, LLVMBuildSub(ib->b, by, ib_i32(ib, 1), ""));
    n = ib_max(ib, LLVMBuildUDiv(ib->b, n, by, ""), ib_arg(ib, TAKE_LEAST));
    return ib_min(ib, n, left);
}

/* Returns the range if it is had. */
static void try_take(EntryGen *g, LLVMValueRef run, LLVMValueRef now, LLVMValueRef left)
{
    Ib *ib = &g->ib;
    LLVMValueRef next = low_of(ib, now), n = portion(g, run, left);
    LLVMValueRef more = ib_add(ib, now, LLVMBuildZExt(ib->b, n, ib->i64, ""));
    LLVMValueRef seen =
        LLVMBuildAtomicCmpXchg(ib->b, word(g, run, SHARED_TURN), now, more,
                               LLVMAtomicOrderingAcquireRelease, LLVMAtomicOrderingAcquire, 0);
    ib_return_if(ib, LLVMBuildExtractValue(ib->b, seen, 1, ""),
                 pair(ib, ib_add(ib, next, n), next));
}

static void take_or_wait(EntryGen *g, LLVMValueRef run, LLVMValueRef call, LLVMValueRef units)
{
    Ib *ib = &g->ib;
    IbVar waited = ib_var(ib, "waited", ib->i32, ib_i32(ib, 0));
    IbLoop l = ib_loop(ib);
    LLVMValueRef now = read_word(g, run, SHARED_TURN);
    ib_leave_if(ib, &l, ib_cmp(ib, LLVMIntNE, high_of(ib, now), call));
    LLVMValueRef left = LLVMBuildSub(ib->b, units, low_of(ib, now), "");
    IbIf some = ib_if(ib, ib_cmp(ib, LLVMIntSGT, left, ib_i32(ib, 0)));
    try_take(g, run, now, left);
    ib_else(ib, &some);
    idle(g, run, waited);
    ib_end_if(ib, &some);
    ib_end_loop(ib, &l);
}

/* i64 take(run, call, units, least, before): a range of the units of call number `call` of a phase,
 * to << 32 | from, for the caller to run; 0: all are done. `before` is what it had from the call's
 * last take, 0 at first. A worker without a team gets all at once. */
void team_open(EntryGen *g)
{
    Ib *ib = &g->ib;
    LLVMTypeRef t[] = {ib->ptr, ib->i32, ib->i32, ib->i32, ib->i64};
    LLVMValueRef zero = ib_i64(ib, 0), none = ib_i32(ib, 0);
    g->take_t = ib_fn_type(ib->i64, COUNT(t), t);
    g->take_fn = entry_inner(g, "take", g->take_t);
    LLVMValueRef run = ib_arg(ib, TAKE_RUN), units = ib_arg(ib, TAKE_UNITS);
    LLVMValueRef team = ib_get(ib, g->run_t, run, RUN_TEAM);
    LLVMValueRef first = ib_cmp(ib, LLVMIntEQ, ib_arg(ib, TAKE_BEFORE), zero);
    ib_return_if(ib, ib_cmp(ib, LLVMIntEQ, team, none),
                 ib_select(ib, first, pair(ib, units, none), zero));
    LLVMValueRef call = ib_add(ib, ib_get(ib, g->run_t, run, RUN_CALL), ib_arg(ib, TAKE_CALL));
    give_back(g, run, call, units);
    take_or_wait(g, run, call, units);
    ib_return(ib, zero);
}

static LLVMValueRef least_pieces(EntryGen *g, LLVMValueRef team, const TeamShare *s)
{
    Ib *ib = &g->ib;
    LLVMValueRef least = ib_i32(ib, s->least);
    if (!s->evenly) return least;
    LLVMValueRef workers = ib_max(ib, team, ib_i32(ib, 1)); /* none: alone */
    LLVMValueRef most = LLVMBuildSub(ib->b, workers, ib_i32(ib, 1), "");
    most = ib_add(ib, most, ib_i32(ib, s->pieces));
    return ib_max(ib, LLVMBuildUDiv(ib->b, most, workers, ""), least);
}

/* Many samples are shared as such: kernels then run as they do alone. Few are not, nor are kernels
 * that have no sample axis. */
TeamLoop team_begin(EntryGen *g, LLVMValueRef run, int call, const TeamShare *s, LLVMValueRef lo,
                    LLVMValueRef hi)
{
    Ib *ib = &g->ib;
    TeamLoop t = {.g = g, .range = ib_var(ib, "range", ib->i64, ib_i64(ib, 0))};
    LLVMValueRef team = ib_get(ib, g->run_t, run, RUN_TEAM), pieces = ib_i32(ib, s->pieces);
    LLVMValueRef slots = low_of(ib, LLVMBuildSub(ib->b, hi, lo, ""));
    LLVMValueRef many = LLVMBuildMul(ib->b, team, ib_i32(ib, 4), "");
    t.by_samples = s->by_samples ? ib_cmp(ib, LLVMIntSGE, slots, many) : LLVMConstInt(ib->i1, 0, 0);
    LLVMValueRef units = ib_select(ib, t.by_samples, slots, pieces);
    LLVMValueRef least =
        ib_select(ib, t.by_samples, ib_i32(ib, s->least_samples), least_pieces(g, team, s));
    t.loop = ib_loop(ib);
    LLVMValueRef arg[] = {run, ib_i32(ib, call), units, least, ib_value(ib, t.range)};
    LLVMValueRef range = ib_call(ib, g->take_t, g->take_fn, COUNT(arg), arg);
    ib_leave_if(ib, &t.loop, ib_cmp(ib, LLVMIntEQ, range, ib_i64(ib, 0)));
    ib_set(ib, t.range, range);
    LLVMValueRef from = LLVMBuildZExt(ib->b, low_of(ib, range), ib->i64, "");
    LLVMValueRef to = LLVMBuildLShr(ib->b, range, ib_i64(ib, 32), ""), all = ib_i64(ib, s->pieces);
    t.lo = ib_select(ib, t.by_samples, ib_add(ib, lo, from), lo);
    t.hi = ib_select(ib, t.by_samples, ib_add(ib, lo, to), hi);
    t.from = ib_select(ib, t.by_samples, ib_i64(ib, 0), from);
    t.to = ib_select(ib, t.by_samples, all, to);
    return t;
}

void team_end(TeamLoop *t)
{
    ib_end_loop(&t->g->ib, &t->loop);
}

/* ---- orders ---- */

static LLVMValueRef in_team(EntryGen *g, LLVMValueRef run)
{
    LLVMValueRef team = ib_get(&g->ib, g->run_t, run, RUN_TEAM);
    return ib_cmp(&g->ib, LLVMIntNE, team, ib_i32(&g->ib, 0));
}

static LLVMValueRef shifted(Ib *ib, LLVMValueRef v, int by)
{
    return LLVMBuildShl(ib->b, v, ib_i64(ib, by), "");
}

void team_order(EntryGen *g, LLVMValueRef run, int phase, LLVMValueRef lo, LLVMValueRef hi)
{
    Ib *ib = &g->ib;
    if (!g->teams) return;
    IbIf team = ib_if(ib, in_team(g, run));
    LLVMValueRef call = ib_get(ib, g->run_t, run, RUN_CALL);
    LLVMValueRef order = shifted(ib, LLVMBuildZExt(ib->b, call, ib->i64, ""), ORDER_CALL);
    order = ib_or(ib, order, shifted(ib, ib_i64(ib, phase), ORDER_PHASE));
    order = ib_or(ib, order, ib_or(ib, shifted(ib, lo, ORDER_LO), hi));
    write_word(g, run, SHARED_ORDER, order);
    ib_end_if(ib, &team);
}

void team_ordered(EntryGen *g, LLVMValueRef run, const Phase *p)
{
    Ib *ib = &g->ib;
    if (!g->teams) return;
    LLVMValueRef next = ib_add(ib, ib_get(ib, g->run_t, run, RUN_CALL), ib_i32(ib, phase_turns(p)));
    ib_put(ib, g->run_t, run, RUN_CALL, next);
}

void team_dismiss(EntryGen *g, LLVMValueRef run)
{
    Ib *ib = &g->ib;
    if (!g->teams) return;
    IbIf team = ib_if(ib, in_team(g, run));
    write_word(g, run, SHARED_ORDER, ib_i64(ib, ORDER_OVER));
    ib_end_if(ib, &team);
}

static LLVMValueRef order_part(Ib *ib, LLVMValueRef order, int at, int64_t mask)
{
    return ib_and(ib, LLVMBuildLShr(ib->b, order, ib_i64(ib, at), ""), ib_i64(ib, mask));
}

static void obey(EntryGen *g, LLVMValueRef run, LLVMValueRef order)
{
    Ib *ib = &g->ib;
    LLVMValueRef phase = order_part(ib, order, ORDER_PHASE, PHASES - 1);
    LLVMValueRef arg[] = {run, order_part(ib, order, ORDER_LO, MOST_SLOTS),
                          order_part(ib, order, 0, MOST_SLOTS)};
    ib_put(ib, g->run_t, run, RUN_CALL, high_of(ib, order));
    for (int i = 0; i < PHASES; i++) {
        if (!g->phase_fn[i]) continue;
        IbIf this = ib_if(ib, ib_cmp(ib, LLVMIntEQ, phase, ib_i64(ib, i)));
        ib_call(ib, g->phase_t, g->phase_fn[i], 3, arg);
        ib_end_if(ib, &this);
    }
}

/* i1: this worker runs the machine. */
LLVMValueRef team_leads(EntryGen *g, LLVMValueRef run)
{
    Ib *ib = &g->ib;
    if (!g->teams) return LLVMConstInt(ib->i1, 1, 0);
    LLVMValueRef came = ib_fetch_add(ib, word(g, run, SHARED_CAME), ib_i32(ib, 1));
    LLVMValueRef first = ib_cmp(ib, LLVMIntEQ, came, ib_i32(ib, 0));
    return ib_or(ib, first, LLVMBuildNot(ib->b, in_team(g, run), ""));
}

void team_follow(EntryGen *g, LLVMValueRef run)
{
    Ib *ib = &g->ib;
    if (!g->teams) return;
    IbVar seen = ib_var(ib, "seen", ib->i64, ib_i64(ib, ORDER_NONE));
    IbVar waited = ib_var(ib, "waited", ib->i32, ib_i32(ib, 0));
    IbLoop l = ib_loop(ib);
    LLVMValueRef order = read_word(g, run, SHARED_ORDER);
    ib_leave_if(ib, &l, ib_cmp(ib, LLVMIntEQ, order, ib_i64(ib, ORDER_OVER)));
    IbIf old = ib_if(ib, ib_cmp(ib, LLVMIntEQ, order, ib_value(ib, seen)));
    idle(g, run, waited);
    ib_else(ib, &old);
    ib_set(ib, seen, order);
    ib_set(ib, waited, ib_i32(ib, 0));
    obey(g, run, order);
    ib_end_if(ib, &old);
    ib_end_loop(ib, &l);
}
