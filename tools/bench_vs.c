/* SPDX-License-Identifier: Apache-2.0 */
/* Peers, next to an entry: bench/run.py loads the same file for the same images in a process of its
 * own and makes one call for each line it is sent. Adjoint and the peer call in turn; the peer is
 * stopped (SIGSTOP) meanwhile, so that threads of its which spin take no CPU. */
#define _XOPEN_SOURCE 700
#include <errno.h>
#include <ftw.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/bench_measure.h"
#include "tools/say.h"

static const char *const names[] = {"onnxruntime", "openvino", "torch", "torch.compile", "jax"};
enum { NNAMES = sizeof names / sizeof *names };

typedef struct Peer {
    const char *name;
    char folder[64]; /* what both sides leave for each other */
    char script[4200];
    pid_t pid;
    FILE *to, *from;
    char why[256]; /* it cannot be measured */
} Peer;

/* ---- the list ---- */

/* The next name of a list; NULL at its end or for one that is unknown. */
static const char *next_name(const char **list)
{
    size_t n = strcspn(*list, ",");
    const char *at = *list;
    *list += n + (at[n] == ',');
    for (int i = 0; i < NNAMES; i++)
        if (strlen(names[i]) == n && !strncmp(names[i], at, n)) return names[i];
    return NULL;
}

int bench_vs_check(const char *list)
{
    while (list && *list) {
        const char *from = list;
        if (!next_name(&list))
            return fail_usage(
                "--vs: '%.*s' is none of: onnxruntime openvino torch torch.compile jax",
                (int)strcspn(from, ","), from);
    }
    return 0;
}

/* ---- the folder ---- */

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st, (void)kind, (void)ftw;
    return remove(path);
}

static const char *in_folder(const Peer *p, const char *name, char out[128])
{
    snprintf(out, 128, "%s/%s", p->folder, name);
    return out;
}

static int find_tensor(const BenchEntry *b, const char *name)
{
    for (int k = 0; k < b->entry->nio; k++)
        if (!strcmp(b->entry->io[k].name, name)) return k;
    return -1;
}

/* Images and labels as this entry has them; zeros where it takes no labels. */
static int write_samples(const Peer *p, const BenchEntry *b)
{
    char path[128];
    AdjTensor label = {.name = "y", .dtype = ADJ_I64};
    int x = find_tensor(b, "x"), y = find_tensor(b, "y");
    void *zeros = tensor_new(&label, b->n);
    int e = zeros && x >= 0
                ? tensor_save(in_folder(p, "x.npy", path), &b->entry->io[x], b->n, b->io[x])
                : STATUS_INPUT;
    if (!e)
        e = tensor_save(in_folder(p, "y.npy", path), y < 0 ? &label : &b->entry->io[y], b->n,
                        y < 0 ? zeros : b->io[y]);
    free(zeros);
    return e;
}

/* ---- the process ---- */

/* Beside the command: PREFIX/bin/adjoint has PREFIX/share/adjoint/bench/run.py. */
static bool find_script(Peer *p)
{
    char exe[4096];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    if (n <= 0) return false;
    exe[n] = 0;
    for (int up = 0; up < 2; up++) *strrchr(exe, '/') = 0;
    snprintf(p->script, sizeof p->script, "%s/share/adjoint/bench/run.py", exe);
    return access(p->script, R_OK) == 0;
}

static char *make_spec(const Peer *p, const BenchEntry *b)
{
    json_t *j = json_pack("{s:s, s:s, s:i, s:i, s:I, s:s, s:s}", "peer", p->name, "task",
                          b->entry->name, "threads", b->h->env.workers, "steps", (int)b->steps, "n",
                          (json_int_t)b->n, "file", b->h->path, "folder", p->folder);
    char *text = json_dumps(j, 0);
    json_decref(j);
    return text;
}

static void become(const Peer *p, const char *python, const char *spec, int threads, int in,
                   int out)
{
    char number[16], path[128];
    snprintf(number, sizeof number, "%d", threads);
    setenv("OMP_NUM_THREADS", number, 1);
    setenv("PYTHONWARNINGS", "ignore", 1);
    setenv("TORCHINDUCTOR_CACHE_DIR", in_folder(p, "inductor", path), 1);
    if (threads == 1) setenv("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false", 1);
    setpgid(0, 0);
    dup2(in, 0);
    dup2(out, 1);
    if (!freopen(in_folder(p, "log", path), "w", stderr)) _exit(127);
    execlp(python, python, p->script, "--worker", spec, (char *)NULL);
    fprintf(stderr, "%s: %s\n", python, strerror(errno));
    fflush(stderr);
    _exit(127);
}

static int start(Peer *p, const BenchEntry *b, const char *python)
{
    int to[2], from[2];
    char *spec = make_spec(p, b);
    if (!spec || pipe(to) || pipe(from)) return fail_input("--vs: %s", strerror(errno));
    signal(SIGPIPE, SIG_IGN);
    p->pid = fork();
    if (p->pid == 0) {
        close(to[1]);
        close(from[0]);
        become(p, python, spec, b->h->env.workers, to[0], from[1]);
    }
    close(to[0]);
    close(from[1]);
    free(spec);
    p->to = fdopen(to[1], "w");
    p->from = fdopen(from[0], "r");
    return p->pid > 0 && p->to && p->from ? 0 : fail_input("--vs: %s", strerror(errno));
}

