/* SPDX-License-Identifier: Apache-2.0 */
/* cw-l2: Carlini and Wagner 2017, section V (L2), as in the authors' code and foolbox. With w_0 =
 * atanh(0.999999 (2x - 1)) and x(d) = (tanh(w_0 + d) + 1) / 2, Adam (Kingma, Ba 2015) makes small
 *
 *   c * max(0, z_y - max over j != y of z_j + kappa) + ||x(d) - x(0)||_2^2
 *
 * (towards a target: max over j != t of z_j, minus z_t). The call's steps are Adam's iterations in
 * one search; `searches` of them, each from d = 0, look for the least c that fools:
 *
 *   fooled in this search: hi = c, else lo = c;  c = 10 c until there is a hi, then (lo + hi) / 2
 *   of 10 searches or more, the last one takes c = hi (10^10 at most)
 *
 * The nearest x(d) to x that fools by kappa is kept. `abort`: every tenth of a search it is given
 * up unless the loss has come to at most 0.9999 of what it was; the libraries add up the losses of
 * a batch for this, here each sample has its own. */
#include <math.h>

#include "compiler/programs/attack.h"

typedef struct Step {
    Ref d, grad;       /* images */
    Ref c, found, it;  /* of this search */
    Ref over, aborted; /* bool: it ends here; because of no progress */
} Step;

/* ---- init ---- */

static void begin_adam(Attack *a, Ref x)
{
    Graph *g = a->g;
    Ref zero = b_like(g, x, 0);
    graph_output(g, "state.d", zero);
    graph_output(g, "state.m", zero);
    graph_output(g, "state.v", zero);
    graph_output(g, "state.m_decay", number(a, 1)); /* 0.9^k and 0.999^k */
    graph_output(g, "state.v_decay", number(a, 1));
}

static void build_init(const Model *m, ProgramSpec *s)
{
    Attack a = attack_phase(m, s, &s->init, "init");
    Graph *g = a.g;
    Ref x = image_in(&a, "x"), inner = int_in(&a, "limit"), zero = ints(&a, 0);
    graph_output(g, "limit", b_binary(g, OP_mul, inner, knob(&a, "searches", 9)));
    graph_output(g, "state.inner", inner);
    graph_output(g, "state.c", knob(&a, "c", 0));
    graph_output(g, "state.low", number(&a, 0));
    graph_output(g, "state.high", number(&a, INFINITY));
    graph_output(g, "state.checked", number(&a, INFINITY));
    graph_output(g, "state.found", zero);
    graph_output(g, "state.it", zero);
    graph_output(g, "state.search", zero);
    begin_adam(&a, x);
    nearest_begin(&a, x);
}

/* ---- the point, its loss ---- */

static Ref affine(Graph *g, Ref v, double by, double plus)
{
    Ref product = b_binary(g, OP_mul, v, b_like(g, v, by));
    return b_binary(g, OP_add, product, b_like(g, v, plus));
}

static Ref atanh_of(Graph *g, Ref v)
{
    Ref up = b_unary(g, OP_log1p, v), down = b_unary(g, OP_log1p, b_unary(g, OP_neg, v));
    Ref gap = b_binary(g, OP_sub, up, down);
    return b_binary(g, OP_mul, gap, b_like(g, gap, 0.5));
}

static Ref to_space(Graph *g, Ref x)
{
    Ref inner = affine(g, affine(g, x, 2, -1), 0.999999, 0);
    return atanh_of(g, inner);
}

static Ref from_space(Graph *g, Ref w)
{
    return affine(g, b_unary(g, OP_tanh, w), 0.5, 0.5);
}

static Ref loss_of(Attack *a, Ref z, Ref y, Ref moved, Ref c)
{
    Graph *g = a->g;
    Ref margin = to_vector(g, loss_margin(g, z, y)), zero = number(a, 0);
    Ref short_of = b_binary(g, OP_sub, knob(a, "kappa", 0), b_binary(g, OP_mul, ascent(a), margin));
    Ref f = b_binary(g, OP_mul, c, b_binary(g, OP_max2, short_of, zero));
    Ref square = to_vector(g, b_sum_samples(g, b_binary(g, OP_mul, moved, moved)));
    return b_binary(g, OP_add, f, square);
}

