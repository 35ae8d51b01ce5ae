/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of the ONNX front end: every model of the shared data imports; those with golden logits
 * give them in the evaluator; provenance names the file's nodes; preprocessing does what onnx.h
 * says; damaged files end in one line of error and nothing worse (run it under AddressSanitizer).
 * ADJ_SHARED is the folder of the shared data; without it only what needs no model runs. */
#define _GNU_SOURCE
#include "compiler/onnx.h"
#include "ir/build.h"
#include "ir/eval.h"
#include "proto.h"
#include "tools/data/npy.h"

#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int passed, failed;
static const char *shared;
static char tmp[] = "/tmp/test-onnx-XXXXXX";

static void check_at(bool ok, int line, const char *what, const char *detail)
{
    passed += ok;
    failed += !ok;
    if (!ok) printf("test_onnx.c:%d: %s (%s)\n", line, what, detail);
}
#define CHECK(x, detail) check_at((x), __LINE__, #x, detail)

/* ---- importing ---- */

typedef struct Job {
    Arena *a;
    const char *path;
    const OnnxOptions *opts;
    Graph *g;
    char msg[1024];
} Job;

static void import_job(void *arg)
{
    Job *j = arg;
    j->g = onnx_import(j->a, j->path, j->opts);
}

static bool import(Job *j)
{
    return err_guard(import_job, j, j->msg, sizeof j->msg);
}

static const OnnxOptions open_dims = {.ndims = 4,
                                      .dims = {{"H", 224}, {"W", 224}, {"x.2", 48}, {"x.3", 192}}};

static int count_ops(const Graph *g, Op op)
{
    int n = 0;
    for (Ref r = 0; r < g->n; r++) n += g->node[r].op == op;
    return n;
}

/* Every node but inputs and constants comes from somewhere. */
static bool all_have_origins(const Graph *g)
{
    for (Ref r = 0; r < g->n; r++)
        if (g->node[r].op != OP_input && !g->origin[r].n) return false;
    return true;
}

static bool names_conv(const Graph *g)
{
    for (Ref r = 0; r < g->n; r++) {
        Str s = {0};
        if (g->node[r].op != OP_conv) continue;
        graph_origin_text(g, r, &s);
        bool ok = strstr(s.s, "Conv") != NULL;
        str_free(&s);
        if (!ok) return false;
    }
    return true;
}

static int import_file(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    size_t n = strlen(path);
    (void)st, (void)at;
    if (kind != FTW_F || n < 5 || strcmp(path + n - 5, ".onnx")) return 0;
    Job j = {.a = arena_new(), .path = path, .opts = &open_dims};
    bool ok = import(&j);
    CHECK(ok, j.msg);
    if (ok) {
        graph_verify(j.g, path);
        CHECK(j.g->nout >= 1, path);
        CHECK(count_ops(j.g, OP_conv) > 0, path);
        CHECK(graph_find_input(j.g, "x") != NOREF, path);
        CHECK(all_have_origins(j.g), path);
        CHECK(names_conv(j.g), path);
    }
    arena_free(j.a);
    return 0;
}

static void test_all_models(void)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/models", shared);
    nftw(path, import_file, 8, FTW_PHYS);
}

/* ---- golden logits ---- */

static NpyArray read_npy(const char *golden, const char *file)
{
    char path[1024];
    NpyArray a = {0};
    DataError e;
    snprintf(path, sizeof path, "%s/golden/%s/%s.npy", shared, golden, file);
    CHECK(npy_read(path, &a, &e), path);
    return a;
}

static double number(const NpyArray *a, int64_t i)
{
    return a->type == NPY_F64 ? ((double *)a->data)[i] : (double)((float *)a->data)[i];
}

static double widest(const NpyArray *a)
{
    double m = 1;
    for (int64_t i = 0; i < a->elements; i++)
        if (fabs(number(a, i)) / 10 > m) m = fabs(number(a, i)) / 10;
    return m;
}

