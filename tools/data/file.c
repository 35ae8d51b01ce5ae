/* SPDX-License-Identifier: Apache-2.0 */
/* Files as bytes: loading (decompressed by what their first bytes say), listing, atomic writing.
 * A compressed file may grow to DECODED_MAX and no further. */
#define _POSIX_C_SOURCE 200809L
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <lzma.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "format.h"

#define DECODED_MAX ((size_t)4 << 30)
#define XZ_MEMORY_MAX ((uint64_t)256 << 20)

bool data_fail(DataError *e, const char *format, ...)
{
    if (!e) return false;
    va_list args;
    va_start(args, format);
    vsnprintf(e->msg, sizeof e->msg, format, args);
    va_end(args);
    /* a file name may hold anything; the message stays one line */
    for (char *c = e->msg; *c; c++)
        if ((unsigned char)*c < 0x20 || *c == 0x7f) *c = '?';
    return false;
}

/* ---- loading ---- */

/* Output of a decompressor. */
typedef struct {
    uint8_t *p;
    size_t n, cap;
} Growing;

/* Makes room for at least one more byte. */
static bool grow(Growing *g, const char *path, DataError *e)
{
    if (g->n < g->cap) return true;
    if (g->cap >= DECODED_MAX) return data_fail(e, "%s: larger than 4 GiB decompressed", path);
    size_t cap = g->cap ? 2 * g->cap : 1 << 16;
    if (cap > DECODED_MAX) cap = DECODED_MAX;
    uint8_t *p = realloc(g->p, cap);
    if (!p) return data_fail(e, "%s: out of memory at %zu bytes decompressed", path, cap);
    g->p = p;
    g->cap = cap;
    return true;
}

static uInt zlib_amount(size_t n)
{
    return n < ((size_t)1 << 30) ? (uInt)n : (uInt)1 << 30;
}

/* One call of inflate; *code is its result. */
static bool inflate_some(z_stream *z, const Bytes *in, Growing *g, const char *path, int *code,
                         DataError *e)
{
    if (!grow(g, path, e)) return false;
    z->avail_in = zlib_amount(in->n - (size_t)(z->next_in - in->p));
    z->avail_out = zlib_amount(g->cap - g->n);
    z->next_out = g->p + g->n;
    *code = inflate(z, Z_NO_FLUSH);
    g->n = (size_t)(z->next_out - g->p);
    if (*code == Z_OK || *code == Z_STREAM_END) return true;
    if (*code == Z_BUF_ERROR) return data_fail(e, "%s: truncated gzip data", path);
    return data_fail(e, "%s: damaged gzip data (%s)", path, z->msg ? z->msg : zError(*code));
}

/* A gzip file is a sequence of members. */
static bool gunzip(const Bytes *in, Growing *g, const char *path, DataError *e)
{
    z_stream z = {.next_in = (Bytef *)in->p};
    if (inflateInit2(&z, 15 + 16) != Z_OK) return data_fail(e, "%s: zlib does not start", path);
    int code = Z_OK;
    bool ok;
    do {
        ok = inflate_some(&z, in, g, path, &code, e);
        if (ok && code == Z_STREAM_END && z.next_in < in->p + in->n) {
            inflateReset(&z);
            code = Z_OK;
        }
    } while (ok && code != Z_STREAM_END);
    inflateEnd(&z);
    return ok;
}

static const char *xz_reason(lzma_ret code)
{
    switch (code) {
    case LZMA_BUF_ERROR: return "truncated xz data";
    case LZMA_MEMLIMIT_ERROR: return "xz data that needs more than 256 MiB to decompress";
    case LZMA_MEM_ERROR: return "out of memory";
    default: return "damaged xz data";
    }
}

static bool unxz(const Bytes *in, Growing *g, const char *path, DataError *e)
{
    lzma_stream s = LZMA_STREAM_INIT;
    lzma_ret code = lzma_stream_decoder(&s, XZ_MEMORY_MAX, LZMA_CONCATENATED);
    s.next_in = in->p;
    s.avail_in = in->n;
    bool ok = true;
    while (code == LZMA_OK && (ok = grow(g, path, e))) {
        s.next_out = g->p + g->n;
        s.avail_out = g->cap - g->n;
        code = lzma_code(&s, LZMA_FINISH);
        g->n = (size_t)(s.next_out - g->p);
    }
    lzma_end(&s);
    if (ok && code != LZMA_STREAM_END) return data_fail(e, "%s: %s", path, xz_reason(code));
    return ok;
}

static bool map(const char *path, int fd, Bytes *out, DataError *e)
{
    struct stat st;
    if (fstat(fd, &st) != 0) return data_fail(e, "%s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode)) return data_fail(e, "%s: not a regular file", path);
    if (st.st_size == 0) return data_fail(e, "%s: the file is empty", path);
    void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED) return data_fail(e, "%s: %s", path, strerror(errno));
    *out = (Bytes){p, (size_t)st.st_size, true};
    return true;
}

