/* SPDX-License-Identifier: Apache-2.0 */
/* The same graph (lipschitz_case.h) compiled in f32. Lines of lipschitz.golden are `NET MODE WHAT
 * ERROR`: ERROR is PyTorch's own in f32 (lipschitz_reference.py). For the ReLU network twice that is
 * allowed: of each mode the median tensor and the farthest, of both together each number, by its
 * larger error, and the images' penalties, by the root mean square. (One number in one mode is luck:
 * in eval mode PyTorch's penalty is off by half a unit in the last place.) The other network, whose
 * half-Huber ReLU has no jumps, is held to 1e-4 for numbers and 1e-3 for tensors. Convolutions are
 * direct: Winograd gives digits for speed, with it the penalty is off by 4.6e-7 in eval mode. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ir/build.h"
#include "ir/module.h"
#include "lipschitz_case.h"
#include "passes/lower.h"
#include "passes/passes.h"
#include "targets/targets.h"

enum { JOIN = 12, IO_COUNT = 8, MOST = 32 };

typedef struct Code {
    Case c;
    Graph *g; /* weights in one vector, gradients in one */
    Ref *map;
    ProgramSpec spec;
    void *io[IO_COUNT];
    int64_t *offset; /* of each weight in those vectors */
    int64_t params;
} Code;

/* ---- the graph as a program of one sample, which is the batch ---- */

static void tensor(Code *k, const char *name, Type t, bool output)
{
    ProgIO *io = &k->spec.io[k->spec.nio];
    int64_t bytes = type_count(t) * dtype_bytes(t.dtype);
    check(k->spec.nio < IO_COUNT);
    *io = (ProgIO){.name = name,
                   .dtype = t.dtype,
                   .rank = t.rank - 1,
                   .output = output,
                   .alias = -1,
                   .help = ""};
    memcpy(io->dim, t.dim + 1, sizeof *io->dim * (size_t)io->rank);
    k->io[k->spec.nio++] = arena_alloc(k->c.a, (size_t)bytes);
}

static Type one(Type t)
{
    int64_t dim[MAX_RANK] = {1};
    memcpy(dim + 1, t.dim, sizeof *dim * (size_t)t.rank);
    return type_of(t.dtype, t.rank + 1, dim);
}

static void input(Code *k, const char *name, Ref from)
{
    Type t = k->c.g->node[from].type;
    tensor(k, name, one(t), false);
    k->map[from] = b_reshape(k->g, b_input(k->g, name, one(t)), t.rank, t.dim);
}

static void weights(Code *k)
{
    const Case *c = &k->c;
    k->offset = NEW_N(c->a, int64_t, c->params.n + 1);
    for (uint32_t i = 0; i < c->params.n; i++)
        k->offset[i + 1] = k->offset[i] + type_count(c->g->node[c->wrt[i]].type);
    k->params = k->offset[c->params.n];
    Type t = one(type_of(c->dtype, 1, &k->params));
    tensor(k, "params", t, false);
    Ref all = b_reshape(k->g, b_input(k->g, "params", t), 1, &k->params);
    for (uint32_t i = 0; i < c->params.n; i++) {
        Type w = c->g->node[c->wrt[i]].type;
        Ref part = b_slice_axis(k->g, all, 0, k->offset[i], type_count(w), 1);
        k->map[c->wrt[i]] = b_reshape(k->g, part, w.rank, w.dim);
    }
}

static void output(Code *k, const char *name, Ref v)
{
    Type t = one(k->g->node[v].type);
    graph_output(k->g, name, b_reshape(k->g, v, t.rank, t.dim));
    tensor(k, name, t, true);
}

/* A kernel has so many buffers, so a few at a time. */
static Ref joined(Code *k)
{
    int n = (int)k->c.params.n;
    Ref *v = NEW_N(k->c.a, Ref, (uint32_t)n);
    for (int i = 0; i < n; i++) {
        int64_t count = k->offset[i + 1] - k->offset[i];
        v[i] = b_reshape(k->g, k->map[k->c.dloss[i]], 1, &count);
    }
    while (n > 1) {
        int made = 0;
        for (int i = 0; i < n; i += JOIN)
            v[made++] = b_concat(k->g, n - i < JOIN ? n - i : JOIN, v + i, 0);
        n = made;
    }
    return v[0];
}

