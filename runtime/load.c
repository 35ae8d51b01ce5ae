/* SPDX-License-Identifier: Apache-2.0 */
/* dlopen and lookups. Nothing of a library is used before its ABI version has been read. */
#include "load.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct AdjLoaded {
    void *library;
    const AdjModel *model;
};

/* A name without a slash would be searched for in the system's folders. */
static void *open_file(const char *path, char *msg, size_t size)
{
    size_t n = strlen(path) + 3;
    char *here = malloc(n);
    if (!here) return snprintf(msg, size, "%s: out of memory", path), NULL;
    snprintf(here, n, "%s%s", strchr(path, '/') ? "" : "./", path);
    void *library = dlopen(here, RTLD_NOW | RTLD_LOCAL);
    if (!library) snprintf(msg, size, "%s: %s", path, dlerror());
    free(here);
    return library;
}

static const AdjModel *find_model(void *library, const char *path, const char *prefix, char *msg,
                                  size_t size)
{
    char symbol[256];
    int n = snprintf(symbol, sizeof symbol, "%s_model", prefix);
    const AdjModel *m = n > 0 && n < (int)sizeof symbol ? dlsym(library, symbol) : NULL;
    if (!m) {
        snprintf(msg, size, "%s: no model %s_model in it", path, prefix);
    } else if (m->abi != ADJ_ABI_VERSION) {
        snprintf(msg, size, "%s: ABI version %u, this runtime has %u", path, (unsigned)m->abi,
                 ADJ_ABI_VERSION);
        m = NULL;
    }
    return m;
}

AdjLoaded *adj_load(const char *path, const char *prefix, char *msg, size_t size)
{
    AdjLoaded *l = calloc(1, sizeof *l);
    if (!l) return snprintf(msg, size, "%s: out of memory", path), NULL;
    l->library = open_file(path, msg, size);
    if (l->library) l->model = find_model(l->library, path, prefix, msg, size);
    if (l->model) return l;
    adj_unload(l);
    return NULL;
}

const AdjModel *adj_loaded_model(const AdjLoaded *l)
{
    return l->model;
}

void adj_unload(AdjLoaded *l)
{
    if (!l) return;
    if (l->library) dlclose(l->library);
    free(l);
}

/* ---- lookups ---- */

const AdjEntry *adj_entry(const AdjModel *m, const char *name)
{
    for (uint32_t i = 0; i < m->nentry; i++)
        if (!strcmp(m->entry[i].name, name)) return &m->entry[i];
    return NULL;
}

int adj_io(const AdjEntry *e, const char *name)
{
    for (int i = 0; i < e->nio; i++)
        if (!strcmp(e->io[i].name, name)) return i;
    return -1;
}

int adj_hyper(const AdjEntry *e, const char *name)
{
    for (int i = 0; i < e->nhyper; i++)
        if (!strcmp(e->hyper[i].name, name)) return i;
    return -1;
}

size_t adj_tensor_bytes(const AdjTensor *t)
{
    static const size_t bytes[] = {
        [ADJ_F64] = 8, [ADJ_F32] = 4, [ADJ_F16] = 2, [ADJ_BF16] = 2, [ADJ_I64] = 8,
        [ADJ_I32] = 4, [ADJ_I8] = 1,  [ADJ_U8] = 1,  [ADJ_BOOL] = 1};
    size_t n = bytes[t->dtype];
    for (int d = 0; d < t->rank; d++) n *= (size_t)t->dim[d];
    return n;
}
