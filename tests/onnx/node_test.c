/* SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include "node_test.h"

#include <dirent.h>
#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_SKIPS = 1024 };

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

static int read_io(Test *t, const char *kind, Io *io)
{
    for (int i = 0; i < MAX_TEST_IO; i++) {
        char *path = arena_printf(t->a, "%s/test_data_set_0/%s_%d.pb", t->folder, kind, i);
        if (access(path, R_OK)) return i;
        io[i].value = onnx_read_tensor(t->a, path, &io[i].name);
    }
    return MAX_TEST_IO;
}

void *test_dense(Arena *a, const Const *c)
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
    OnnxFixed fixed[MAX_TEST_IO];
    OnnxOptions o = {.keep_batch = true, .fixed = fixed};
    for (int i = t->fixed == 1; i < t->nin && t->fixed; i++)
        if (*t->in[i].name) fixed[o.nfixed++] = (OnnxFixed){t->in[i].name, t->in[i].value};
    return onnx_import(t->a, arena_printf(t->a, "%s/model.onnx", t->folder), &o);
}

void test_inputs(Test *t, const Graph *g, void (*bind)(void *, Ref, const void *), void *user)
{
    int next = t->fixed == 2 ? t->nin : 0;
    for (Ref r = 0; r < g->n; r++) {
        const Node *n = &g->node[r];
        if (n->op != OP_input) continue;
        if (next == t->nin) err(NULL, "the model has more inputs than the test");
        const Const *c = t->in[next++].value;
        if (!c || !type_eq(c->type, n->type))
            err(NULL, "an input has another type than the model's");
        bind(user, r, test_dense(t->a, c));
    }
}

static bool close_to(double x, double want, double rtol, double atol)
{
    if (isnan(want) || isinf(want)) return isnan(want) ? isnan(x) : x == want;
    return fabs(x - want) <= atol + rtol * fabs(want);
}

void test_compare(Test *t, int i, const Tensor *got)
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

typedef struct Attempt {
    const Runner *r;
    Test *t;
} Attempt;

static void attempt(void *arg)
{
    Attempt *at = arg;
    Test *t = at->t;
    Graph *g = import(t);
    if ((int)g->nout != t->nout) err(NULL, "%u outputs, not %d", g->nout, t->nout);
    at->r->compute(t, g);
}

static void read_all(void *arg)
{
    Test *t = arg;
    t->nin = read_io(t, "input", t->in);
    t->nout = read_io(t, "output", t->out);
}

/* A shape may be an input of a node test. Where the importer wants a literal it is given one. */
static bool run_here(const Runner *r, Test *t, char *msg, size_t size)
{
    Attempt at = {r, t};
    if (!err_guard(read_all, t, msg, size)) return false;
    for (t->fixed = 0; t->fixed < 3; t->fixed++) {
        if (err_guard(attempt, &at, msg, size)) return true;
        if (!strstr(msg, "must be") && !strstr(msg, "no elements")) return false;
    }
    return false;
}

/* What a test prints when it dies goes where it always does; here only that it did. */
static bool run_forked(const Runner *r, Test *t, char *msg, size_t size)
{
    int to[2], status;
    if (pipe(to)) return false;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        bool ok = run_here(r, t, msg, size);
        ssize_t n = ok ? 0 : write(to[1], msg, strlen(msg));
        _exit(ok ? 0 : n >= 0);
    }
    close(to[1]);
    ssize_t n = read(to[0], msg, size - 1);
    msg[n > 0 ? n : 0] = 0;
    close(to[0]);
    waitpid(pid, &status, 0);
    if (WIFSIGNALED(status)) snprintf(msg, size, "died of signal %d", WTERMSIG(status));
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

void node_report(const char *test, bool ok, const char *msg)
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

static void test_folder(const Runner *r, const char *folder, const char *test)
{
    char path[4096], msg[1024];
    snprintf(path, sizeof path, "%s/%s/model.onnx", folder, test);
    if (access(path, R_OK)) return;
    Test t = {.a = arena_new()};
    t.folder = arena_printf(t.a, "%s/%s", folder, test);
    bool ok = (r->forks ? run_forked : run_here)(r, &t, msg, sizeof msg);
    if (ok && r->passed) r->passed(path);
    node_report(test, ok, msg);
    arena_free(t.a);
}

static void run_folder(const Runner *r, const char *folder)
{
    struct dirent **entry;
    int n = scandir(folder, &entry, NULL, alphasort);
    if (n < 0) perror(folder);
    for (int i = 0; i < n; i++) {
        if (entry[i]->d_name[0] != '.') test_folder(r, folder, entry[i]->d_name);
        free(entry[i]);
    }
    if (n >= 0) free(entry);
}

/* ---- whole networks whose weights are all one number: only imported ---- */

static void import_light(void *arg)
{
    Test *t = arg;
    const Const *want =
        onnx_read_tensor(t->a, arena_printf(t->a, "%s_output_0.pb", t->folder), NULL);
    Graph *g = onnx_import(t->a, arena_printf(t->a, "%s.onnx", t->folder), NULL);
    if (g->nout != 1 || !type_eq(g->node[g->out[0].ref].type, want->type))
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
        node_report(nets[i], err_guard(import_light, &t, msg, sizeof msg), msg);
        arena_free(t.a);
    }
}

/* ---- the archive ---- */

static const char *const parts[] = {"node", "simple", "pytorch-converted", "pytorch-operator"};

static void run_unpacked(const Runner *r, const char *root)
{
    char path[2048];
    for (int i = 0; i < COUNT(parts); i++) {
        snprintf(path, sizeof path, "%s/onnx_conformance/%s", root, parts[i]);
        run_folder(r, path);
    }
    snprintf(path, sizeof path, "%s/onnx_conformance/light", root);
    run_light(path);
}

static int run_archive(const Runner *r)
{
    const char *shared = getenv("ADJ_SHARED");
    char root[] = "/tmp/onnx-nodes-XXXXXX", command[2048], path[1024];
    snprintf(path, sizeof path, "%s/onnx-node-tests-v1.22.0.tar.xz", shared ? shared : "");
    if (!shared || access(path, R_OK) || !mkdtemp(root)) {
        printf("%s: skipped, no archive of node tests below ADJ_SHARED\n", r->name);
        return 77;
    }
    snprintf(command, sizeof command, "tar -xJf '%s' -C '%s'", path, root);
    bool ok = system(command) == 0;
    if (ok) run_unpacked(r, root);
    snprintf(command, sizeof command, "rm -r '%s'", root);
    return system(command) != 0 || !ok;
}

static void print_skips(void)
{
    for (int i = 0; i < nskips; i++)
        if (!skips[i].hits) printf("%s: no such test (%s)\n", skips[i].pattern, skips[i].reason);
}

int node_tests(const Runner *r, int argc, char **argv)
{
    int code = 0;
    verbose = getenv("ADJ_VERBOSE") != NULL;
    read_skips(argv[1]);
    for (int i = 2; i < argc; i++) run_folder(r, argv[i]);
    if (argc == 2 && !(code = run_archive(r))) print_skips();
    return code;
}

int node_results(const Runner *r)
{
    printf("%s: %d passed, %d failed, %d skipped with a reason, %d wrongly skipped\n", r->name,
           passed, failed, skipped, stale);
    return failed || stale;
}
