/* SPDX-License-Identifier: Apache-2.0 */
/* Quasi-affine index arithmetic. An i64 expression is read as constant + sum of coefficient *
 * atom, where an atom is anything that is not a sum (an axis, K_DIV, K_MOD, a load ...), and is
 * always rebuilt in one order, so equal sums are equal KRefs. Terms of outer axes come first:
 * what they add up to is then a subexpression of its own, which a loop over an inner axis can
 * leave outside.
 *
 * Division and remainder use ranges: floor((d*q + t) / d) is q and (d*q + t) mod d is t where 0
 * <= t < d. Nothing here depends on sums not wrapping except that, and a known range says so. */
#include "kernel_impl.h"

enum { MAX_TERMS = 64 };

typedef struct Term {
    KRef atom;
    int64_t coef;
} Term;

typedef struct Sum {
    int n;
    int64_t c;
    Term t[MAX_TERMS];
} Sum;

static int64_t wrap_mul(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a * (uint64_t)b);
}

static int64_t wrap_add(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a + (uint64_t)b);
}

/* ---- reading ---- */

static bool before(const Kernel *k, KRef a, KRef b)
{
    uint32_t x = k->expr[a].axes, y = k->expr[b].axes;
    int outer = x ? __builtin_clz(x) : 32, inner = y ? __builtin_clz(y) : 32;
    return outer != inner ? outer > inner : a < b;
}

static void drop_term(Sum *s, int i)
{
    for (s->n--; i < s->n; i++) s->t[i] = s->t[i + 1];
}

static void add_atom(const Kernel *k, Sum *s, KRef atom, int64_t coef)
{
    int i = 0;
    while (i < s->n && before(k, s->t[i].atom, atom)) i++;
    if (i < s->n && s->t[i].atom == atom) {
        s->t[i].coef = wrap_add(s->t[i].coef, coef);
        if (!s->t[i].coef) drop_term(s, i);
        return;
    }
    if (s->n == MAX_TERMS) die("index of more than %d terms", MAX_TERMS);
    for (int j = s->n++; j > i; j--) s->t[j] = s->t[j - 1];
    s->t[i] = (Term){atom, coef};
}

/* s += coef * e. */
static void add_expr(const Kernel *k, Sum *s, KRef e, int64_t coef)
{
    const KExpr *x = &k->expr[e];
    int64_t c;
    if (!coef) return;
    if (x->kop == K_CONST)
        s->c = wrap_add(s->c, wrap_mul(coef, x->imm.i));
    else if (x->kop == K_EVAL && x->op == OP_add) {
        add_expr(k, s, x->arg[0], coef);
        add_expr(k, s, x->arg[1], coef);
    } else if (x->kop == K_EVAL && x->op == OP_mul && kx_is_int(k, x->arg[1], &c))
        add_expr(k, s, x->arg[0], wrap_mul(coef, c));
    else
        add_atom(k, s, e, coef);
}

static Range term_range(const Kernel *k, Term t)
{
    return range_scale(range_of(k, t.atom), t.coef);
}

static Range sum_range(const Kernel *k, const Sum *s)
{
    Range r = {s->c, s->c};
    for (int i = 0; i < s->n; i++) r = range_add(r, term_range(k, s->t[i]));
    return r;
}

/* ---- writing ---- */

static int find_mod(const Kernel *k, const Sum *s, KRef of, int64_t by, int64_t coef)
{
    for (int i = 0; i < s->n; i++) {
        const KExpr *e = &k->expr[s->t[i].atom];
        if (e->kop == K_MOD && e->arg[0] == of && e->imm.i == by && s->t[i].coef == coef) return i;
    }
    return -1;
}

/* d * (x / d) + x % d is x, and d * ((x / d) % m) + x % d is x % (d*m): what two reshapes in a row
 * leave. True if term i was joined with another. */
static bool rejoin(Kernel *k, Sum *s, int i)
{
    const KExpr *e = &k->expr[s->t[i].atom];
    int64_t m = 0, coef = s->t[i].coef;
    if (e->kop == K_MOD) {
        m = e->imm.i;
        e = &k->expr[e->arg[0]];
    }
    if (e->kop != K_DIV || coef % e->imm.i) return false;
    KRef x = e->arg[0];
    int64_t d = e->imm.i, unit = coef / d, span;
    int j = find_mod(k, s, x, d, unit);
    if (j < 0 || (m && !mul_ok(d, m, &span))) return false;
    drop_term(s, i > j ? i : j);
    drop_term(s, i > j ? j : i);
    add_expr(k, s, m ? kx_mod(k, x, span) : x, unit);
    return true;
}

