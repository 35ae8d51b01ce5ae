/* SPDX-License-Identifier: Apache-2.0 */
/* Loads and stores. Lanes that lie side by side move as one vector, lanes that share a cell as a
 * splat, any others one by one. A load with a guard never touches memory that the guard forbids:
 * one guard for all lanes picks between the address and a cell that is always there; a guard a
 * lane masks. */
#include "targets/llvm/walk_impl.h"

LLVMValueRef walk_cell(Walk *w, int param, LLVMValueRef element)
{
    const KParam *p = &w->k->param[param];
    if (p->layout.bits) element = i_lshr(w, element, walk_i64(w, 3));
    return LLVMBuildInBoundsGEP2(w->b, walk_storage(w, p->dtype), w->base[param], &element, 1, "");
}

/* One place in memory, or as many as there are lanes. */
typedef struct Place {
    int param;
    Address at;
    LLVMValueRef element, sample; /* i64, or a vector of them; sample: NULL unless io */
    LLVMValueRef guard;           /* i1, a vector of them, or NULL */
    LLVMValueRef first;           /* address of lane 0, if all are evenly spaced from it; or NULL */
    int64_t ahead;                /* elements from there */
    LLVMTypeRef storage;
    bool bits;
} Place;

static Place place_of(Walk *w, int param, const KRef *index, KRef guard)
{
    const KParam *p = &w->k->param[param];
    Place c = {.param = param, .storage = walk_storage(w, p->dtype), .bits = p->layout.bits};
    c.at = walk_address(w, param, index);
    c.guard = guard == NOK ? NULL : walk_expr(w, guard);
    c.element = walk_expr(w, c.at.element);
    c.sample = c.at.sample == NOK ? NULL : walk_expr(w, c.at.sample);
    return c;
}

/* The place of one lane, its guard included. */
static Place lane_of(Walk *w, const Place *c, int lane)
{
    Place one = *c;
    one.ahead = lane * c->at.step;
    one.element = index_lane(w, c->element, lane);
    one.sample = c->sample ? v_lane(w, c->sample, lane) : NULL;
    one.guard = c->guard ? v_lane(w, c->guard, lane) : NULL;
    return one;
}

/* ptr to element 0: of the slot's sample, if it is the caller's memory. */
static LLVMValueRef base_of(Walk *w, const Place *c)
{
    LLVMTypeRef i64 = LLVMInt64TypeInContext(w->ctx), i8 = LLVMInt8TypeInContext(w->ctx);
    LLVMValueRef base = w->base[c->param], slot = c->sample;
    if (!slot) return base;
    if (c->guard && walk_at(w, c->at.sample)->kop != K_AXIS)
        slot = v_select(w, c->guard, slot, w->lo);
    LLVMValueRef at = LLVMBuildInBoundsGEP2(w->b, i64, w->table, &slot, 1, "");
    LLVMValueRef sample = LLVMBuildLoad2(w->b, i64, at, "");
    LLVMValueRef bytes = i_mul(w, sample, w->stride[c->param]);
    return LLVMBuildInBoundsGEP2(w->b, i8, base, &bytes, 1, "");
}

/* The element number, 0 where the guard is false. */
static LLVMValueRef safe_element(Walk *w, const Place *c)
{
    return c->guard ? v_select(w, c->guard, c->element, walk_i64(w, 0)) : c->element;
}

static LLVMValueRef cell_ptr(Walk *w, const Place *c)
{
    LLVMValueRef ahead = walk_i64(w, c->ahead);
    if (c->first) return LLVMBuildInBoundsGEP2(w->b, c->storage, c->first, &ahead, 1, "");
    LLVMValueRef element = safe_element(w, c), base = base_of(w, c);
    return LLVMBuildInBoundsGEP2(w->b, c->storage, base, &element, 1, "");
}

static unsigned cell_align(const Walk *w, const Place *c)
{
    return (unsigned)dtype_bytes(w->k->param[c->param].dtype);
}

static LLVMValueRef load_type(Walk *w, const Place *c, LLVMTypeRef t)
{
    LLVMValueRef v = LLVMBuildLoad2(w->b, t, cell_ptr(w, c), "");
    LLVMSetAlignment(v, cell_align(w, c));
    return v;
}

/* Lanes one by one at even distances need one address; LLVM, which would give it as many, hears of
 * none of them that it is part of a loop. */
static void space_evenly(Walk *w, Place *c)
{
    if (!c->at.affine || c->guard || c->bits) return;
    Place lane = lane_of(w, c, 0);
    c->first = walk_own_register(w, cell_ptr(w, &lane));
}

/* ---- raw loads: what memory holds, or i1 for bits; guarded-off lanes hold anything ---- */

static LLVMValueRef load_one(Walk *w, const Place *c)
{
    if (c->bits) return bits_load(w, base_of(w, c), safe_element(w, c), 1);
    return load_type(w, c, c->storage);
}

