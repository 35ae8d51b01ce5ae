/* SPDX-License-Identifier: Apache-2.0 */
/* Every entry on a thread whose stack is painted: what it dirties is at most stack_bytes, and at
 * least half of it. */
#include <pthread.h>

#include "call.h"

enum { STACK = 256 << 10, PAINT = 0xa5, N = 11 };

static unsigned char *stack;
static const AdjEntry *entry;
static AdjCall call;
static unsigned char *top; /* the stack pointer at the call */
static size_t used;
static int code;

static int find_top(const AdjEnv *env, const AdjCall *c)
{
    (void)env, (void)c;
    top = __builtin_dwarf_cfa();
    return 0;
}

/* The same call twice: first of a function that says where it stands. */
static void *measure(void *unused)
{
    AdjFn run[2];
    unsigned char *p;
    int i;
    run[0] = find_top;
    run[1] = entry->run;
    for (i = 0; i < 2; i++) {
        code = ((AdjFn volatile *)run)[i](NULL, &call);
        if (!i)
            for (p = stack; p < top; p++) *(unsigned char volatile *)p = PAINT;
    }
    for (p = stack; *p == PAINT;) p++;
    used = (size_t)(top - p);
    return unused;
}

static size_t run_measured(const AdjEntry *e)
{
    pthread_t thread;
    pthread_attr_t attr;
    entry = e;
    pthread_attr_init(&attr);
    if (pthread_attr_setstack(&attr, stack, STACK) || pthread_create(&thread, &attr, measure, NULL))
        exit(2);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attr);
    return used;
}

static int check_entry(const AdjEntry *e)
{
    Io io = make_io(e, N);
    size_t real;
    int bad;
    call = make_call(e, &io, N);
    real = run_measured(e);
    bad = code != 0 || real > e->stack_bytes || 2 * real < e->stack_bytes;
    printf("%s %s: returned %d, claims %lu bytes of stack, used %lu\n", bad ? "BAD " : "good",
           e->name, code, (unsigned long)e->stack_bytes, (unsigned long)real);
    free_call(&io, &call);
    return bad;
}

int main(void)
{
    uint32_t i;
    int bad = 0;
    stack = buffer(STACK);
    for (i = 0; i < m_model.nentry; i++) bad += check_entry(&m_model.entry[i]);
    return bad != 0;
}
