/* SPDX-License-Identifier: Apache-2.0 */
/* Files by their endings; those of one stem make a run. In a folder, files of other kinds are
 * passed over. */
#define _XOPEN_SOURCE 700
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "tools/data/format.h"
#include "tools/report/report.h"
#include "tools/say.h"

enum { MOST_RUNS = 512 };

/* ---- runs ---- */

static Run *run_add(Report *r)
{
    if (r->n == MOST_RUNS) {
        fail_input("report: more than %d runs", MOST_RUNS);
        return NULL;
    }
    if (r->n == r->cap) {
        int cap = r->cap ? 2 * r->cap : 16;
        Run *run = realloc(r->run, sizeof *run * (size_t)cap);
        if (!run) fail_input("report: no memory for %d runs", cap);
        if (!run) return NULL;
        r->run = run;
        r->cap = cap;
    }
    r->run[r->n] = (Run){.kind = RUN_KINDS, .colour = -1};
    return &r->run[r->n++];
}

static void run_free(Run *r)
{
    free(r->json_path);
    free(r->csv_path);
    free(r->png_path);
    json_decref(r->json);
    free(r->size);
    free(r->epoch);
    free(r->png);
}

void report_free(Report *r)
{
    for (int i = 0; i < r->n; i++) run_free(&r->run[i]);
    free(r->run);
    *r = (Report){0};
}

/* The same but for the ending. */
static bool same_stem(const char *a, const char *b)
{
    const char *dot = a ? strrchr(a, '.') : NULL;
    return dot && strlen(b) > (size_t)(dot - a) && !strncmp(a, b, (size_t)(dot - a) + 1) &&
           !strchr(b + (dot - a) + 1, '.') && !strchr(b + (dot - a), '/');
}

/* The run that has a JSON or CSV of that stem, and none of this sort yet. */
static Run *run_of(Report *r, const char *path, bool json)
{
    for (int i = 0; i < r->n; i++) {
        Run *run = &r->run[i];
        if (json ? !run->json_path && same_stem(run->csv_path, path)
                 : !run->csv_path && same_stem(run->json_path, path))
            return run;
    }
    return run_add(r);
}

/* ---- files ---- */

typedef int AddFn(Report *, const char *path, bool found);

static bool known(const Report *r, const char *path)
{
    for (int i = 0; i < r->n; i++) {
        const char *of[] = {r->run[i].json_path, r->run[i].csv_path, r->run[i].png_path};
        for (int k = 0; k < 3; k++)
            if (of[k] && !strcmp(of[k], path)) return true;
    }
    return false;
}

static int add_table(Report *r, const char *path, bool found, bool json)
{
    bool ours = true;
    Run *run = run_of(r, path, json);
    if (!run) return STATUS_INPUT;
    int e = json ? run_read_json(run, path, found, &ours) : run_read_csv(run, path, found, &ours);
    if (!e && !ours && run->kind == RUN_KINDS) r->n--;
    return e;
}

static int add_json(Report *r, const char *path, bool found)
{
    return add_table(r, path, found, true);
}

static int add_csv(Report *r, const char *path, bool found)
{
    return add_table(r, path, found, false);
}

/* A sheet that was found belongs to its JSON; one that was named may stand alone. */
static int add_png(Report *r, const char *path, bool found)
{
    if (found) return 0;
    Run *run = run_add(r);
    return run ? run_read_png(run, path) : STATUS_INPUT;
}

static const struct {
    const char *ending;
    AddFn *add;
} sorts[] = {{".json", add_json}, {".csv", add_csv}, {".png", add_png}};

static int add_file(Report *r, const char *path, bool found)
{
    const char *dot = strrchr(path, '.');
    if (known(r, path)) return 0;
    for (int i = 0; dot && i < 3; i++)
        if (!strcasecmp(dot, sorts[i].ending)) return sorts[i].add(r, path, found);
    return found ? 0 : fail_input("%s: is no .json, .csv or .png", path);
}

static int add_folder(Report *r, const char *path)
{
    PathList list = {0};
    DataError error;
    if (!file_list(path, &list, &error)) return fail_input("%s", error.msg);
    int e = 0;
    for (size_t i = 0; i < list.n && !e; i++) {
        struct stat st;
        if (stat(list.path[i], &st) == 0 && S_ISREG(st.st_mode))
            e = add_file(r, list.path[i], true);
    }
    path_list_free(&list);
    return e;
}

int report_add(Report *r, const char *path)
{
    struct stat st;
    if (stat(path, &st)) return fail_input("%s: %s", path, strerror(errno));
    return S_ISDIR(st.st_mode) ? add_folder(r, path) : add_file(r, path, false);
}

/* ---- sheets of explanations ---- */

/* Beside the JSON, or where the JSON says. */
static char *sheet_path(const Run *run)
{
    const char *said = run_text(run, "results", "sheet"), *slash = strrchr(run->json_path, '/');
    size_t folder = slash ? (size_t)(slash - run->json_path) + 1 : 0;
    struct stat st;
    if (!said) return NULL;
    const char *name = strrchr(said, '/') ? strrchr(said, '/') + 1 : said;
    char *beside = malloc(folder + strlen(name) + 1);
    if (!beside) return NULL;
    memcpy(beside, run->json_path, folder);
    strcpy(beside + folder, name);
    if (stat(beside, &st) == 0) return beside;
    free(beside);
    return strdup(said);
}

static bool same_file(const char *a, const char *b)
{
    struct stat x, y;
    return !stat(a, &x) && !stat(b, &y) && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* A picture that was named by itself, and by the JSON of another run as well. */
static bool is_double(const Report *r, const Run *run)
{
    if (run->json || run->kind != RUN_EXPLAIN) return false;
    for (int i = 0; i < r->n; i++)
        if (r->run[i].json && r->run[i].png_path && same_file(r->run[i].png_path, run->png_path))
            return true;
    return false;
}

static void drop_doubles(Report *r)
{
    int n = 0;
    for (int i = 0; i < r->n; i++) {
        if (is_double(r, &r->run[i]))
            run_free(&r->run[i]);
        else
            r->run[n++] = r->run[i];
    }
    r->n = n;
}

static int take_sheet(Report *r, int i)
{
    char *path = sheet_path(&r->run[i]);
    if (!path) return fail_input("%s: names no sheet", r->run[i].json_path);
    int e = run_read_png(&r->run[i], path);
    free(path);
    return e;
}

int report_settle(Report *r)
{
    int colour = 0, e = 0;
    for (int i = 0; i < r->n && !e; i++)
        if (r->run[i].kind == RUN_EXPLAIN && r->run[i].json) e = take_sheet(r, i);
    if (e) return e;
    drop_doubles(r);
    for (int i = 0; i < r->n; i++)
        if (r->run[i].n || r->run[i].epochs) r->run[i].colour = colour++;
    return r->n ? 0 : fail_input("report: found nothing that one of its commands wrote");
}