static LLVMValueRef load_lanes(Walk *w, Place c)
{
    LLVMTypeRef element = c.bits ? LLVMInt1TypeInContext(w->ctx) : c.storage;
    LLVMValueRef v = LLVMGetPoison(LLVMVectorType(element, (unsigned)w->lanes));
    space_evenly(w, &c);
    for (int i = 0; i < w->lanes; i++) {
        Place one = lane_of(w, &c, i);
        v = v_set_lane(w, v, load_one(w, &one), i);
    }
    return v;
}

/* Lanes that the mask forbids may have any address: not "in bounds". */
static LLVMValueRef load_masked(Walk *w, const Place *c)
{
    Place first = lane_of(w, c, 0);
    first.guard = NULL;
    LLVMValueRef base = base_of(w, &first);
    LLVMValueRef ptr = LLVMBuildGEP2(w->b, c->storage, base, &first.element, 1, "");
    return masked_load(w, c->storage, (int)cell_align(w, c), ptr, c->guard);
}

static LLVMValueRef load_together(Walk *w, const Place *c)
{
    Place first = lane_of(w, c, 0);
    if (c->bits) return bits_load(w, base_of(w, &first), safe_element(w, &first), w->lanes);
    return load_type(w, &first, LLVMVectorType(c->storage, (unsigned)w->lanes));
}

/* Side by side, and far enough from the end for a vector to be read at element 0 too. */
static bool is_together(const Walk *w, const Place *c)
{
    if (!c->at.affine || c->at.step != 1) return false;
    if (c->bits) return bits_together(&c->at, w->lanes);
    return layout_cells(&w->k->param[c->param].layout) >= w->lanes;
}

static LLVMValueRef load_raw(Walk *w, const Place *c, bool vec)
{
    bool masked = c->guard && v_is_vec(c->guard);
    if (!vec) return load_one(w, c);
    if (masked && !c->bits && c->at.affine && c->at.step == 1) return load_masked(w, c);
    if (!masked && is_together(w, c)) return load_together(w, c);
    if (!masked && c->at.affine && c->at.step == 0) return walk_splat(w, load_one(w, c));
    return load_lanes(w, *c);
}

static LLVMValueRef fill_like(Walk *w, LLVMValueRef v, DType d, double fill)
{
    return dtype_is_float(d) ? v_same(w, v, fill) : v_same_int(w, v, (int64_t)fill);
}

LLVMValueRef walk_load(Walk *w, KRef r)
{
    KExpr e = *walk_at(w, r); /* a copy: addresses add expressions */
    Place c = place_of(w, e.param, e.arg, e.guard);
    LLVMValueRef v = load_raw(w, &c, walk_on_vec(w, r));
    if (!c.bits) v = walk_widen(w, w->k->param[e.param].dtype, v);
    return c.guard ? v_select(w, c.guard, v, fill_like(w, v, e.dtype, e.fill)) : v;
}

/* ---- stores ---- */

static void store_one(Walk *w, const Place *c, LLVMValueRef v)
{
    if (c->bits) {
        bits_store(w, base_of(w, c), c->element, v, 1);
        return;
    }
    v = to_storage(w, w->k->param[c->param].dtype, v);
    LLVMSetAlignment(LLVMBuildStore(w->b, v, cell_ptr(w, c)), cell_align(w, c));
}

static void store_together(Walk *w, const Place *c, LLVMValueRef v)
{
    Place first = lane_of(w, c, 0);
    if (c->bits)
        bits_store(w, base_of(w, &first), first.element, v, w->lanes);
    else
        store_one(w, &first, v);
}

void walk_store(Walk *w, const KStore *s, LLVMValueRef v)
{
    Place c = place_of(w, s->param, s->index, NOK);
    bool moves = v_is_vec(c.element) || (c.sample && v_is_vec(c.sample));
    if (!moves && v_is_vec(v)) die("%s: lanes stored to one cell", w->k->name);
    if (!moves) {
        store_one(w, &c, v);
        return;
    }
    if (!v_is_vec(v)) v = walk_splat(w, v);
    if (is_together(w, &c)) {
        store_together(w, &c, v);
        return;
    }
    space_evenly(w, &c);
    for (int i = 0; i < w->lanes; i++) {
        Place one = lane_of(w, &c, i);
        store_one(w, &one, v_lane(w, v, i));
    }
}

void walk_values(Walk *w, LLVMValueRef value[MAX_STORES])
{
    for (int i = 0; i < w->k->nstore; i++) value[i] = walk_expr(w, w->k->store[i].value);
}

void walk_put(Walk *w, int store, LLVMValueRef value)
{
    walk_store(w, &w->k->store[store], value);
}

LLVMValueRef walk_where(Walk *w, int store)
{
    const KStore *s = &w->k->store[store];
    Place c = place_of(w, s->param, s->index, NOK), first = lane_of(w, &c, 0);
    if (c.bits) return NULL;
    LLVMValueRef base = base_of(w, &first);
    return LLVMBuildGEP2(w->b, c.storage, base, &first.element, 1, "");
}

void walk_stores(Walk *w)
{
    LLVMValueRef value[MAX_STORES];
    walk_values(w, value);
    for (int i = 0; i < w->k->nstore; i++) walk_put(w, i, value[i]);
}
