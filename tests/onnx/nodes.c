/* SPDX-License-Identifier: Apache-2.0 */
/* ONNX's own node tests: imports each model, evaluates it on the test's inputs and compares with
 * the test's outputs, to ONNX's tolerances. The archive's light networks are imported only.
 *
 *   onnx_nodes SKIPS [FOLDER...]
 *
 * FOLDER holds test folders (model.onnx, test_data_set_0/); without one the archive of $ADJ_SHARED
 * is unpacked. SKIPS has a line "PATTERN reason" for each test that is known not to pass; a test
 * that matches one and passes is a failure too, so the list cannot go stale. With ADJ_VERBOSE set,
 * every failure's message is printed, skipped ones included. */
#define _GNU_SOURCE
#include "compiler/onnx.h"
#include "ir/eval.h"

#include <dirent.h>
#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_IO = 64, MAX_SKIPS = 1024 };

static int passed, failed, skipped, stale, verbose;

/* ---- the list of skips ---- */

typedef struct Skip {
    char pattern[128], reason[256];
    int hits;
} Skip;
static Skip skips[MAX_SKIPS];
static int nskips;

static void read_skips(const char *path)
{
    char line[512];
    FILE *f = fopen(path, "r");
    if (!f) {
        perror(path);
        exit(1);
    }
    while (fgets(line, sizeof line, f) && nskips < MAX_SKIPS) {
        Skip *s = &skips[nskips];
        if (line[0] != '#' && sscanf(line, "%127s %255[^\n]", s->pattern, s->reason) == 2) nskips++;
    }
    fclose(f);
}

static Skip *find_skip(const char *test)
{
    for (int i = 0; i < nskips; i++)
        if (!fnmatch(skips[i].pattern, test, FNM_EXTMATCH)) return &skips[i];
    return NULL;
}

/* ---- one test ---- */

typedef struct Io {
    const char *name; /* "" if the file has none */
    const Const *value;
} Io;

typedef struct Test {
    Arena *a;
    const char *folder;
    int nin, nout;
    Io in[MAX_IO], out[MAX_IO];
    int fixed; /* 0: no input is a literal; 1: all but the first; 2: all */
    Eval *eval;
} Test;

static int read_io(Test *t, const char *kind, Io *io)
{
    for (int i = 0; i < MAX_IO; i++) {
        char *path = arena_printf(t->a, "%s/test_data_set_0/%s_%d.pb", t->folder, kind, i);
        if (access(path, R_OK)) return i;
        io[i].value = onnx_read_tensor(t->a, path, &io[i].name);
    }
    return MAX_IO;
}

static void *dense(Arena *a, const Const *c)
{
    size_t one = (size_t)dtype_bytes(c->type.dtype);
    int64_t n = type_count(c->type);
    char *p = arena_alloc(a, one * (size_t)n);
    for (int64_t i = 0; i < n; i++)
        memcpy(p + one * (size_t)i, (const char *)c->data + (c->splat ? 0 : one * (size_t)i), one);
    return p;
}

static Graph *import(Test *t)
{
    OnnxFixed fixed[MAX_IO];
    OnnxOptions o = {.keep_batch = true, .fixed = fixed};
    for (int i = t->fixed == 1; i < t->nin && t->fixed; i++)
        if (*t->in[i].name) fixed[o.nfixed++] = (OnnxFixed){t->in[i].name, t->in[i].value};
    return onnx_import(t->a, arena_printf(t->a, "%s/model.onnx", t->folder), &o);
}

static void bind_inputs(Test *t, const Graph *g)
{
    int next = t->fixed == 2 ? t->nin : 0;
    for (Ref r = 0; r < g->n; r++) {
        const Node *n = &g->node[r];
        if (n->op != OP_input) continue;
        if (next == t->nin) err(NULL, "the model has more inputs than the test");
        const Const *c = t->in[next++].value;
        if (!c || !type_eq(c->type, n->type))
            err(NULL, "an input has another type than the model's");
        eval_bind(t->eval, r, dense(t->a, c));
    }
}

static bool close_to(double x, double want, double rtol, double atol)
{
    if (isnan(want) || isinf(want)) return isnan(want) ? isnan(x) : x == want;
    return fabs(x - want) <= atol + rtol * fabs(want);
}

static void compare(Test *t, int i, const Tensor *got)
{
    const Const *want = t->out[i].value;
    if (!want) err(NULL, "output %d should have no elements", i);
    DType d = want->type.dtype;
    double rtol = d == DT_F16 ? 1e-2 : d == DT_BF16 ? 2e-2 : 1e-3, atol = d == DT_F16 ? 1e-3 : 1e-7;
    if (!type_eq(want->type, got->type)) err(NULL, "output %d has another type", i);
    for (int64_t e = 0; e < type_count(want->type); e++) {
        double x = elem_get(d, got->data, e), y = elem_get(d, want->data, want->splat ? 0 : e);
        if (!close_to(x, y, rtol, atol))
            err(NULL, "output %d, element %lld: %g, not %g", i, (long long)e, x, y);
    }
}

static void free_eval(void *e)
{
    eval_free(e);
}

static void evaluate(void *arg)
{
    Test *t = arg;
    Ref want[MAX_IO];
    Graph *g = import(t);
    t->eval = eval_new(g);
    err_defer(free_eval, t->eval);
    bind_inputs(t, g);
    if ((int)g->nout != t->nout) err(NULL, "%u outputs, not %d", g->nout, t->nout);
    for (int i = 0; i < t->nout; i++) want[i] = g->out[i].ref;
    eval_run(t->eval, want, t->nout);
    for (int i = 0; i < t->nout; i++) compare(t, i, eval_get(t->eval, want[i]));
    err_keep(t->eval);
    eval_free(t->eval);
}

