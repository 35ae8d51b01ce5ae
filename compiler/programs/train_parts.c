/* SPDX-License-Identifier: Apache-2.0 */
/* The table of parts, and the text that chooses among them. */
#include "compiler/programs/train.h"

#include <string.h>

#include "compiler/adjoint.h"

/* The part that builds nothing. */
static void train_none(TrainStep *p)
{
    (void)p;
}

#define KIND(name, help)
#define PART(kind, name, builder, help) void train_##builder(TrainStep *);
#include "compiler/programs/train_parts.def"
#undef KIND
#undef PART

static const TrainPart parts[] = {
#define KIND(name, help)
#define PART(kind, name, builder, help) {KIND_##kind, name, train_##builder, help},
#include "compiler/programs/train_parts.def"
#undef KIND
#undef PART
};

static const char *const kinds[] = {
#define KIND(name, help) #name,
#define PART(kind, name, builder, help)
#include "compiler/programs/train_parts.def"
#undef KIND
#undef PART
};

static const TrainPart *find(int kind, const char *name)
{
    for (int i = 0; i < COUNT(parts); i++)
        if ((int)parts[i].kind == kind && (!name || !strcmp(parts[i].name, name))) return &parts[i];
    return NULL;
}

static const char *names(Arena *a, int kind)
{
    const char *list = "";
    for (int i = 0; i < COUNT(parts); i++)
        if ((int)parts[i].kind == kind)
            list = arena_printf(a, "%s%s%s", list, *list ? ", " : "", parts[i].name);
    return list;
}

static const char *kind_names(Arena *a)
{
    const char *list = kinds[0];
    for (int k = 1; k < KINDS; k++) list = arena_printf(a, "%s, %s", list, kinds[k]);
    return list;
}

static void choose(TrainStep *p, char *item)
{
    Arena *a = p->m->arena;
    char *name = strchr(item, '=');
    int k = 0;
    if (!name) err("--train", "%s is not KIND=PART", item);
    *name++ = 0;
    while (k < KINDS && strcmp(kinds[k], item)) k++;
    if (k == KINDS) err("--train", "unknown kind %s; there are: %s", item, kind_names(a));
    p->part[k] = find(k, name);
    if (!p->part[k]) err("--train", "%s=%s: there are: %s", item, name, names(a, k));
}

void train_parts_choose(TrainStep *p, const char *text)
{
    char *rest = arena_strdup(p->m->arena, text ? text : "");
    for (int k = 0; k < KINDS; k++) p->part[k] = find(k, NULL);
    for (char *item; (item = strsep(&rest, ","));)
        if (*item) choose(p, item);
}

/* ---- for who offers them ---- */

int adj_train_parts(const AdjTrainPart **out)
{
    static const AdjTrainPart all[] = {
#define KIND(name, help) {#name, NULL, help},
#define PART(kind, name, builder, help) {#kind, name, help},
#include "compiler/programs/train_parts.def"
#undef KIND
#undef PART
    };
    *out = all;
    return COUNT(all);
}
