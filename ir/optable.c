/* SPDX-License-Identifier: Apache-2.0 */
/* The op table as data, and finding attributes by name. */
#include "graph.h"

#include <string.h>

#define NATTR(...) (int)(sizeof((AttrSpec[]){__VA_ARGS__}) / sizeof(AttrSpec))
const OpInfo op_info[OP_COUNT] = {
#define OP(name, nargs, cls, shape, vjp, eval, ...)                                                \
    [OP_##name] = {#name, nargs, cls, NATTR(__VA_ARGS__), {__VA_ARGS__}},
#include "ops.def"
#undef OP
};

Op op_by_name(const char *name)
{
    for (int op = 0; op < OP_COUNT; op++)
        if (!strcmp(op_info[op].name, name)) return (Op)op;
    return OP_COUNT;
}

const Attr *node_attr(const Node *n, const char *name)
{
    const OpInfo *info = &op_info[n->op];
    for (int i = 0; i < info->nattr; i++)
        if (!strcmp(info->attr[i].name, name)) return &n->attr[i];
    die("%s has no attribute %s", info->name, name);
}

int64_t node_int(const Node *n, const char *name)
{
    return node_attr(n, name)->i[0];
}