static void read_all(void *arg)
{
    Test *t = arg;
    t->nin = read_io(t, "input", t->in);
    t->nout = read_io(t, "output", t->out);
}

/* A shape may be an input of a node test. Where the importer wants a literal it is given one. */
static bool run_test(Test *t, char *msg, size_t size)
{
    if (!err_guard(read_all, t, msg, size)) return false;
    for (t->fixed = 0; t->fixed < 3; t->fixed++) {
        if (err_guard(evaluate, t, msg, size)) return true;
        if (!strstr(msg, "must be") && !strstr(msg, "no elements")) return false;
    }
    return false;
}

static void report(const char *test, bool ok, const char *msg)
{
    Skip *s = find_skip(test);
    if (s) s->hits++;
    passed += ok && !s;
    skipped += !ok && s;
    failed += !ok && !s;
    stale += ok && s;
    if (ok && s) printf("%s: passes, but is skipped: %s\n", test, s->reason);
    if (!ok && (!s || verbose)) printf("%s: %s%s\n", test, s ? "(skipped) " : "", msg);
}

static void test_folder(const char *folder, const char *test)
{
    char path[4096], msg[1024];
    snprintf(path, sizeof path, "%s/%s/model.onnx", folder, test);
    if (access(path, R_OK)) return;
    path[strlen(path) - strlen("/model.onnx")] = 0;
    Test t = {.a = arena_new(), .folder = path};
    bool ok = run_test(&t, msg, sizeof msg);
    report(test, ok, msg);
    arena_free(t.a);
}

static void run_folder(const char *folder)
{
    struct dirent **entry;
    int n = scandir(folder, &entry, NULL, alphasort);
    if (n < 0) perror(folder);
    for (int i = 0; i < n; i++) {
        if (entry[i]->d_name[0] != '.') test_folder(folder, entry[i]->d_name);
        free(entry[i]);
    }
    if (n >= 0) free(entry);
}

/* ---- whole networks whose weights are all one number: only imported ---- */

static void import_light(void *arg)
{
    Test *t = arg;
    t->out[0].value = onnx_read_tensor(t->a, arena_printf(t->a, "%s_output_0.pb", t->folder), NULL);
    Graph *g = onnx_import(t->a, arena_printf(t->a, "%s.onnx", t->folder), NULL);
    if (g->nout != 1 || !type_eq(g->node[g->out[0].ref].type, t->out[0].value->type))
        err(NULL, "the output has another type");
}

static void run_light(const char *folder)
{
    static const char *const nets[] = {"bvlc_alexnet", "densenet121", "inception_v1",
                                       "inception_v2", "resnet50",    "shufflenet",
                                       "squeezenet",   "vgg19",       "zfnet512"};
    char path[2048], msg[1024];
    for (int i = 0; i < COUNT(nets); i++) {
        snprintf(path, sizeof path, "%s/light_%s", folder, nets[i]);
        Test t = {.a = arena_new(), .folder = path};
        report(nets[i], err_guard(import_light, &t, msg, sizeof msg), msg);
        arena_free(t.a);
    }
}

/* ---- the archive ---- */

static const char *const parts[] = {"node", "simple", "pytorch-converted", "pytorch-operator"};

static int run_archive(void)
{
    const char *shared = getenv("ADJ_SHARED");
    char root[] = "/tmp/onnx-nodes-XXXXXX", command[2048], path[2048];
    if (!shared) {
        printf("onnx nodes: skipped, ADJ_SHARED is not set\n");
        return 77;
    }
    snprintf(path, sizeof path, "%s/onnx-node-tests-v1.22.0.tar.xz", shared);
    if (access(path, R_OK) || !mkdtemp(root)) {
        printf("onnx nodes: skipped, %s is not there\n", path);
        return 77;
    }
    snprintf(command, sizeof command, "tar -xJf '%s' -C '%s'", path, root);
    bool ok = system(command) == 0;
    for (int i = 0; i < COUNT(parts) && ok; i++) {
        snprintf(path, sizeof path, "%s/onnx_conformance/%s", root, parts[i]);
        run_folder(path);
    }
    snprintf(path, sizeof path, "%s/onnx_conformance/light", root);
    if (ok) run_light(path);
    snprintf(command, sizeof command, "rm -r '%s'", root);
    return system(command) != 0 || !ok;
}

static void print_skips(void)
{
    for (int i = 0; i < nskips; i++)
        if (!skips[i].hits) printf("%s: no such test (%s)\n", skips[i].pattern, skips[i].reason);
}

int main(int argc, char **argv)
{
    int code = 0;
    if (argc < 2) {
        fprintf(stderr, "usage: onnx_nodes SKIPS [FOLDER...]\n");
        return 2;
    }
    verbose = getenv("ADJ_VERBOSE") != NULL;
    read_skips(argv[1]);
    for (int i = 2; i < argc; i++) run_folder(argv[i]);
    if (argc == 2 && (code = run_archive())) return code;
    if (argc == 2) print_skips();
    printf("onnx nodes: %d passed, %d failed, %d skipped with a reason, %d wrongly skipped\n",
           passed, failed, skipped, stale);
    return failed || stale;
}