size_t file_head(const char *path, void *head, size_t n)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) return 0;
    ssize_t got = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? read(fd, head, n) : 0;
    close(fd);
    return got < 0 ? 0 : (size_t)got;
}

typedef bool Decompress(const Bytes *in, Growing *g, const char *path, DataError *e);

static Decompress *decompressor(const Bytes *b)
{
    static const struct {
        const char *magic;
        size_t n;
        Decompress *fn;
    } rows[] = {{"\x1f\x8b", 2, gunzip}, {"\xfd\x37zXZ\0", 6, unxz}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (b->n >= rows[i].n && !memcmp(b->p, rows[i].magic, rows[i].n)) return rows[i].fn;
    return NULL;
}

bool file_load(const char *path, Bytes *out, DataError *e)
{
    *out = (Bytes){0};
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) return data_fail(e, "%s: %s", path, strerror(errno));
    bool ok = map(path, fd, out, e);
    close(fd);
    Decompress *fn = ok ? decompressor(out) : NULL;
    if (!fn) return ok;
    Growing g = {0};
    ok = fn(out, &g, path, e);
    file_unload(out);
    if (ok && g.n == 0) ok = data_fail(e, "%s: empty once decompressed", path);
    if (ok)
        *out = (Bytes){g.p, g.n, false};
    else
        free(g.p);
    return ok;
}

void file_unload(Bytes *b)
{
    if (b->mapped)
        munmap((void *)b->p, b->n);
    else
        free((void *)b->p);
    *b = (Bytes){0};
}

/* ---- listing ---- */

const char *path_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static char *join(const char *a, const char *between, const char *b)
{
    size_t size = strlen(a) + strlen(between) + strlen(b) + 1;
    char *s = malloc(size);
    if (s) snprintf(s, size, "%s%s%s", a, between, b);
    return s;
}

static bool list_add(PathList *l, char *path)
{
    if (!path) return false;
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 64;
        char **p = realloc(l->path, cap * sizeof *p);
        if (!p) {
            free(path);
            return false;
        }
        l->path = p;
        l->cap = cap;
    }
    l->path[l->n++] = path;
    return true;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

bool file_list(const char *folder, PathList *out, DataError *e)
{
    *out = (PathList){0};
    DIR *dir = opendir(folder);
    if (!dir) return data_fail(e, "%s: %s", folder, strerror(errno));
    const char *slash = folder[strlen(folder) - 1] == '/' ? "" : "/";
    bool ok = true;
    for (struct dirent *entry; ok && (entry = readdir(dir));)
        if (entry->d_name[0] != '.') ok = list_add(out, join(folder, slash, entry->d_name));
    closedir(dir);
    if (!ok) {
        path_list_free(out);
        return data_fail(e, "%s: out of memory", folder);
    }
    if (out->n) qsort(out->path, out->n, sizeof *out->path, by_bytes);
    return true;
}

void path_list_free(PathList *l)
{
    for (size_t i = 0; i < l->n; i++) free(l->path[i]);
    free(l->path);
    *l = (PathList){0};
}

/* ---- writing ---- */

static void hold_signals(sigset_t *before)
{
    sigset_t end;
    sigemptyset(&end);
    sigaddset(&end, SIGINT);
    sigaddset(&end, SIGTERM);
    sigaddset(&end, SIGHUP);
    sigprocmask(SIG_BLOCK, &end, before);
}

static bool create(NewFile *n, const char *path, DataError *e)
{
    char suffix[32];
    snprintf(suffix, sizeof suffix, "%ld.tmp", (long)getpid());
    n->path = strdup(path);
    n->temporary = join(path, ".", suffix);
    if (!n->path || !n->temporary) return data_fail(e, "%s: out of memory", path);
    n->f = fopen(n->temporary, "wbx");
    return n->f || data_fail(e, "%s: %s", n->temporary, strerror(errno));
}

bool file_create(const char *path, NewFile *out, DataError *e)
{
    *out = (NewFile){0};
    hold_signals(&out->before);
    if (create(out, path, e)) return true;
    sigprocmask(SIG_SETMASK, &out->before, NULL);
    free(out->path);
    free(out->temporary);
    return false;
}

bool file_commit(NewFile *n, bool good, DataError *e)
{
    /* the message of a failed write comes from here, where all of them end */
    bool written = !ferror(n->f);
    if (fclose(n->f) != 0) written = false;
    if (good && !written) good = data_fail(e, "%s: cannot write: %s", n->path, strerror(errno));
    if (good && rename(n->temporary, n->path) != 0)
        good = data_fail(e, "%s: %s", n->path, strerror(errno));
    if (!good) remove(n->temporary);
    free(n->path);
    free(n->temporary);
    sigprocmask(SIG_SETMASK, &n->before, NULL);
    return good;
}