static void build(Code *k)
{
    Case *c = &k->c;
    k->spec = (ProgramSpec){.name = "loss", .slots = 1};
    k->g = graph_new(c->a, "loss");
    k->map = arena_alloc(c->a, c->g->n * sizeof *k->map);
    memset(k->map, 0xff, c->g->n * sizeof *k->map);
    input(k, "x", c->x);
    input(k, "y", c->y);
    input(k, "pick", c->pick);
    input(k, "tandem", c->tandem);
    weights(k);
    for (Ref r = 0; r < c->g->n; r++)
        if (k->map[r] == NOREF) k->map[r] = graph_copy(k->g, c->g, r, k->map);
    Ref number[] = {k->map[c->ce], k->map[c->penalty]};
    for (int i = 0; i < 2; i++) number[i] = b_reshape(k->g, number[i], 1, (int64_t[]){1});
    output(k, "numbers", b_concat(k->g, 2, number, 0));
    output(k, "smooth_grad", k->map[c->input_grad]);
    output(k, "grad", joined(k));
    k->spec.step = pass_simplify(c->a, k->g);
}

/* ---- running it ---- */

enum { X, Y, PICK, TANDEM, PARAMS, NUMBERS, SMOOTH, GRAD };

static void fill(Code *k)
{
    const Case *c = &k->c;
    double *x = case_pixels(c);
    NpyArray y = case_golden(c, "labels"), pick = case_golden(c, "pick");
    for (int i = 0; i < CASE_IMAGES * CASE_PIXELS; i++) ((float *)k->io[X])[i] = (float)x[i];
    memcpy(k->io[Y], y.data, CASE_IMAGES * sizeof(int64_t));
    memcpy(k->io[PICK], pick.data, CASE_IMAGES * sizeof(int64_t));
    case_flags(c, k->io[TANDEM]);
    for (uint32_t i = 0; i < c->params.n; i++) {
        const Const *v = c->params.param[i].value;
        for (int64_t j = 0; j < type_count(v->type); j++)
            ((float *)k->io[PARAMS])[k->offset[i] + j] =
                (float)elem_get(v->type.dtype, v->data, v->splat ? 0 : j);
    }
    free(x);
    npy_free(&y);
    npy_free(&pick);
}

static void run(Code *k)
{
    Target direct = *target_find(k->c.a, NULL, NULL), *target = &direct;
    direct.winograd = false;
    Module *m = module_new(k->c.a, "m");
    m->precision = k->c.dtype;
    lower_program(m, target, &k->spec);
    module_finish(m);
    module_hold(m);
    Bytes object = target_emit(m, target, EMIT_OBJ);
    void *model;
    Loaded *code = object_load(&object, "m_model", &model);
    const AdjEntry *e = ((const AdjModel *)model)->entry;
    size_t bytes = e->shared_bytes + e->worker_bytes;
    AdjCall call = {.size = sizeof call, .n = 1, .io = k->io, .arena_bytes = bytes + 64};
    char *arena = malloc(bytes + 128);
    call.arena = arena + (64 - (uintptr_t)arena % 64) % 64;
    int failed = e->run(NULL, &call);
    if (failed) die("loss returned %d", failed);
    free(arena);
    object_unload(code);
    bytes_free(&object);
}

/* ---- checks ---- */

static double norm(const void *of, int i)
{
    const Code *k = of;
    double s = 0;
    for (int64_t j = k->offset[i]; j < k->offset[i + 1]; j++)
        s += pow(((const float *)k->io[GRAD])[j], 2);
    return sqrt(s);
}

/* Of mean squares of the images' gradients in the pixels: the root mean square of their errors. */
static double error_of_penalties(const Code *k)
{
    NpyArray a = case_golden(&k->c, "smooth_grad");
    const float *got = k->io[SMOOTH];
    double sum = 0;
    for (int i = 0; i < CASE_IMAGES; i++) {
        double ours = 0, want = 0;
        for (int64_t j = i * CASE_PIXELS; j < (i + 1) * CASE_PIXELS; j++) {
            ours += pow(got[j], 2);
            want += pow(elem_get(DT_F64, a.data, j), 2);
        }
        sum += pow(ours / want - 1, 2);
    }
    npy_free(&a);
    return sqrt(sum / CASE_IMAGES);
}