/* Fools even with kappa added to y's logit (taken from the target's). */
static Ref fools_by(Attack *a, Ref z, Ref y)
{
    Graph *g = a->g;
    Type t = g->node[z].type;
    Ref hot = b_onehot(g, y, t), kappa = b_binary(g, OP_mul, knob(a, "kappa", 0), ascent(a));
    Ref more = b_binary(g, OP_add, z, per_sample(g, kappa, t));
    return fooled(a, b_select(g, hot, more, z), y);
}

/* ---- Adam ---- */

static Ref average(Attack *a, const Step *k, const char *name, Ref v, double decay)
{
    Graph *g = a->g;
    Ref old = affine(g, image_in(a, name), decay, 0);
    Ref sum = b_binary(g, OP_add, old, affine(g, v, 1 - decay, 0));
    graph_output(g, name, pick(a, k->over, b_like(g, sum, 0), sum));
    return sum;
}

/* Divided by 1 - decay^k. */
static Ref unbiased(Attack *a, const Step *k, Ref v, const char *name, double decay)
{
    Graph *g = a->g;
    Ref power = affine(g, column_in(a, name), decay, 0);
    graph_output(g, name, b_select(g, k->over, number(a, 1), power));
    Ref left = b_binary(g, OP_sub, number(a, 1), power);
    return b_binary(g, OP_div, v, per_sample(g, left, a->image));
}

static void adam(Attack *a, const Step *k)
{
    Graph *g = a->g;
    Ref m = average(a, k, "state.m", k->grad, 0.9);
    Ref v = average(a, k, "state.v", b_binary(g, OP_mul, k->grad, k->grad), 0.999);
    m = unbiased(a, k, m, "state.m_decay", 0.9);
    v = unbiased(a, k, v, "state.v_decay", 0.999);
    Ref below = affine(g, b_unary(g, OP_sqrt, v), 1, 1e-8);
    Ref by = scaled(g, b_binary(g, OP_div, m, below), knob(a, "step", 0));
    Ref next = b_binary(g, OP_sub, k->d, by);
    graph_output(g, "state.d", pick(a, k->over, b_like(g, next, 0), next));
}

/* ---- searches ---- */

/* Does this iteration end the search? */
static void watch(Attack *a, Step *k, Ref loss)
{
    Graph *g = a->g;
    Ref inner = int_in(a, "state.inner"), checked = column_in(a, "state.checked");
    Ref tenth = b_binary(g, OP_add, inner, ints(a, 9));
    tenth = b_binary(g, OP_div, tenth, ints(a, 10));
    Ref whole = b_binary(g, OP_mul, b_binary(g, OP_div, k->it, tenth), tenth);
    Ref now = b_binary(g, OP_eq, whole, k->it);
    Ref enough = b_binary(g, OP_mul, checked, number(a, 0.9999));
    Ref stalls = b_unary(g, OP_not, b_binary(g, OP_le, loss, enough));
    Ref next = b_binary(g, OP_add, k->it, ints(a, 1));
    k->aborted = b_binary(g, OP_and, b_binary(g, OP_and, now, stalls), knob_is(a, "abort", 1));
    k->over = b_binary(g, OP_or, k->aborted, b_binary(g, OP_le, inner, next));
    Ref seen = b_select(g, now, loss, checked);
    graph_output(g, "state.checked", b_select(g, k->over, number(a, INFINITY), seen));
    graph_output(g, "state.it", b_select(g, k->over, ints(a, 0), next));
}