/* Why a process ended that said nothing: the last line of its log. */
static void last_words(Peer *p)
{
    char path[128], line[256];
    FILE *f = fopen(in_folder(p, "log", path), "r");
    snprintf(p->why, sizeof p->why, "ended");
    while (f && fgets(line, sizeof line, f)) snprintf(p->why, sizeof p->why, "%s", line);
    if (f) fclose(f);
    p->why[strcspn(p->why, "\n")] = 0;
}

static void greet(Peer *p)
{
    char line[256] = "";
    if (!fgets(line, sizeof line, p->from)) {
        last_words(p);
        return;
    }
    line[strcspn(line, "\n")] = 0;
    if (!strcmp(line, "ready"))
        kill(-p->pid, SIGSTOP);
    else
        snprintf(p->why, sizeof p->why, "%s", !strncmp(line, "error ", 6) ? line + 6 : line);
}

static void stop(Peer *p)
{
    if (p->pid > 0) {
        kill(-p->pid, SIGKILL);
        kill(p->pid, SIGKILL);
        waitpid(p->pid, NULL, 0);
    }
    if (p->to) fclose(p->to);
    if (p->from) fclose(p->from);
    if (*p->folder) nftw(p->folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- measuring ---- */

static bool peer_call(Peer *p, double *seconds)
{
    char line[64];
    kill(-p->pid, SIGCONT);
    bool ok = fputs("\n", p->to) >= 0 && !fflush(p->to) && fgets(line, sizeof line, p->from);
    kill(-p->pid, SIGSTOP);
    if (ok)
        *seconds = atof(line);
    else
        last_words(p);
    return ok && *seconds > 0;
}

/* |peer - Adjoint| / |Adjoint| of the results, 2-norms; negative: not comparable. */
static double difference(const Peer *p, const BenchEntry *b)
{
    char path[128];
    NpyArray a;
    int k = find_tensor(b, !strcmp(b->entry->name, "gradient") ? "grad" : "logits");
    const AdjTensor *t = k < 0 ? NULL : &b->entry->io[k];
    double off = 0, all = 0;
    if (b->entry->steps || !t || t->dtype != ADJ_F32) return -1; /* attacks start elsewhere */
    if (!npy_read(in_folder(p, "result.npy", path), &a, NULL)) return -1;
    bool same = a.type == NPY_F32 && a.elements == b->n * tensor_elements(t);
    for (int64_t i = 0; same && i < a.elements; i++) {
        double own = tensor_value(t, b->io[k], i), d = (double)((float *)a.data)[i] - own;
        off += d * d;
        all += own * own;
    }
    npy_free(&a);
    return same && all > 0 ? sqrt(off / all) : -1;
}

typedef struct Turns {
    double *rate, *ratio; /* of the peer; how many times as fast Adjoint is */
} Turns;

static int take_turns(Peer *p, BenchEntry *b, int64_t repeats, const Turns *t)
{
    double own, units, seconds;
    for (int64_t i = 0; i < repeats; i++) {
        int e = bench_call(b, &own, &units);
        if (e) return e;
        if (!peer_call(p, &seconds)) return 0;
        /* its last iterates are not judged either */
        t->rate[i] = (b->entry->steps ? (double)b->n * b->steps : (double)b->n) / seconds;
        t->ratio[i] = seconds / own;
    }
    return 0;
}

static void report(const Peer *p, Spread rate, Spread ratio, double off, json_t *out)
{
    printf("%16s %s: %.5g images/s [%.4g, %.4g]; Adjoint is %.2f times as fast [%.2f, %.2f]", "",
           p->name, rate.median, rate.low, rate.high, ratio.median, ratio.low, ratio.high);
    printf(off >= 0 ? "; results differ by %.1e\n" : "\n", off);
    json_t *j =
        json_pack("{s:s, s:[fff], s:[fff]}", "peer", p->name, "images_per_second", rate.low,
                  rate.median, rate.high, "times_as_fast", ratio.low, ratio.median, ratio.high);
    if (off >= 0) json_object_set_new(j, "difference", json_real(off));
    json_array_append_new(out, j);
}

static int measure(Peer *p, BenchEntry *b, int64_t repeats, json_t *out)
{
    double *block = calloc(2 * (size_t)repeats, sizeof *block);
    Turns t = {block, block ? block + repeats : NULL};
    if (!block) return fail_input("no memory");
    int e = take_turns(p, b, repeats, &t);
    if (!e && !*p->why)
        report(p, spread_of(t.rate, repeats), spread_of(t.ratio, repeats), difference(p, b), out);
    free(block);
    return e;
}

static int one_peer(const char *name, BenchEntry *b, const BenchPlan *plan, json_t *out)
{
    Peer p = {.name = name, .folder = "/tmp/adjoint-vs-XXXXXX"};
    if (!mkdtemp(p.folder)) return fail_input("--vs: %s: %s", p.folder, strerror(errno));
    int e = 0;
    if (!find_script(&p))
        snprintf(p.why, sizeof p.why, "share/adjoint/bench/run.py is not beside the command");
    else if (!(e = write_samples(&p, b)) && !(e = start(&p, b, plan->python)))
        greet(&p);
    if (!e && !*p.why) e = measure(&p, b, plan->repeats, out);
    if (!e && *p.why) {
        printf("%16s %s: %s\n", "", name, p.why);
        json_array_append_new(out, json_pack("{s:s, s:s}", "peer", name, "error", p.why));
    }
    fflush(stdout);
    stop(&p);
    return e;
}

int bench_vs(BenchEntry *b, const BenchPlan *plan, json_t *out)
{
    int e = 0;
    fflush(stdout);
    for (const char *list = plan->vs; list && *list && !e;)
        e = one_peer(next_name(&list), b, plan, out);
    return e;
}