/* The largest error over the first two images. */
static double logit_error(const Graph *g, const NpyArray *x, const NpyArray *z)
{
    Ref in = graph_find_input(g, "x"), out = g->out[0].ref;
    int64_t pixels = type_count(g->node[in].type), classes = type_count(g->node[out].type);
    float *image = malloc(sizeof *image * (size_t)pixels);
    double worst = 0;
    for (int s = 0; s < 2; s++) {
        Eval *e = eval_new(g);
        for (int64_t i = 0; i < pixels; i++) image[i] = (float)number(x, s * pixels + i);
        eval_bind(e, in, image);
        eval_run(e, &out, 1);
        const Tensor *t = eval_get(e, out);
        for (int64_t i = 0; i < classes; i++) {
            double d = fabs(elem_get(t->type.dtype, t->data, i) - number(z, s * classes + i));
            if (!(d <= worst)) worst = d;
        }
        eval_free(e);
    }
    free(image);
    return worst;
}

static void test_golden(const char *model, const char *golden, const OnnxOptions *opts)
{
    char path[1024], detail[1200];
    NpyArray x = read_npy(golden, "x"), z = read_npy(golden, "logits");
    snprintf(path, sizeof path, "%s/models/%s.onnx", shared, model);
    Job j = {.a = arena_new(), .path = path, .opts = opts};
    bool ok = x.data && z.data && import(&j);
    CHECK(ok, j.msg);
    if (ok) {
        double error = logit_error(j.g, &x, &z), bound = 1e-4 * widest(&z);
        snprintf(detail, sizeof detail, "%s: error %g, bound %g", model, error, bound);
        CHECK(error <= bound, detail);
    }
    arena_free(j.a);
    npy_free(&x);
    npy_free(&z);
}

static void test_goldens(void)
{
    test_golden("resnet-cifar10/resnet20-cifar10-op11", "resnet20", NULL);
    test_golden("resnet-cifar10/resnet20-cifar10-op13", "resnet20", NULL);
    test_golden("resnet-cifar10/resnet20-cifar10-op13-bnkept", "resnet20", NULL);
    test_golden("resnet-cifar10/resnet44-cifar10-op13", "resnet44", NULL);
    for (int i = 0; i < 2; i++) {
        static const char *const forms[] = {"op9", "op13", "op13-bnkept"};
        const char *net = i ? "resnet44-all" : "resnet44-standard";
        for (int f = 0; f < COUNT(forms); f++) {
            char model[128];
            snprintf(model, sizeof model, "resnet44-cifar10/%s-%s", net, forms[f]);
            test_golden(model, net, NULL);
        }
    }
    test_golden("vnncomp/resnet_2b", "resnet_2b", NULL);
    test_golden("vnncomp/resnet_4b", "resnet_4b", NULL);
}

/* ---- preprocessing ---- */

/* resnet20 on pixels, with the normalisation in front, against the golden normalised images. */
static void test_preprocessing(void)
{
    static const double mean[3] = {.485, .456, .406}, std[3] = {.229, .224, .225};
    OnnxOptions o = {.nmean = 3, .nstd = 3, .scale = 2};
    NpyArray x = read_npy("resnet20", "x"), z = read_npy("resnet20", "logits");
    char path[1024];
    snprintf(path, sizeof path, "%s/models/resnet-cifar10/resnet20-cifar10-op13.onnx", shared);
    Job j = {.a = arena_new(), .path = path, .opts = &o};
    for (int c = 0; c < 3; c++) {
        o.mean[c] = 2 * mean[c];
        o.std[c] = 2 * std[c];
    }
    for (int64_t i = 0; i < x.elements && x.type == NPY_F32; i++) {
        int c = (int)(i / 1024 % 3);
        ((float *)x.data)[i] = (float)(((float *)x.data)[i] * std[c] + mean[c]);
    }
    CHECK(import(&j), j.msg);
    CHECK(j.g && logit_error(j.g, &x, &z) < 1e-3 * widest(&z), "normalisation in front");
    o.nmean = 2;
    CHECK(!import(&j) && strstr(j.msg, "2 numbers of mean for 3 channels"), j.msg);
    arena_free(j.a);
    npy_free(&x);
    npy_free(&z);
}