static double error_of(const Code *k, const char *what)
{
    const float *number = k->io[NUMBERS];
    double ce, penalty;
    case_scalars(&k->c, &ce, &penalty);
    if (!strcmp(what, "cross_entropy")) return fabs(number[0] - ce) / ce;
    if (!strcmp(what, "penalty")) return fabs(number[1] - penalty) / penalty;
    if (!strcmp(what, "penalties")) return error_of_penalties(k);
    if (!strcmp(what, "norms")) return case_norms(&k->c, norm, k).worst;
    NpyArray a = case_golden(&k->c, what);
    const float *got = k->io[SMOOTH];
    if (!strncmp(what, "dloss.", 6))
        got = (const float *)k->io[GRAD] + k->offset[case_weight(&k->c, what + 6)];
    double e = relative(got, a.data, 0, a.elements, false);
    npy_free(&a);
    return e;
}

enum { CROSS_ENTROPY, PENALTY, PENALTIES, NNUMBERS };
static const char *const number_name[NNUMBERS] = {"cross_entropy", "penalty", "penalties"};

typedef struct Numbers { /* over modes; of penalties sums of squares */
    double ours[NNUMBERS], torch[NNUMBERS];
} Numbers;

typedef struct Errors {
    double ours[MOST], torch[MOST]; /* of tensors */
    int n;
} Errors;

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void twice(Count *count, const char *net, const char *mode, const char *what, double ours,
                  double torch)
{
    count_check(count, ours <= 2 * torch, "%s %s %s: relative %.2e, PyTorch %.2e", net, mode, what,
                ours, torch);
}

static int number_of(const char *what)
{
    int i = 0;
    while (i < NNUMBERS && strcmp(what, number_name[i])) i++;
    return i;
}

static void add_number(Numbers *n, int i, double ours, double torch)
{
    n->ours[i] = i == PENALTIES ? hypot(n->ours[i], ours) : fmax(n->ours[i], ours);
    n->torch[i] = i == PENALTIES ? hypot(n->torch[i], torch) : fmax(n->torch[i], torch);
}

static void check_tensors(Count *count, const Case *c, Errors *e)
{
    qsort(e->ours, (size_t)e->n, sizeof *e->ours, ascending);
    qsort(e->torch, (size_t)e->n, sizeof *e->torch, ascending);
    check(e->n > 0);
    twice(count, c->net, c->mode, "median of tensors", e->ours[e->n / 2], e->torch[e->n / 2]);
    twice(count, c->net, c->mode, "farthest tensor", e->ours[e->n - 1], e->torch[e->n - 1]);
}

/* One line of the golden file: checked at once, or kept. */
static void check_line(Count *count, const Code *k, const char *what, double torch, Errors *e,
                       Numbers *numbers)
{
    bool relu = !strcmp(k->c.net, "resnet44-standard");
    int number = number_of(what);
    double ours = error_of(k, what), most = number < NNUMBERS ? 1e-4 : 1e-3;
    if (relu && number < NNUMBERS) {
        add_number(numbers, number, ours, torch);
    } else if (relu) {
        check(e->n < MOST);
        e->ours[e->n] = ours;
        e->torch[e->n++] = torch;
    } else {
        count_check(count, ours <= most, "%s %s %s: relative %.2e, allowed %.1e, PyTorch %.2e",
                    k->c.net, k->c.mode, what, ours, most, torch);
    }
}

static void check_mode(Count *count, const char *file, const char *net, const char *mode,
                       Numbers *numbers)
{
    char line[256], of[64], how[16], what[128];
    double torch;
    Errors e = {.n = 0};
    Code k = {0};
    case_open(&k.c, net, mode, DT_F32);
    build(&k);
    fill(&k);
    run(&k);
    FILE *f = fopen(file, "r");
    if (!f) die("%s cannot be read", file);
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "%63s %15s %127s %lf", of, how, what, &torch) == 4 && !strcmp(of, net) &&
            !strcmp(how, mode))
            check_line(count, &k, what, torch, &e, numbers);
    fclose(f);
    if (e.n) check_tensors(count, &k.c, &e);
    case_close(&k.c);
}

static void check_code(Count *count, const char *file, const char *net)
{
    Numbers n = {.ours = {0}};
    check_mode(count, file, net, "eval", &n);
    check_mode(count, file, net, "train", &n);
    for (int i = 0; i < NNUMBERS && n.torch[CROSS_ENTROPY] > 0; i++)
        twice(count, net, "both modes", number_name[i], n.ours[i], n.torch[i]);
}

int main(int argc, char **argv)
{
    Count k = {.name = "lipschitz_code"};
    if (argc != 2) return 2;
    if (!shared_present()) {
        count_skip(&k, "ADJ_SHARED is not set: no trained networks here");
        return count_close(&k);
    }
    check_code(&k, argv[1], "resnet44-standard");
    check_code(&k, argv[1], "resnet44-all");
    return count_close(&k);
}
