/* SPDX-License-Identifier: Apache-2.0 */
/* test_ops FOLDER [OP...]: a file of cases for each row of ir/ops.def (opcase.h). For every case:
 *
 *   - the evaluator gives the values that the file says;
 *   - the graph, lowered for one sample and for several, interpreted, gives what the evaluator
 *     does, for made-up targets and for every CPU row that this machine can run;
 *   - so does the compiled code of those rows, which writes nowhere it should not, for a number of
 *     samples that its slots do not divide;
 *   - derivatives of smooth and linear cases are right, and are lowered and compiled in their turn;
 *   - all of that again with f32 in place of f64.
 *
 * All cases of a file are programs of one module for each target. */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "passes/passes.h"
#include "tests/ops/derive.h"
#include "tests/ops/machines.h"
#include "tests/ops/program.h"

/* ---- the tally ---- */

static int passed, failed, skipped;
static char now[256]; /* for the message of a crash */

static void result(const char *wrong, const char *label, const char *how)
{
    passed += !wrong;
    failed += wrong != NULL;
    if (wrong) printf("FAILED %s, %s: %s\n", label, how, wrong);
}

static void on_crash(int sig)
{
    fprintf(stderr, "ops: signal %d in %s\n", sig, now);
    signal(sig, SIG_DFL);
    raise(sig);
}

static void announce(const char *label, const char *how)
{
    snprintf(now, sizeof now, "%s, %s", label, how);
}

/* ---- subjects ---- */

static bool has_type(const Graph *g, DType d)
{
    for (Ref r = 0; r < g->n; r++)
        if (g->node[r].type.dtype == d) return true;
    return false;
}

static bool cancels(const Graph *g)
{
    for (Ref r = 0; r < g->n; r++) {
        OpClass c = op_info[g->node[r].op].cls;
        if (c == CL_REDUCE || c == CL_CONTRACT || g->node[r].op == OP_scatter_add) return true;
    }
    return false;
}

/* A zero's sign is not defined where sums end in 0, and beside a constant the compiled max2 and
 * min2 may return the other zero of a tie, which saves a comparison. */
static bool has_signs(const Graph *g)
{
    for (Ref r = 0; r < g->n; r++) {
        const Node *n = &g->node[r];
        for (int i = 0; i < n->nargs && (n->op == OP_max2 || n->op == OP_min2); i++)
            if (g->node[n->args[i]].op == OP_const) return false;
    }
    return !cancels(g);
}

typedef struct SubjectNew {
    Arena *a;
    Subject *s;
} SubjectNew;

static void evaluate(Subject *s, const Graph *g)
{
    Ref want[MAX_IO];
    check(g->nout <= MAX_IO);
    for (uint32_t i = 0; i < g->nout; i++) want[i] = g->out[i].ref;
    s->want = point_bind(&s->point, g);
    eval_run(s->want, want, (int)g->nout);
}

static void subject_fill(void *arg)
{
    SubjectNew *n = arg;
    Subject *s = n->s;
    s->point = point_new(n->a, s->c, s->graph);
    s->precision = has_type(s->graph, DT_F64) ? DT_F64 : DT_F32;
    s->batched[1] = pass_dce(n->a, s->graph);
    if (s->c->nobatch) {
        evaluate(s, s->graph);
        return;
    }
    s->batched[SLOTS] = pass_batch(n->a, s->graph, SLOTS);
    s->batched[SAMPLES] = pass_batch(n->a, s->graph, SAMPLES);
    evaluate(s, s->batched[SAMPLES]);
}

static void subject_refuse(void *arg)
{
    SubjectNew *n = arg;
    pass_batch(n->a, n->s->graph, SLOTS);
}

/* The same values for one sample as for the first of several, to the bit. */
static void check_batch(Arena *a, const Subject *s)
{
    Subject one = *s;
    evaluate(&one, s->graph);
    for (uint32_t i = 0; i < s->graph->nout; i++) {
        Ref r = s->graph->out[i].ref, b = s->batched[SAMPLES]->out[i].ref;
        result(tensor_differ(a, s->graph->node[r].type, eval_get(s->want, b)->data,
                             eval_get(one.want, r)->data, 0, 0, true),
               s->label, "batched, evaluated");
    }
    eval_free(one.want);
}