/* ---- damaged files ---- */

typedef struct Bytes {
    unsigned char *p;
    size_t n;
} Bytes;

static Bytes slurp(const char *path)
{
    Bytes b = {0};
    FILE *f = fopen(path, "rb");
    if (!f) return b;
    fseek(f, 0, SEEK_END);
    b.n = (size_t)ftell(f);
    rewind(f);
    b.p = malloc(b.n + 1);
    if (fread(b.p, 1, b.n, f) != b.n) b.n = 0;
    fclose(f);
    return b;
}

static const char *put(const unsigned char *p, size_t n)
{
    static char path[64];
    snprintf(path, sizeof path, "%s/m.onnx", tmp);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(p, 1, n, f) != n || fclose(f)) perror(path);
    return path;
}

/* Imports bytes as a file; true if they are a model. A failure must be one line that names the
 * file. */
static bool try_bytes(const unsigned char *p, size_t n)
{
    Job j = {.a = arena_new(), .path = put(p, n), .opts = &open_dims};
    bool ok = import(&j);
    if (!ok && (strncmp(j.msg, j.path, strlen(j.path)) || strchr(j.msg, '\n')))
        CHECK(!"one line that names the file", j.msg);
    arena_free(j.a);
    return ok;
}

static bool says(const void *p, size_t n, const char *what)
{
    Job j = {.a = arena_new(), .path = put(p, n)};
    bool ok = !import(&j) && strstr(j.msg, what);
    if (!ok) printf("wanted \"%s\", got \"%s\"\n", what, j.msg);
    arena_free(j.a);
    return ok;
}