static KRef build_term(Kernel *k, Term t)
{
    if (t.coef == 1) return t.atom;
    return kx_raw(k, OP_mul, DT_I64, 2, (KRef[]){t.atom, kx_int(k, t.coef)});
}

static KRef build(Kernel *k, Sum *s)
{
    for (int i = 0; i < s->n; i++)
        if (rejoin(k, s, i)) i = -1;
    KRef r = NOK;
    for (int i = 0; i < s->n; i++) {
        KRef t = build_term(k, s->t[i]);
        r = r == NOK ? t : kx_raw(k, OP_add, DT_I64, 2, (KRef[]){r, t});
    }
    if (r == NOK) return kx_int(k, s->c);
    return s->c ? kx_raw(k, OP_add, DT_I64, 2, (KRef[]){r, kx_int(k, s->c)}) : r;
}

static KRef build_plus(Kernel *k, const Sum *s, int64_t c)
{
    Sum t = *s;
    t.c = wrap_add(t.c, c);
    return build(k, &t);
}

static KRef combine(Kernel *k, KRef a, int64_t ca, KRef b, int64_t cb)
{
    Sum s = {0};
    add_expr(k, &s, a, ca);
    add_expr(k, &s, b, cb);
    return build(k, &s);
}

KRef kx_add(Kernel *k, KRef a, KRef b)
{
    return combine(k, a, 1, b, 1);
}

KRef kx_addc(Kernel *k, KRef a, int64_t c)
{
    return kx_add(k, a, kx_int(k, c));
}

KRef kx_mulc(Kernel *k, KRef a, int64_t c)
{
    return combine(k, a, c, a, 0);
}

KRef kx_affine(Kernel *k, Op op, int nargs, const KRef *args)
{
    int64_t c;
    KRef a = args[0], b = args[nargs - 1];
    if (op == OP_add) return combine(k, a, 1, b, 1);
    if (op == OP_sub) return combine(k, a, 1, b, -1);
    if (op == OP_neg) return kx_mulc(k, a, -1);
    if (op != OP_mul) return NOK;
    if (kx_is_int(k, b, &c)) return kx_mulc(k, a, c);
    return kx_is_int(k, a, &c) ? kx_mulc(k, b, c) : NOK;
}

/* ---- division and remainder ---- */

static int64_t gcd(int64_t a, int64_t b)
{
    while (b) {
        int64_t r = a % b;
        a = b;
        b = r;
    }
    return a < 0 ? -a : a;
}

/* True if floor(e / d) has one value all over the range of the sum. */
static bool one_quotient(const Kernel *k, const Sum *s, int64_t d, int64_t *q)
{
    Range r = sum_range(k, s);
    if (!range_known(r) || floor_div(r.lo, d) != floor_div(r.hi, d)) return false;
    *q = floor_div(r.lo, d);
    return true;
}

/* e = d * out + rest; the coefficients of rest are below d, its constant in [0, d). */
static void split_by(Kernel *k, KRef e, int64_t d, Sum *out, Sum *rest)
{
    Sum s = {0};
    add_expr(k, &s, e, 1);
    *out = (Sum){.c = floor_div(s.c, d)};
    *rest = (Sum){.c = floor_mod(s.c, d)};
    for (int i = 0; i < s.n; i++) {
        if (s.t[i].coef / d) add_atom(k, out, s.t[i].atom, s.t[i].coef / d);
        if (s.t[i].coef % d) add_atom(k, rest, s.t[i].atom, s.t[i].coef % d);
    }
}

/* rest = g * high + low with 0 <= low < g, for a proper divisor g of d. */
static bool split_at(const Kernel *k, const Sum *rest, int64_t g, Sum *high, Sum *low)
{
    *high = (Sum){.c = rest->c / g};
    *low = (Sum){.c = rest->c % g};
    for (int i = 0; i < rest->n; i++) {
        Term t = rest->t[i];
        if (t.coef % g)
            low->t[low->n++] = t;
        else
            high->t[high->n++] = (Term){t.atom, t.coef / g};
    }
    int64_t q;
    if (!one_quotient(k, low, g, &q)) return false;
    high->c += q;
    low->c -= q * g;
    return true;
}

/* Tries what pairs of terms have in common with d: the strides that a reshape left behind. */
static bool split_rest(const Kernel *k, const Sum *rest, int64_t d, int64_t *g, Sum *high, Sum *low)
{
    for (int i = 0; i < rest->n; i++)
        for (int j = i; j < rest->n; j++) {
            *g = gcd(gcd(d, rest->t[i].coef), rest->t[j].coef);
            if (*g > 1 && split_at(k, rest, *g, high, low)) return true;
        }
    return false;
}