typedef struct Subjects {
    Arena *arena;
    Subject *s;
    uint32_t n, cap;
} Subjects;

static void add_subject(Subjects *all, const OpCase *c, const char *what, const Graph *g)
{
    char msg[512];
    Subject s = {.c = c,
                 .graph = g,
                 .label = arena_printf(all->arena, "%s:%d%s", c->file, c->line, what),
                 .slack = cancels(g) || strstr(what, "gradient") ? 1 : 0};
    s.signs = has_signs(g) && !s.slack;
    SubjectNew n = {all->arena, &s};
    announce(s.label, "evaluated");
    if (!err_guard(subject_fill, &n, msg, sizeof msg)) {
        result(msg, s.label, "evaluated");
        return;
    }
    if (!c->nobatch)
        check_batch(all->arena, &s);
    else if (!strstr(what, "f32"))
        result(err_guard(subject_refuse, &n, msg, sizeof msg) ? "is not refused" : NULL, s.label,
               "batched");
    GROW(all->arena, all->s, all->n, all->cap);
    all->s[all->n++] = s;
}

/* As written, and with f32 for f64 unless that would make a cast empty. */
static void add_subjects(Subjects *all, const OpCase *c, const char *what, const Graph *g)
{
    add_subject(all, c, what, g);
    if (!has_type(g, DT_F64) || has_type(g, DT_F32)) return;
    add_subject(all, c, arena_printf(all->arena, "%s f32", what),
                pass_retype(all->arena, g, DT_F64, DT_F32));
}

/* ---- the evaluator against the file ---- */

static void check_expect(Subjects *all, const OpCase *c, const Graph *g)
{
    if (!c->nexpect) return;
    Subject s = {.c = c, .graph = g, .label = arena_printf(all->arena, "%s:%d", c->file, c->line)};
    s.point = point_new(all->arena, c, g);
    announce(s.label, "evaluated");
    evaluate(&s, g);
    for (int i = 0; i < c->nexpect; i++) {
        Ref r = graph_find_output(g, c->expect[i].name);
        if (r == NOREF) err(s.label, "there is no output %s", c->expect[i].name);
        Type t = g->node[r].type;
        const void *want = opcase_value(all->arena, c, &c->expect[i], t);
        result(tensor_differ(all->arena, t, eval_get(s.want, r)->data, want, 1e-15, 0, true),
               s.label, arena_printf(all->arena, "expected %s", c->expect[i].name));
    }
    eval_free(s.want);
}

static void check_derivatives(Subjects *all, const OpCase *c, const Graph *g)
{
    const char *label = arena_printf(all->arena, "%s:%d", c->file, c->line);
    announce(label, "derivatives");
    if (c->smooth) result(derive_smooth(all->arena, c, g), label, "smooth");
    if (c->linear || c->bilinear) result(derive_linear(all->arena, c, g), label, "linear");
}

/* ---- modules ---- */

typedef struct Build {
    Arena *arena;
    const Target *target;
    Module *m;
    const Subject *s;
    const char *name;
    int slots;
} Build;

static void lower_one(void *arg)
{
    Build *b = arg;
    ProgramSpec spec = program_spec(b->name, b->s->batched[b->slots], b->slots);
    lower_program(b->m, b->target, &spec);
}

/* A trial by itself first, so that one bad program does not take the module along. */
static bool add_program(Build *b)
{
    char msg[512];
    Build trial = *b;
    trial.m = module_new(b->arena, "m");
    trial.m->precision = b->s->precision;
    announce(b->s->label, "lowered");
    bool ok = err_guard(lower_one, &trial, msg, sizeof msg);
    if (b->s->c->skip) {
        result(ok ? "can be lowered now: drop the skip line" : NULL, b->s->label, "skipped");
        return false;
    }
    if (ok)
        lower_one(b);
    else
        result(msg, b->s->label, "lowered");
    return ok;
}

