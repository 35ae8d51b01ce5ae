/* SPDX-License-Identifier: Apache-2.0 */
/* The manifest: what was compiled and what it needs, as JSON. The same data, with facts of the
 * graph, is what `adjoint inspect` shows. Deterministic: no times, no paths. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/compiled.h"
#include "compiler/layers.h"
#include "compiler/random.h"

static json_t *dims_json(int rank, const int64_t *dim)
{
    json_t *a = json_array();
    for (int d = 0; d < rank; d++) json_array_append_new(a, json_integer(dim[d]));
    return a;
}

static json_t *io_json(const Program *p)
{
    json_t *a = json_array();
    for (int k = 0; k < p->nio; k++) {
        const ProgIO *io = &p->io[k];
        json_array_append_new(a, json_pack("{s:s, s:s, s:o, s:s, s:b, s:s}", "name", io->name,
                                           "dtype", dtype_name(io->dtype), "shape",
                                           dims_json(io->rank, io->dim), "direction",
                                           io->output ? "out" : "in", "optional",
                                           io->output || io->alias >= 0, "help", io->help));
    }
    return a;
}

static json_t *hyper_json(const Program *p)
{
    json_t *a = json_array();
    for (int k = 0; k < p->nhyper; k++) {
        const ProgHyper *h = &p->hyper[k];
        json_array_append_new(a, json_pack("{s:s, s:s, s:f, s:f, s:f, s:s}", "name", h->name,
                                           "dtype", dtype_name(h->dtype), "default", h->value,
                                           "low", h->lo, "high", h->hi, "help", h->help));
    }
    return a;
}

/* As lines of a schedule call it. */
static json_t *contract_json(const Kernel *k)
{
    Str s = {0};
    contract_text(&s, &k->contract);
    json_t *j = json_string(s.s);
    str_free(&s);
    return j;
}

static json_t *calls_json(const Module *m, const Program *p)
{
    const Phase *phase[] = {&p->init, &p->step, &p->judge, &p->finish};
    static const char *const names[] = {"init", "step", "judge", "finish"};
    json_t *a = json_array();
    for (int f = 0; f < COUNT(phase); f++)
        for (int i = 0; i < phase[f]->ncall; i++) {
            const Call *c = &phase[f]->call[i];
            const Kernel *k = m->kernel[c->kernel];
            json_t *j = json_pack("{s:s, s:s, s:s, s:b, s:f, s:f}", "phase", names[f], "kernel",
                                  k->name, "nodes", c->origin, "claimed", k->offer.claim >= 0,
                                  "macs", c->macs, "bytes", c->bytes);
            if (k->offer.claim >= 0) json_object_set_new(j, "convolution", contract_json(k));
            json_array_append_new(a, j);
        }
    return a;
}

static double phase_macs(const Phase *p)
{
    double n = 0;
    for (int i = 0; i < p->ncall; i++) n += p->call[i].macs;
    return n;
}

static double phase_bytes(const Phase *p)
{
    double n = 0;
    for (int i = 0; i < p->ncall; i++) n += p->call[i].bytes;
    return n;
}

/* ---- what the backward pass reads of the forward one ---- */

/* Behind the mark of a node's gradient, or NULL. */
static const char *gradient_of(const char *origin)
{
    static const char mark[] = "gradient of ";
    return strncmp(origin, mark, sizeof mark - 1) ? NULL : origin + sizeof mark - 1;
}

/* The last call that is of the file's nodes: what the gradient needs and is found before it (where
 * a maximum is) belongs to the forward pass. */
static int last_forward(const Phase *s)
{
    int i = s->ncall - 1;
    while (i >= 0 && (!*s->call[i].origin || gradient_of(s->call[i].origin))) i--;
    return i;
}

static bool is_saved(const Phase *s, const Buffer *b, int forward)
{
    if (b->kind != BUF_TEMP || b->phase != 1 || b->last >= s->ncall) return false;
    bool before = b->first < forward || !gradient_of(s->call[b->first].origin);
    return before && b->last > forward && gradient_of(s->call[b->last].origin);
}