static void test_small_files(void)
{
    CHECK(says("", 0, "not an ONNX file: empty"), "empty");
    CHECK(says("hello, world\n", 13, "not an ONNX file"), "text");
    CHECK(says("\x08\x07", 2, "no graph"), "no graph");
    CHECK(says("\x3a\x7f\x00", 3, "beyond its message"), "length beyond the end");
    CHECK(says("\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, "beyond its message"), "2^64");
    CHECK(says("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12, "overlong"), "varint");
    CHECK(says("\x3a\x00\x3a\x00", 4, "occurs twice"), "two graphs");
    CHECK(says("\x3a\x00", 2, "no opset"), "no opset");
    CHECK(says("\x0b\x00", 2, "wire type"), "groups");
    CHECK(!err_guard(import_job, &(Job){.a = NULL, .path = "/nonexistent.onnx"}, NULL, 0),
          "absent");
}

/* graph(7) > node(1) > attribute(5) > g(6) > node ..: well formed, each length in two bytes. */
static void test_deep_nesting(void)
{
    enum { LEVELS = 100 };
    static const unsigned char tags[] = {0x0a, 0x2a, 0x32};
    unsigned char b[3 * LEVELS + 3];
    for (int i = 0; i <= LEVELS; i++) {
        size_t rest = (size_t)(LEVELS - i) * 3;
        b[3 * i] = i ? tags[(i - 1) % 3] : 0x3a;
        b[3 * i + 1] = (unsigned char)(rest & 127) | 128;
        b[3 * i + 2] = (unsigned char)(rest >> 7);
    }
    CHECK(says(b, sizeof b, "nested too deeply"), "100 levels");
}

/* ---- models written by hand ---- */

/* "key" = "value" of a tensor's external data. */
static void entry(Proto *tensor, const char *key, const char *value)
{
    Proto e = {.n = 0};
    text_field(&e, 1, key);
    text_field(&e, 2, value);
    nest(tensor, 13, &e);
}

/* y = op(x, second), with the initializer w, of opset 13. */
static Proto tiny_model(const char *op, const char *second, const Proto *w)
{
    Proto node = {.n = 0}, graph = {.n = 0}, opset = {.n = 0}, model = {.n = 0};
    Proto x = value_info("pixels"), y = value_info("y");
    text_field(&node, 1, "pixels");
    text_field(&node, 1, second);
    text_field(&node, 2, "y");
    text_field(&node, 4, op);
    nest(&graph, 1, &node);
    nest(&graph, 5, w);
    nest(&graph, 11, &x);
    nest(&graph, 12, &y);
    number_field(&opset, 2, 13);
    number_field(&model, 1, 8);
    nest(&model, 7, &graph);
    nest(&model, 8, &opset);
    return model;
}

static Proto weights(void)
{
    Proto w = {.n = 0};
    number_field(&w, 1, 4);
    number_field(&w, 2, 1);
    text_field(&w, 8, "w");
    return w;
}

static Proto external(const char *location, const char *offset)
{
    Proto w = weights();
    entry(&w, "location", location);
    entry(&w, "offset", offset);
    number_field(&w, 14, 1);
    return w;
}

static bool model_says(const Proto *m, const char *what)
{
    return says(m->p, m->n, what);
}

static void test_messages(void)
{
    Proto w = weights();
    static const float four[4] = {1, 2, 3, 4};
    bytes_field(&w, 9, four, sizeof four);
    Proto good = tiny_model("Add", "w", &w), op = tiny_model("Frobnicate", "w", &w);
    Proto lost = tiny_model("Add", "v", &w), short_w = weights();
    bytes_field(&short_w, 9, four, 12);
    Proto few = tiny_model("Add", "w", &short_w);
    CHECK(try_bytes(good.p, good.n), "Add");
    CHECK(model_says(&op, "m.onnx: Frobnicate #0: operator Frobnicate is not supported"), "op");
    CHECK(model_says(&lost, "m.onnx: Add #0: nothing before it defines its input \"v\""), "input");
    CHECK(model_says(&few, "tensor \"w\": 12 bytes for the 16 of its dimensions"), "bytes");
}

static void test_external_data(void)
{
    static const float data[8] = {0, 0, 1, 2, 3, 4};
    static const char *const outside[] = {"/etc/passwd", "../w.bin", "a/../../w.bin", ".."};
    char path[64];
    snprintf(path, sizeof path, "%s/w.bin", tmp);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, sizeof data, f) != sizeof data || fclose(f)) perror(path);
    Proto w = external("w.bin", "8"), model = tiny_model("Add", "w", &w);
    Job j = {.a = arena_new(), .path = put(model.p, model.n)};
    CHECK(import(&j), j.msg);
    Ref r = j.g ? j.g->out[0].ref : NOREF;
    CHECK(r != NOREF && j.g->node[r].op == OP_add && count_ops(j.g, OP_const) == 1, "x + w");
    for (Ref c = 0; j.g && c < j.g->n; c++)
        if (j.g->node[c].op == OP_const)
            CHECK(!memcmp(j.g->node[c].value->data, data + 2, 16), "the bytes at the offset");
    arena_free(j.a);
    for (int i = 0; i < COUNT(outside); i++) {
        w = external(outside[i], "0");
        model = tiny_model("Add", "w", &w);
        CHECK(model_says(&model, "outside the model's folder"), outside[i]);
    }
    w = external("w.bin", "20");
    model = tiny_model("Add", "w", &w);
    CHECK(model_says(&model, "the file ends before the tensor does"), "offset");
    w = external("absent.bin", "0");
    model = tiny_model("Add", "w", &w);
    CHECK(model_says(&model, "cannot open absent.bin"), "absent");
    unlink(path);
}

static uint64_t state = 0x243f6a8885a308d3u;

static uint64_t rnd(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void mutate(unsigned char *p, size_t n)
{
    int edits = 1 + (int)(rnd() % 4);
    for (int i = 0; i < edits; i++) {
        size_t at = rnd() % n;
        switch (rnd() % 4) {
        case 0: p[at] ^= (unsigned char)(1u << rnd() % 8); break;
        case 1: p[at] = (unsigned char)rnd(); break;
        case 2: p[at] = rnd() % 2 ? 0xff : 0; break;
        default: memmove(p + at, p + rnd() % n, 1); break;
        }
    }
}

static void fuzz(const char *model, int rounds, double seconds)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/models/%s", shared, model);
    Bytes b = slurp(path);
    CHECK(b.n > 0, path);
    if (!b.n) return;
    unsigned char *m = malloc(b.n);
    double end = now() + seconds;
    int done = 0, whole = 0;
    for (; done < rounds && now() < end; done++) {
        memcpy(m, b.p, b.n);
        mutate(m, b.n);
        whole += try_bytes(m, b.n);
    }
    CHECK(done > 20, "some mutations ran");
    printf("  %s: %d mutations, %d still models\n", model, done, whole);
    for (size_t k = 0; k < 200 && now() < end + seconds; k++) try_bytes(b.p, rnd() % b.n);
    CHECK(try_bytes(b.p, b.n), "the model itself");
    for (int k = 0; k < 200; k++) {
        size_t n = 1 + rnd() % 256 % b.n;
        for (size_t i = 0; i < n; i++) m[i] = (unsigned char)rnd();
        try_bytes(m, n);
    }
    CHECK(true, "no crash");
    free(m);
    free(b.p);
}

/* ---- facts ---- */

static void facts_job(void *arg)
{
    Job *j = arg;
    OnnxFacts *f = onnx_facts(j->a, j->path);
    int conv = 0, sum = 0;
    for (int i = 0; i < f->nops; i++) {
        sum += f->ops[i].count;
        if (!strcmp(f->ops[i].op, "Conv")) conv = f->ops[i].count;
    }
    CHECK(f->opset == 13, j->path);
    CHECK(sum == f->nnodes, j->path);
    CHECK(conv == 19, j->path);
    CHECK(strstr(f->producer, "pytorch") != NULL, f->producer);
}

static void test_facts(void)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/models/resnet-cifar10/resnet20-cifar10-op13.onnx", shared);
    Job j = {.a = arena_new(), .path = path};
    CHECK(err_guard(facts_job, &j, j.msg, sizeof j.msg), j.msg);
    arena_free(j.a);
}

/* An open dimension that gets no value is named. */
static void test_open_dimension(void)
{
    char path[1024];
    snprintf(path, sizeof path,
             "%s/models/torchvision-structure/"
             "resnet18-op13-bnkept-dynHW-light.onnx",
             shared);
    Job j = {.a = arena_new(), .path = path};
    CHECK(!import(&j) && strstr(j.msg, "--dim"), j.msg);
    arena_free(j.a);
}

static void test_shared(void)
{
    double start = now();
    test_all_models();
    test_open_dimension();
    test_facts();
    test_preprocessing();
    test_goldens();
    printf("  models: %.1f s\n", now() - start);
    fuzz("misc/mnist_8.onnx", 4000, 20);
    fuzz("torchvision-structure/resnet18-op13-light.onnx", 1000, 20);
    fuzz("torchvision-structure/resnet18-op13-bnkept-dynHW-light.onnx", 1000, 5);
    fuzz("misc/ppocr_cls.onnx", 500, 10);
}

int main(void)
{
    shared = getenv("ADJ_SHARED");
    if (!mkdtemp(tmp)) return 1;
    test_small_files();
    test_deep_nesting();
    test_messages();
    test_external_data();
    if (shared && *shared)
        test_shared();
    else
        printf("onnx: models skipped, ADJ_SHARED is not set\n");
    char path[64];
    snprintf(path, sizeof path, "%s/m.onnx", tmp);
    unlink(path);
    rmdir(tmp);
    printf("onnx: %d passed, %d failed\n", passed, failed);
    return failed != 0;
}
