/* SPDX-License-Identifier: Apache-2.0 */
/* Arenas, errors and hashes. An arena is a list of zeroed chunks freed as a whole; under
 * AddressSanitizer every allocation is followed by a poisoned gap, so an overrun inside a chunk is
 * seen. err() formats its message into the nearest guard, releases what was deferred there and
 * jumps; the chain is per thread. */
#include "base.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#    define ADJ_ASAN 1
#elif defined(__has_feature)
#    if __has_feature(address_sanitizer)
#        define ADJ_ASAN 1
#    endif
#endif
#ifdef ADJ_ASAN
#    include <sanitizer/asan_interface.h>
enum { GAP = 16 };
#    define poison(p, n) ASAN_POISON_MEMORY_REGION(p, n)
#    define unpoison(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
#else
enum { GAP = 0 };
#    define poison(p, n) ((void)(p), (void)(n))
#    define unpoison(p, n) ((void)(p), (void)(n))
#endif

/* ---- arenas ---- */

typedef struct Chunk {
    struct Chunk *next;
    size_t size, used; /* of the bytes that follow */
} Chunk;

struct Arena {
    Chunk *head;
    size_t chunk; /* size of the next one: doubles up to a bound */
};

enum { ALIGN = 16, HEADER = 32, CHUNK_MIN = 1 << 14, CHUNK_MAX = 1 << 20 };
_Static_assert(sizeof(Chunk) <= HEADER, "chunk header");

static _Thread_local long fail_after = -1;

void arena_fail_after(long n)
{
    fail_after = n;
}

static bool must_fail(void)
{
    if (fail_after < 0) return false;
    return fail_after-- == 0;
}

Arena *arena_new(void)
{
    Arena *a = must_fail() ? NULL : calloc(1, sizeof *a);
    if (!a) err(NULL, "out of memory");
    a->chunk = CHUNK_MIN;
    return a;
}

static char *chunk_data(Chunk *c)
{
    return (char *)c + HEADER;
}

void arena_free(Arena *a)
{
    if (!a) return;
    for (Chunk *c = a->head, *next; c; c = next) {
        next = c->next;
        unpoison(chunk_data(c), c->size);
        free(c);
    }
    free(a);
}

static Chunk *chunk_new(size_t size)
{
    Chunk *c = calloc(1, HEADER + size);
    if (!c) err(NULL, "out of memory (%zu bytes wanted)", size);
    c->size = size;
    poison(chunk_data(c), size);
    return c;
}

/* A large request gets a chunk of its own, behind the head so that the head's rest stays in use. */
static Chunk *chunk_for(Arena *a, size_t need)
{
    Chunk *c = a->head;
    if (c && c->size - c->used >= need) return c;
    bool own = need > a->chunk / 4;
    c = chunk_new(own ? need : a->chunk);
    if (own && a->head) {
        c->next = a->head->next;
        a->head->next = c;
        return c;
    }
    c->next = a->head;
    a->head = c;
    if (!own && a->chunk < CHUNK_MAX) a->chunk *= 2;
    return c;
}

void *arena_alloc(Arena *a, size_t bytes)
{
    if (must_fail() || bytes > SIZE_MAX / 4) err(NULL, "out of memory (%zu bytes wanted)", bytes);
    size_t need = ((bytes ? bytes : 1) + ALIGN - 1) / ALIGN * ALIGN + GAP;
    Chunk *c = chunk_for(a, need);
    char *p = chunk_data(c) + c->used;
    c->used += need;
    unpoison(p, bytes);
    return p;
}

void *arena_dup(Arena *a, const void *src, size_t bytes)
{
    void *p = arena_alloc(a, bytes);
    if (bytes) memcpy(p, src, bytes);
    return p;
}

char *arena_strdup(Arena *a, const char *s)
{
    return arena_dup(a, s, strlen(s) + 1);
}

char *arena_printf(Arena *a, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0) die("bad format: %s", fmt);
    char *s = arena_alloc(a, (size_t)n + 1);
    vsnprintf(s, (size_t)n + 1, fmt, again);
    va_end(again);
    return s;
}

