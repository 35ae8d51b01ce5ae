/* SPDX-License-Identifier: Apache-2.0 */
/* Writing the artefact: object (or another form of the code), header, manifest, weights. Every file
 * is written beside its place under a temporary name; only when all are complete are they renamed,
 * so a failure leaves nothing behind. Archives and shared objects are made by the system's ar and
 * cc. */
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "compiler/compiled.h"

extern char **environ;

enum { MAX_FILES = 8 };

typedef struct Writing {
    AdjCompiled *c;
    const char *out;
    AdjEmit emit;
    int n;
    const char *temp[MAX_FILES], *final[MAX_FILES];
    bool keep;
} Writing;

static void drop_temporaries(void *arg)
{
    Writing *w = arg;
    for (int i = 0; i < w->n; i++) remove(w->temp[i]);
}

static const char *new_file(Writing *w, const char *suffix)
{
    Arena *a = w->c->arena;
    check(w->n < MAX_FILES);
    w->final[w->n] = arena_printf(a, "%s%s", w->out, suffix);
    w->temp[w->n] = arena_printf(a, "%s%s.tmp%ld", w->out, suffix, (long)getpid());
    return w->temp[w->n++];
}

static void close_file(void *f)
{
    fclose(f);
}

static bool put(void *f, const void *data, size_t size)
{
    return fwrite(data, 1, size, f) == size;
}

/* The blob of `m` follows the data, unless m is NULL. */
static void write_parts(Writing *w, const char *suffix, const void *data, size_t size,
                        const Module *m)
{
    const char *path = new_file(w, suffix);
    const char *final = w->final[w->n - 1];
    FILE *f = fopen(path, "wb");
    if (!f) err(final, "cannot be written: %s", strerror(errno));
    err_defer(close_file, f);
    bool ok = put(f, data, size) && (!m || module_stream(m, put, f));
    int why = errno;
    err_keep(f);
    if (fclose(f) || !ok) err(final, "cannot be written: %s", strerror(why));
}

static void write_file(Writing *w, const char *suffix, const void *data, size_t size)
{
    write_parts(w, suffix, data, size, NULL);
}

static void write_object(Writing *w)
{
    const Bytes *o = compiled_object(w->c);
    write_parts(w, ".o", o->data, o->size, w->c->module->embed ? w->c->module : NULL);
}

static void run_tool(char *const argv[])
{
    pid_t pid;
    int status = 0;
    if (posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ))
        err(argv[0], "cannot be run: %s", strerror(errno));
    if (waitpid(pid, &status, 0) < 0 || status) err(argv[0], "failed");
}

static void write_lib(Writing *w)
{
    write_object(w);
    const char *object = w->temp[w->n - 1], *lib = new_file(w, ".a");
    run_tool((char *[]){"ar", "rcsD", (char *)lib, (char *)object, NULL});
    w->final[w->n - 2] = NULL; /* the object lives on in the archive only */
}

static void write_so(Writing *w)
{
    write_object(w);
    const char *object = w->temp[w->n - 1], *so = new_file(w, ".so");
    run_tool((char *[]){"cc", "-shared", "-nostartfiles", "-Wl,--build-id=none", "-o", (char *)so,
                        (char *)object, NULL});
    w->final[w->n - 2] = NULL;
}

static void write_emitted(Writing *w, EmitKind kind, const char *suffix)
{
    Bytes b = variants_emit(w->c, kind, NULL);
    write_file(w, suffix, b.data, b.size);
    bytes_free(&b);
}

static void write_text(Writing *w, const char *suffix, Str *s)
{
    write_file(w, suffix, s->s ? s->s : "", s->n);
    str_free(s);
}

static void write_ir(Writing *w)
{
    Str s = {0};
    for (int i = 0; i < w->c->nspec; i++) {
        const ProgramSpec *p = &w->c->spec[i];
        const Graph *phase[] = {p->init, p->step, p->judge, p->finish};
        for (int k = 0; k < COUNT(phase); k++)
            if (phase[k]) graph_print(&s, phase[k]);
    }
    write_text(w, ".ir", &s);
}

static void write_kernels(Writing *w)
{
    Str s = {0};
    module_print(&s, w->c->module);
    write_text(w, ".kernels", &s);
}

static void write_asm(Writing *w)
{
    write_emitted(w, EMIT_ASM, ".s");
}
static void write_llvm(Writing *w)
{
    write_emitted(w, EMIT_LLVM, ".ll");
}
static void write_ptx(Writing *w)
{
    write_emitted(w, EMIT_ASM, ".ptx");
}

typedef struct EmitRow {
    void (*write)(Writing *);
    bool artefact; /* a header and a manifest go with it */
    int gpu;       /* 1: GPU targets only, 0: CPU only, -1: both */
} EmitRow;

static const EmitRow emit_rows[] = {[ADJ_EMIT_OBJ] = {write_object, true, 0},
                                    [ADJ_EMIT_LIB] = {write_lib, true, 0},
                                    [ADJ_EMIT_SO] = {write_so, true, 0},
                                    [ADJ_EMIT_ASM] = {write_asm, false, 0},
                                    [ADJ_EMIT_LLVM] = {write_llvm, false, -1},
                                    [ADJ_EMIT_IR] = {write_ir, false, -1},
                                    [ADJ_EMIT_KERNELS] = {write_kernels, false, -1},
                                    [ADJ_EMIT_PTX] = {write_ptx, false, 1}};

static void write_companions(Writing *w)
{
    Str s = {0};
    const char *slash = strrchr(w->out, '/');
    header_text(w->c, &s, slash ? slash + 1 : w->out);
    write_text(w, ".h", &s);
    char *json = manifest_text(w->c, false);
    write_file(w, ".json", json, strlen(json));
    free(json);
    if (!w->c->module->embed) write_parts(w, ".weights", "", 0, w->c->module);
}

static void rename_all(Writing *w)
{
    for (int i = 0; i < w->n; i++) {
        if (!w->final[i])
            remove(w->temp[i]);
        else if (rename(w->temp[i], w->final[i]))
            err(w->final[i], "cannot be written: %s", strerror(errno));
    }
}

static void write_all(void *arg)
{
    Writing *w = arg;
    const EmitRow *row = &emit_rows[w->emit];
    err_defer(drop_temporaries, w);
    if (row->gpu >= 0 && row->gpu != w->c->target->gpu)
        err("--emit", "not for target %s", w->c->target->triple);
    row->write(w);
    if (row->artefact) write_companions(w);
    rename_all(w);
    err_keep(w);
}

/* Signals that end a program wait until the files are whole. */
bool adj_write(AdjCompiled *c, const char *out, AdjEmit emit, AdjError *e)
{
    Writing w = {.c = c, .out = out, .emit = emit};
    sigset_t end, before;
    sigemptyset(&end);
    sigaddset(&end, SIGINT);
    sigaddset(&end, SIGTERM);
    sigaddset(&end, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &end, &before);
    bool ok = guarded_call(write_all, &w, e);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return ok;
}