static json_t *saved_json(const Program *p, double *bytes)
{
    json_t *a = json_array();
    int forward = last_forward(&p->step);
    for (int i = 0; i < p->nbuffer; i++) {
        const Buffer *b = &p->buffer[i];
        if (!is_saved(&p->step, b, forward)) continue;
        double each = (double)b->bytes / p->slots;
        const char *mask = gradient_of(b->name); /* which the forward pass stores all the same */
        json_array_append_new(
            a, json_pack("{s:s, s:s, s:f}", "node", mask ? mask : b->name, "stored_as",
                         b->layout.bits ? "bits" : dtype_name(b->dtype), "bytes", each));
        *bytes += each;
    }
    return a;
}

static json_t *program_json(AdjCompiled *c, int i)
{
    const Program *p = &c->module->program[i];
    json_t *j = json_pack(
        "{s:s, s:s, s:b, s:i, s:I, s:I, s:I, s:f, s:f, s:f, s:f}", "name", p->name, "symbol",
        arena_printf(c->arena, "%s_%s", c->opt.prefix, compiled_c_name(c, p->name)), "steps",
        p->loop, "slots", p->slots, "arena_shared_bytes", (json_int_t)p->shared_bytes,
        "arena_worker_bytes", (json_int_t)p->worker_bytes, "stack_bytes", (json_int_t)c->stack[i],
        "macs_step", phase_macs(&p->step), "macs_judge", phase_macs(&p->judge), "flops_step",
        2 * phase_macs(&p->step), "bytes_step", phase_bytes(&p->step));
    if (phase_macs(&p->finish) > 0) {
        json_object_set_new(j, "flops_finish", json_real(2 * phase_macs(&p->finish)));
        json_object_set_new(j, "bytes_finish", json_real(phase_bytes(&p->finish)));
    }
    double forward = layers_of(c->arena, c->imported)->macs;
    if (forward > 0)
        json_object_set_new(j, "of_forward", json_real(phase_macs(&p->step) / forward));
    double saved = 0;
    json_t *what = saved_json(p, &saved);
    json_object_set_new(j, "saved_bytes", json_real(saved));
    json_object_set_new(j, "io", io_json(p));
    json_object_set_new(j, "saved", what);
    json_object_set_new(j, "hyper", hyper_json(p));
    json_object_set_new(j, "kernels", calls_json(c->module, p));
    return j;
}

/* ---- facts of the imported graph ---- */

static json_t *ops_json(const OnnxFacts *f)
{
    json_t *a = json_array();
    for (int i = 0; i < f->nops; i++)
        json_array_append_new(
            a, json_pack("{s:s, s:i}", "op", f->ops[i].op, "count", f->ops[i].count));
    return a;
}

static json_t *tensor_json(const char *name, Type t)
{
    return json_pack("{s:s, s:s, s:o}", "name", name, "dtype", dtype_name(t.dtype), "shape",
                     dims_json(t.rank, t.dim));
}

static json_t *layers_json(const Layers *l)
{
    json_t *a = json_array();
    for (uint32_t i = 0; i < l->n; i++)
        if (l->layer[i].kind == LAYER_NODE)
            json_array_append_new(a,
                                  json_pack("{s:s, s:s, s:o, s:f}", "node", l->layer[i].name,
                                            "dtype", dtype_name(l->layer[i].type.dtype), "shape",
                                            dims_json(l->layer[i].type.rank, l->layer[i].type.dim),
                                            "macs", l->layer[i].macs));
    return a;
}

static void graph_sizes(const Graph *g, double *params, double *bytes)
{
    for (Ref r = 0; r < g->n; r++)
        if (g->node[r].op == OP_const && g->node[r].type.rank > 0) {
            *params += (double)type_count(g->node[r].type);
            *bytes += (double)type_bytes(g->node[r].type);
        }
}