static KRef div_node(Kernel *k, KOp kop, KRef e, int64_t d)
{
    Range r = range_of(k, e);
    KExpr x = {.kop = kop,
               .op = OP_COUNT,
               .dtype = DT_I64,
               .nargs = 1,
               .arg = {e},
               .imm.i = d,
               .guard = NOK,
               .axes = k->expr[e].axes,
               .lo = INT64_MIN,
               .hi = INT64_MAX};
    if (kop == K_MOD)
        x.lo = 0, x.hi = d - 1;
    else if (range_known(r))
        x.lo = floor_div(r.lo, d), x.hi = floor_div(r.hi, d);
    return kx_intern(k, &x);
}

/* (x / a + c) / d is (x + a*c) / (a*d). With more terms than that the two divisions stay:
 * joined, they would no longer match the remainders that rejoin() looks for. */
static KRef div_of_div(Kernel *k, const Sum *rest, int64_t d)
{
    int64_t both, shift;
    if (rest->n != 1 || rest->t[0].coef != 1) return NOK;
    const KExpr *e = &k->expr[rest->t[0].atom];
    if (e->kop != K_DIV || !mul_ok(e->imm.i, d, &both) || !mul_ok(e->imm.i, rest->c, &shift))
        return NOK;
    return kx_div(k, kx_addc(k, e->arg[0], shift), both);
}

/* (x % a) / d is (x / d) % (a / d) if d divides a. */
static KRef div_of_mod(Kernel *k, const Sum *rest, int64_t d)
{
    if (rest->n != 1 || rest->t[0].coef != 1 || rest->c) return NOK;
    const KExpr *e = &k->expr[rest->t[0].atom];
    int64_t a = e->imm.i;
    if (e->kop != K_MOD || a % d) return NOK;
    return kx_mod(k, kx_div(k, e->arg[0], d), a / d);
}

static KRef div_rest(Kernel *k, Sum *rest, int64_t d)
{
    int64_t q, g;
    Sum high, low;
    if (one_quotient(k, rest, d, &q)) return kx_int(k, q);
    if (split_rest(k, rest, d, &g, &high, &low)) return kx_div(k, build(k, &high), d / g);
    KRef r = div_of_div(k, rest, d);
    if (r == NOK) r = div_of_mod(k, rest, d);
    return r == NOK ? div_node(k, K_DIV, build(k, rest), d) : r;
}

KRef kx_div(Kernel *k, KRef e, int64_t d)
{
    check(d > 0);
    Sum out, rest;
    split_by(k, e, d, &out, &rest);
    KRef q = div_rest(k, &rest, d);
    return kx_add(k, build(k, &out), q);
}

/* c * (x % a) is c * x modulo d if d divides c * a. True if any term changed. */
static bool open_mods(Kernel *k, Sum *rest, int64_t d)
{
    for (int i = 0; i < rest->n; i++) {
        const KExpr *e = &k->expr[rest->t[i].atom];
        int64_t coef = rest->t[i].coef;
        if (e->kop != K_MOD || e->imm.i % (d / gcd(d, coef))) continue;
        drop_term(rest, i);
        add_expr(k, rest, e->arg[0], coef);
        return true;
    }
    return false;
}

KRef kx_mod(Kernel *k, KRef e, int64_t d)
{
    check(d > 0);
    int64_t q, g;
    Sum out, rest, high, low;
    split_by(k, e, d, &out, &rest);
    if (one_quotient(k, &rest, d, &q)) return build_plus(k, &rest, -q * d);
    if (split_rest(k, &rest, d, &g, &high, &low)) {
        KRef m = kx_mod(k, build(k, &high), d / g);
        return combine(k, m, g, build(k, &low), 1);
    }
    if (open_mods(k, &rest, d)) return kx_mod(k, build(k, &rest), d);
    return div_node(k, K_MOD, build(k, &rest), d);
}

/* ---- bounds ---- */

/* The constant of the sum goes to the bounds, so that x - 1 >= 0 and x >= 1 are one condition. */
KRef kx_in_range(Kernel *k, KRef e, int64_t lo, int64_t hi)
{
    Sum s = {0};
    add_expr(k, &s, e, 1);
    Range r = range_of(k, e);
    int64_t c = range_known(r) ? s.c : 0;
    KRef x = kx_addc(k, e, -c), above = NOK, below = NOK;
    if (lo >= hi) return kx_const(k, DT_BOOL, 0);
    if (lo > r.lo) above = kx_eval(k, OP_le, DT_BOOL, 2, (KRef[]){kx_int(k, lo - c), x});
    if (hi <= r.hi) below = kx_eval(k, OP_lt, DT_BOOL, 2, (KRef[]){x, kx_int(k, hi - c)});
    return kx_and(k, above, below);
}