typedef struct Programs { /* program i of the module: whose, and how many samples to run */
    const Subject **s;
    Module *m;
} Programs;

static Programs lower_all(const Subjects *all, const Machine *machine, DType precision)
{
    Programs p = {NEW_N(all->arena, const Subject *, 2 * all->n + 1), module_new(all->arena, "m")};
    p.m->precision = precision;
    for (uint32_t i = 0; i < all->n; i++)
        for (int slots = 1; slots <= SLOTS; slots += SLOTS - 1) {
            const Subject *s = &all->s[i];
            if (s->precision != precision || !s->batched[slots]) continue;
            if (machine->target->gpu && machine->target->row && s->c->nogpu) continue;
            Build b = {all->arena,
                       machine->target,
                       p.m,
                       s,
                       arena_printf(all->arena, "p%d_%d", (int)i, slots),
                       slots};
            int at = p.m->nprogram;
            if (add_program(&b)) p.s[at] = s;
        }
    module_finish(p.m);
    module_hold(p.m);
    for (int i = 0; i < p.m->nkernel; i++) kernel_verify(p.m->kernel[i]);
    return p;
}

static const char *how(Arena *a, const Machine *m, const char *verb, int slots, int n)
{
    return arena_printf(a, "%s %s, %d samples in %d slots", verb, m->name, n, slots);
}

static void interpret_all(Arena *a, const Programs *p, const Machine *machine)
{
    for (int i = 0; i < p->m->nprogram; i++) {
        const Program *prog = &p->m->program[i];
        const char *label = how(a, machine, "interpreted", prog->slots, prog->slots);
        announce(p->s[i]->label, label);
        result(program_interpret(a, p->s[i], p->m, prog, prog->slots), p->s[i]->label, label);
    }
}

/* ---- compiled ---- */

static const AdjEntry *entry_of(const AdjModel *m, const char *name)
{
    for (uint32_t i = 0; i < m->nentry; i++)
        if (!strcmp(m->entry[i].name, name)) return &m->entry[i];
    die("no entry %s", name);
}

static void call_all(Arena *a, const Programs *p, const Machine *machine, const AdjModel *model)
{
    for (int i = 0; i < p->m->nprogram; i++) {
        const Program *prog = &p->m->program[i];
        const AdjEntry *e = entry_of(model, prog->name);
        int most = p->s[i]->c->nobatch ? 1 : SAMPLES;
        for (int n = 1; n <= most; n += most == 1 ? 1 : most - 1) {
            const char *label = how(a, machine, "on", prog->slots, n);
            announce(p->s[i]->label, label);
            result(program_call(a, p->s[i], e, prog, n), p->s[i]->label, label);
        }
    }
}

typedef struct Compile {
    Arena *arena;
    const char *label;
    const Programs *p;
    const Machine *machine;
} Compile;

static void compile_all(void *arg)
{
    Compile *c = arg;
    announce(c->label, c->machine->name);
    Bytes o = target_emit(c->p->m, c->machine->target, EMIT_OBJ);
    void *model;
    Loaded *l = object_load(&o, "m_model", &model);
    call_all(c->arena, c->p, c->machine, model);
    object_unload(l);
    bytes_free(&o);
}

/* Its kernels compile, and ask for nothing from outside. */
static void compile_gpu(void *arg)
{
    Compile *c = arg;
    announce(c->label, c->machine->name);
    Bytes o = target_emit(c->p->m, c->machine->target, EMIT_ASM);
    char *text = memcpy(arena_alloc(c->arena, o.size + 1), o.data, o.size);
    result(strstr(text, ".extern") ? "imports" : NULL, c->label, c->machine->name);
    bytes_free(&o);
}

static void test_machine(const Subjects *all, const Machine *machine, DType precision,
                         const char *file)
{
    char msg[512];
    bool gpu = machine->target->gpu && machine->target->row;
    Programs p = lower_all(all, machine, precision);
    Compile c = {all->arena, file, &p, machine};
    if (!p.m->nprogram) return;
    if (!gpu) interpret_all(all->arena, &p, machine);
    if ((gpu || machine->runs) && !err_guard(gpu ? compile_gpu : compile_all, &c, msg, sizeof msg))
        result(msg, file, machine->name);
}

