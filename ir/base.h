/* SPDX-License-Identifier: Apache-2.0 */
/* Memory, errors and text, shared by the whole compiler. An arena is freed whole; err() is the
 * user's fault and unwinds to the nearest err_guard(); die() is ours and aborts. Nothing here is
 * global but the thread-local chain of guards. */
#ifndef ADJ_IR_BASE_H
#define ADJ_IR_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define COUNT(a) ((int)(sizeof(a) / sizeof((a)[0])))
#define PRINTF(f, a) __attribute__((format(printf, f, a)))

/* ---- arenas ---- */
typedef struct Arena Arena;
Arena *arena_new(void);
void arena_free(Arena *);
/* For tests: this thread's n-th allocation from now (0 is the next) fails with an err(); -1: none
 * does. */
void arena_fail_after(long n);
/* 16-byte aligned, zeroed. Never returns NULL: exhaustion is an err(). */
void *arena_alloc(Arena *, size_t bytes);
void *arena_dup(Arena *, const void *, size_t bytes);
char *arena_strdup(Arena *, const char *);
char *arena_printf(Arena *, const char *fmt, ...) PRINTF(2, 3);
#define NEW(a, T) ((T *)arena_alloc((a), sizeof(T)))
#define NEW_N(a, T, n) ((T *)arena_alloc((a), sizeof(T) * (size_t)(n)))

/* Grows an arena array so that index n is valid; the old block is left to the arena. */
#define GROW(a, ptr, n, cap)                                                                       \
    ((n) < (cap) ? (void)0 : (void)((ptr) = arena_grow((a), (ptr), sizeof *(ptr), (n), &(cap))))
void *arena_grow(Arena *, void *old, size_t item, uint32_t n, uint32_t *cap);

/* ---- errors ---- */
/* The user's model or option: one line, "where: message"; where may be NULL. Does not return. */
_Noreturn void err(const char *where, const char *fmt, ...) PRINTF(2, 3);
/* Runs fn(arg). False if it ended in err(), with the message in msg. Guards nest. */
bool err_guard(void (*fn)(void *), void *arg, char *msg, size_t size);
/* Releases p if the current guard unwinds before err_keep(p). */
void err_defer(void (*release)(void *), void *p);
void err_keep(void *p);

_Noreturn void die_at(const char *file, int line, const char *fmt, ...) PRINTF(3, 4);
#define die(...) die_at(__FILE__, __LINE__, __VA_ARGS__)
#define check(c) ((c) ? (void)0 : die("check failed: %s", #c))

/* ---- text ---- */
typedef struct Str { /* a growing string on the heap; NUL-terminated once anything is put */
    char *s;
    size_t n, cap;
} Str;
void str_put(Str *, const char *);
void str_fmt(Str *, const char *fmt, ...) PRINTF(2, 3);
void str_free(Str *);
/* Shortest decimal that reads back to the same double ("0.1", "inf", "nan", "-0"). */
void str_double(Str *, double);

/* ---- hashes ---- */
uint64_t hash_bytes(const void *, size_t n, uint64_t seed);

/* ---- checked sizes ---- */
bool mul_ok(int64_t a, int64_t b, int64_t *out); /* false on overflow or a negative operand */

#endif