static json_t *model_json(AdjCompiled *c)
{
    const Graph *g = c->imported;
    OnnxFacts *f = onnx_facts(c->arena, c->opt.model);
    Layers *l = layers_of(c->arena, g);
    double params = 0, bytes = 0;
    graph_sizes(g, &params, &bytes);
    json_t *in = json_array(), *out = json_array();
    for (Ref r = 0; r < g->n; r++)
        if (g->node[r].op == OP_input && !rng_input(&g->node[r]))
            json_array_append_new(in,
                                  tensor_json(node_attr(&g->node[r], "name")->s, g->node[r].type));
    for (uint32_t i = 0; i < g->nout; i++)
        json_array_append_new(out, tensor_json(g->out[i].name, g->node[g->out[i].ref].type));
    return json_pack("{s:I, s:I, s:s, s:i, s:i, s:f, s:f, s:f, s:o, s:o, s:o, s:o}", "ir_version",
                     (json_int_t)f->ir_version, "opset", (json_int_t)f->opset, "producer",
                     f->producer, "nodes", f->nnodes, "graph_nodes", (int)g->n, "parameters",
                     params, "parameter_bytes", bytes, "macs", l->macs, "inputs", in, "outputs",
                     out, "operators", ops_json(f), "layers", layers_json(l));
}

static json_t *imports_json(Arena *a, const Bytes *object)
{
    const char **name;
    int n = object_imports(a, object, &name);
    json_t *j = json_array();
    for (int i = 0; i < n; i++) json_array_append_new(j, json_string(name[i]));
    return j;
}

static json_t *packed_json(AdjCompiled *c)
{
    AdjPacked row[ADJ_PACKED_ROWS];
    int n = adj_packed(c, row, NULL);
    json_t *a = json_array();
    for (int i = 0; i < n; i++)
        json_array_append_new(a, json_pack("{s:s, s:s, s:I}", "face", row[i].face, "by", row[i].by,
                                           "bytes", (json_int_t)row[i].bytes));
    return a;
}

static json_t *schedule_json(AdjCompiled *c)
{
    Str s = {0};
    str_put(&s, "");
    schedules_used(c, &s);
    json_t *a = json_array();
    for (char *line = s.s, *end; (end = strchr(line, '\n')); line = end + 1)
        json_array_append_new(a, json_stringn(line, (size_t)(end - line)));
    str_free(&s);
    return a;
}

char *manifest_text(AdjCompiled *c, bool with_graph)
{
    const Module *m = c->module;
    const Bytes *code = c->target->gpu ? NULL : compiled_object(c);
    json_t *j = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:b, s:I, s:I, s:i}", "model", m->source,
                          "prefix", m->prefix, "target", c->target->triple, "cpu", c->cpus,
                          "precision", dtype_name(c->opt.bf16 ? DT_BF16 : m->precision), "hash",
                          arena_printf(c->arena, "%016llx", (unsigned long long)m->hash),
                          "weights_embedded", m->embed, "weights_bytes", (json_int_t)m->const_bytes,
                          "object_bytes", (json_int_t)(code ? compiled_object_bytes(c) : 0),
                          "kernels", m->nkernel);
    json_object_set_new(j, "schedule", schedule_json(c));
    json_object_set_new(j, "packed", packed_json(c));
    if (code) json_object_set_new(j, "imports", imports_json(c->arena, code));
    if (!m->embed) json_object_set_new(j, "options", options_json(c));
    if (with_graph) json_object_set_new(j, "graph", model_json(c));
    json_t *entries = json_array();
    for (int i = 0; i < m->nprogram; i++) json_array_append_new(entries, program_json(c, i));
    json_object_set_new(j, "entries", entries);
    char *text = json_dumps(j, JSON_INDENT(2) | JSON_REAL_PRECISION(12));
    json_decref(j);
    if (!text) err(NULL, "out of memory");
    return text;
}

typedef struct Inspect {
    AdjCompiled *c;
    char *text;
} Inspect;

static void inspect(void *arg)
{
    Inspect *i = arg;
    i->text = manifest_text(i->c, true);
}

char *adj_inspect_json(AdjCompiled *c, AdjError *e)
{
    Inspect i = {c, NULL};
    return guarded_call(inspect, &i, e) ? i.text : NULL;
}