/* ---- files ---- */

static void read_case(Subjects *all, const OpCase *c)
{
    const char *where = arena_printf(all->arena, "%s:%d", c->file, c->line);
    const Graph *g = graph_read(all->arena, c->text, where, NULL);
    graph_verify(g, where);
    check_expect(all, c, g);
    check_derivatives(all, c, g);
    add_subjects(all, c, "", g);
    if (c->smooth || c->linear || c->bilinear)
        add_subjects(all, c, " gradient", derive_graph(all->arena, g));
    if (c->skip) {
        printf("skipped %s: %s\n", where, c->skip);
        skipped++;
    }
}

typedef struct File {
    Arena *arena;
    const char *folder, *name;
    const Machine *machine;
    int nmachine;
} File;

/* The row the file is about must occur in every case. */
static void check_about(const File *f, const OpCase *c)
{
    char op[64];
    snprintf(op, sizeof op, "= %s ", op_info[op_by_name(f->name)].name);
    result(strstr(c->text, op) ? NULL : "the op does not occur",
           arena_printf(f->arena, "%s:%d", c->file, c->line), "reading");
}

static void test_file(void *arg)
{
    File *f = arg;
    int n;
    Subjects all = {.arena = f->arena};
    const char *name = arena_printf(f->arena, "op-%s.adj", f->name);
    OpCase *cases =
        opcase_read(f->arena, arena_printf(f->arena, "%s/%s", f->folder, name), name, &n);
    for (int i = 0; i < n; i++) {
        check_about(f, &cases[i]);
        read_case(&all, &cases[i]);
    }
    for (int i = 0; i < f->nmachine; i++) {
        test_machine(&all, &f->machine[i], DT_F64, name);
        test_machine(&all, &f->machine[i], DT_F32, name);
    }
    for (uint32_t i = 0; i < all.n; i++) eval_free(all.s[i].want);
}

/* ---- every row has its file, every file its row ---- */

static void check_names(const char *folder)
{
    bool has[OP_COUNT] = {false};
    DIR *d = opendir(folder);
    if (!d) err(folder, "cannot be opened");
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        char op[64];
        if (sscanf(e->d_name, "op-%63[a-z0-9_].adj", op) != 1) continue;
        Op row = op_by_name(op);
        result(row == OP_COUNT ? "no such row" : NULL, e->d_name, "names");
        if (row < OP_COUNT) has[row] = true;
    }
    closedir(d);
    for (Op op = 0; op < OP_COUNT; op++)
        result(has[op] ? NULL : "has no file", op_info[op].name, "names");
}

typedef struct Args {
    int argc;
    char **argv;
    Arena *arena;
} Args;

static bool asked(const Args *args, const char *op)
{
    for (int i = 2; i < args->argc; i++)
        if (!strcmp(args->argv[i], op)) return true;
    return args->argc == 2;
}

static void all_files(void *arg)
{
    Args *args = arg;
    Machine machine[MAX_MACHINES];
    int n = machines_find(args->arena, machine);
    check_names(args->argv[1]);
    for (Op op = 0; op < OP_COUNT; op++) {
        char msg[512];
        File f = {arena_new(), args->argv[1], op_info[op].name, machine, n};
        if (asked(args, f.name) && !err_guard(test_file, &f, msg, sizeof msg))
            result(msg, f.name, "file");
        arena_free(f.arena);
    }
}

int main(int argc, char **argv)
{
    char msg[512];
    Args args = {argc, argv, arena_new()};
    if (argc < 2) return fprintf(stderr, "usage: test_ops FOLDER [OP...]\n"), 2;
    signal(SIGABRT, on_crash);
    signal(SIGSEGV, on_crash);
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!err_guard(all_files, &args, msg, sizeof msg)) result(msg, "ops", "all");
    arena_free(args.arena);
    printf("ops: %d passed, %d failed, %d skipped\n", passed, failed, skipped);
    return failed != 0;
}