void *arena_grow(Arena *a, void *old, size_t item, uint32_t n, uint32_t *cap)
{
    uint32_t want = *cap ? *cap : 8;
    while (want <= n) {
        if (want > UINT32_MAX / 2) err(NULL, "out of memory (an array of %u items)", n);
        want *= 2;
    }
    void *p = arena_alloc(a, item * want);
    if (*cap) memcpy(p, old, item * *cap);
    *cap = want;
    return p;
}

/* ---- errors ---- */

typedef struct Defer {
    struct Defer *next;
    void (*release)(void *);
    void *p;
} Defer;

typedef struct Guard {
    struct Guard *up;
    Defer *defers;
    char *msg;
    size_t size;
    jmp_buf at;
} Guard;

static _Thread_local Guard *guard;

static void say(char *msg, size_t size, const char *where, const char *fmt, va_list ap)
{
    int n = where && *where ? snprintf(msg, size, "%s: ", where) : 0;
    if (n >= 0 && (size_t)n < size) vsnprintf(msg + n, size - (size_t)n, fmt, ap);
}

static void drop_defers(Guard *g, bool release)
{
    for (Defer *d = g->defers, *next; d; d = next) {
        next = d->next;
        if (release) d->release(d->p);
        free(d);
    }
    g->defers = NULL;
}

_Noreturn void err(const char *where, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    Guard *g = guard;
    if (!g) {
        char msg[1024];
        say(msg, sizeof msg, where, fmt, ap);
        fprintf(stderr, "adjoint: %s\n", msg);
        exit(1);
    }
    if (g->size) say(g->msg, g->size, where, fmt, ap);
    va_end(ap);
    guard = g->up;
    drop_defers(g, true);
    longjmp(g->at, 1);
}

bool err_guard(void (*fn)(void *), void *arg, char *msg, size_t size)
{
    Guard g = {.up = guard, .msg = msg, .size = msg ? size : 0};
    if (g.size) msg[0] = 0;
    guard = &g;
    if (setjmp(g.at)) return false; /* err() has already popped and released */
    fn(arg);
    guard = g.up;
    drop_defers(&g, false); /* it ended well: what was deferred is kept */
    return true;
}

void err_defer(void (*release)(void *), void *p)
{
    if (!guard) return;
    Defer *d = malloc(sizeof *d);
    if (!d) {
        release(p);
        err(NULL, "out of memory");
    }
    *d = (Defer){guard->defers, release, p};
    guard->defers = d;
}

void err_keep(void *p)
{
    if (!guard) return;
    for (Defer **d = &guard->defers; *d; d = &(*d)->next)
        if ((*d)->p == p) {
            Defer *dead = *d;
            *d = dead->next;
            free(dead);
            return;
        }
}

_Noreturn void die_at(const char *file, int line, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    fprintf(stderr, "adjoint: %s:%d: ", file, line);
    vfprintf(stderr, fmt, ap);
    fputc('\n', stderr);
    va_end(ap);
    abort();
}

/* ---- hashes and sizes ---- */

static uint64_t mix(uint64_t h, uint64_t w)
{
    h ^= w * 0x9e3779b97f4a7c15u;
    h = (h << 27 | h >> 37) * 0xbf58476d1ce4e5b9u;
    return h;
}

static uint64_t finish(uint64_t h)
{
    h = (h ^ h >> 31) * 0x94d049bb133111ebu;
    return h ^ h >> 29;
}

uint64_t hash_bytes(const void *data, size_t n, uint64_t seed)
{
    const unsigned char *p = data;
    uint64_t h = mix(seed, n), w;
    for (; n >= 8; p += 8, n -= 8) {
        memcpy(&w, p, 8);
        h = mix(h, w);
    }
    w = 0;
    if (n) {
        memcpy(&w, p, n);
        h = mix(h, w);
    }
    return finish(h);
}

bool mul_ok(int64_t a, int64_t b, int64_t *out)
{
    return a >= 0 && b >= 0 && !__builtin_mul_overflow(a, b, out);
}