static Ref next_c(Attack *a, const Step *k, Ref low, Ref high, Ref search)
{
    Graph *g = a->g;
    Ref all = knob(a, "searches", 9);
    Ref middle = b_binary(g, OP_mul, b_binary(g, OP_add, low, high), number(a, 0.5));
    Ref known = b_binary(g, OP_lt, high, number(a, INFINITY));
    Ref c = b_select(g, known, middle, b_binary(g, OP_mul, k->c, number(a, 10)));
    Ref final = b_binary(g, OP_eq, b_binary(g, OP_add, search, ints(a, 1)), all);
    final = b_binary(g, OP_and, final, b_binary(g, OP_le, ints(a, 10), all));
    return b_select(g, final, b_binary(g, OP_min2, high, number(a, 1e10)), c);
}

static void next_search(Attack *a, const Step *k)
{
    Graph *g = a->g;
    Ref low = column_in(a, "state.low"), high = column_in(a, "state.high");
    Ref search = int_in(a, "state.search"), ever = is_value(g, k->found, 1);
    Ref down = b_binary(g, OP_and, k->over, ever);
    Ref up = b_binary(g, OP_and, k->over, b_unary(g, OP_not, ever));
    high = b_select(g, down, k->c, high);
    low = b_select(g, up, k->c, low);
    search = b_binary(g, OP_add, search, b_cast(g, k->over, DT_I32));
    graph_output(g, "state.low", low);
    graph_output(g, "state.high", high);
    graph_output(g, "state.search", search);
    graph_output(g, "state.found", b_select(g, k->over, ints(a, 0), k->found));
    graph_output(g, "state.c", b_select(g, k->over, next_c(a, k, low, high, search), k->c));
    Ref done = b_binary(g, OP_le, knob(a, "searches", 9), search);
    graph_output(g, "done", b_select(g, done, ints(a, 2), ints(a, 0)));
}

/* ---- step ---- */

static void build_step(const Model *m, ProgramSpec *s)
{
    Attack a = attack_phase(m, s, &s->step, "step");
    Graph *g = a.g;
    Step k = {.d = image_in(&a, "state.d"), .c = column_in(&a, "state.c")};
    Ref x = image_in(&a, "x"), w = to_space(g, x), y = sample_input(g, "y", DT_I64, m->b);
    Ref point = from_space(g, b_binary(g, OP_add, w, k.d)), z = model_apply(g, m, point);
    graph_set_origin(g, arena_printf(m->arena, "%s update", s->name));
    Ref loss = loss_of(&a, z, y, b_binary(g, OP_sub, point, from_space(g, w)), k.c);
    k.it = int_in(&a, "state.it");
    watch(&a, &k, loss);
    Ref ok = b_binary(g, OP_and, fools_by(&a, z, y), b_unary(g, OP_not, k.aborted));
    k.found = b_binary(g, OP_max2, int_in(&a, "state.found"), b_cast(g, ok, DT_I32));
    nearest_note(&a, ok, point, norm_l2(g, b_binary(g, OP_sub, point, x)));
    k.grad = attack_gradient(&a, loss, k.d);
    adam(&a, &k);
    next_search(&a, &k);
}

void program_cw_l2(const Model *m, ProgramSpec *s)
{
    nearest_tensors(m, s, "L2 distance of adv; infinity if nothing fools");
    spec_hyper(s, "step", m->dtype, 0.01, 0, 1e4, "Adam's step size, in the space of w");
    spec_hyper(s, "c", m->dtype, 1e-3, 0, 1e10, "weight of the margin in the first search");
    spec_hyper(s, "kappa", m->dtype, 0, 0, 1e4, "margin of the logits to fool by");
    spec_hyper(s, "searches", DT_I32, 9, 1, 1000, "searches for c");
    spec_hyper(s, "abort", DT_I32, 1, 0, 1, "1: end a search that makes no progress");
    spec_hyper(s, "targeted", DT_I32, 0, 0, 1, "1: y is the class to reach");
    attack_passes(m, s, 0);
    build_init(m, s);
    build_step(m, s);
    Attack a = attack_phase(m, s, &s->finish, "finish");
    nearest_finish(&a);
}
