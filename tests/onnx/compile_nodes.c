/* SPDX-License-Identifier: Apache-2.0 */
/* ONNX's node tests through compiled code: each model is imported for its exact shapes, lowered,
 * emitted, loaded here and run.
 *
 *   onnx_compile_nodes SKIPS [FOLDER...]    see node_test.h
 *
 * A node test has no samples: its inputs have any leading extents. So the whole of each becomes one
 * sample of a program with one slot, [1, shape], and is reshaped inside. */
#include "node_test.h"

#include "ir/build.h"
#include "passes/lower.h"
#include "passes/passes.h"
#include "runtime/adjoint_abi.h"
#include "targets/targets.h"

#include <stdio.h>
#include <string.h>

/* ---- a graph of one sample ---- */

/* The interface has room for 6 axes of a sample; more become one. */
static Type with_sample(Type t)
{
    if (t.rank > 6) return type_of(t.dtype, 2, (int64_t[]){1, type_count(t)});
    memmove(t.dim + 1, t.dim, sizeof *t.dim * (size_t)t.rank++);
    t.dim[0] = 1;
    return t;
}

static Graph *one_sample(Arena *a, const Graph *src)
{
    Graph *g = graph_new(a, "forward");
    Ref *map = NEW_N(a, Ref, src->n);
    for (Ref r = 0; r < src->n; r++) {
        const Node *n = &src->node[r];
        if (n->op != OP_input) {
            map[r] = graph_copy(g, src, r, map);
            continue;
        }
        Ref in = b_input(g, node_attr(n, "name")->s, with_sample(n->type));
        map[r] = b_reshape(g, in, n->type.rank, n->type.dim);
    }
    for (uint32_t i = 0; i < src->nout; i++) {
        Ref r = map[src->out[i].ref];
        Type t = with_sample(g->node[r].type);
        graph_output(g, arena_printf(a, "out%u", i), b_reshape(g, r, t.rank, t.dim));
    }
    return g;
}

static Graph *settle(Arena *a, const Graph *g)
{
    Graph *s = pass_fold(a, pass_simplify(a, g));
    return pass_fold(a, pass_simplify(a, s));
}

/* ---- compiling ---- */

static void add_io(ProgramSpec *s, const char *name, Type t, bool output)
{
    if (s->nio == MAX_IO) err(NULL, "more than %d inputs and outputs", MAX_IO);
    ProgIO *io = &s->io[s->nio++];
    *io = (ProgIO){.name = name, .dtype = t.dtype, .rank = t.rank - 1, .alias = -1};
    io->output = output;
    memcpy(io->dim, t.dim + 1, sizeof *t.dim * (size_t)(t.rank - 1));
}

static ProgramSpec spec_of(Graph *g)
{
    ProgramSpec s = {.name = "forward", .slots = 1, .step = g, .step_forwards = 1};
    for (Ref r = 0; r < g->n; r++)
        if (g->node[r].op == OP_input)
            add_io(&s, node_attr(&g->node[r], "name")->s, g->node[r].type, false);
    for (uint32_t i = 0; i < g->nout; i++)
        add_io(&s, g->out[i].name, g->node[g->out[i].ref].type, true);
    return s;
}

static const Target *target; /* this machine */

static void find_target(void *arg)
{
    target = target_find(arg, NULL, NULL);
}

static const AdjModel *compile(Arena *a, const ProgramSpec *s)
{
    void *model;
    Module *m = module_new(a, "node");
    m->precision = DT_F32;
    m->embed = true;
    m->source = "model.onnx";
    lower_program(m, target, s);
    module_finish(m);
    for (int i = 0; i < m->nkernel; i++) kernel_verify(m->kernel[i]);
    Bytes object = target_emit(m, target, EMIT_OBJ);
    object_load(&object, "node_model", &model); /* the process ends with the test */
    return model;
}

/* ---- running ---- */

typedef struct NodeCall {
    const Graph *g;
    const ProgramSpec *s;
    void *io[MAX_IO];
} NodeCall;

static void bind(void *arg, Ref r, const void *data)
{
    NodeCall *c = arg;
    const char *name = node_attr(&c->g->node[r], "name")->s;
    for (int i = 0; i < c->s->nio; i++)
        if (!strcmp(c->s->io[i].name, name)) c->io[i] = (void *)(uintptr_t)data;
}

static void call(Arena *a, const AdjModel *model, NodeCall *c)
{
    const AdjEntry *e = &model->entry[0];
    AdjCall call = {.size = sizeof call, .n = 1, .io = c->io};
    call.arena_bytes = e->shared_bytes + e->worker_bytes;
    char *memory = arena_alloc(a, call.arena_bytes + 64);
    memset(memory, 0xff, call.arena_bytes + 64);
    call.arena = memory + (64 - (uintptr_t)memory % 64);
    int code = e->run(NULL, &call);
    if (code) err(NULL, "the compiled code returns %d", code);
}

static void run_compiled(Test *t, Graph *src)
{
    Graph *g = settle(t->a, one_sample(t->a, src));
    ProgramSpec s = spec_of(g);
    NodeCall c = {.g = src, .s = &s};
    const AdjModel *model = compile(t->a, &s);
    test_inputs(t, src, bind, &c);
    for (int i = 0, k = s.nio - t->nout; i < t->nout; i++) {
        Type type = src->node[src->out[i].ref].type;
        c.io[k + i] = arena_alloc(t->a, (size_t)type_bytes(type) + 64);
    }
    call(t->a, model, &c);
    for (int i = 0, k = s.nio - t->nout; i < t->nout; i++)
        test_compare(t, i, &(Tensor){src->node[src->out[i].ref].type, c.io[k + i]});
}

int main(int argc, char **argv)
{
    static const Runner runner = {"onnx compiled nodes", run_compiled, true, NULL};
    Arena *a = arena_new();
    char msg[512];
    if (argc < 2) {
        fprintf(stderr, "usage: onnx_compile_nodes SKIPS [FOLDER...]\n");
        return 2;
    }
    if (!err_guard(find_target, a, msg, sizeof msg)) {
        fprintf(stderr, "%s\n", msg);
        return 1;
    }
    int code = node_tests(&runner, argc, argv);
    arena_free(a);
    return code ? code : node_results(&runner);
}
