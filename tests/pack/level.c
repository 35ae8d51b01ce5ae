/* SPDX-License-Identifier: Apache-2.0 */
/* level IN.onnx VALUE OUT.onnx: every float initializer becomes VALUE throughout, and gets another
 * name. Ones and zeros are what a compiler would simplify if it looked at them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler/onnx_model.h"
#include "onnx.pb-c.h"

static void set_all(Onnx__TensorProto *t, float value)
{
    if (t->data_type != 1) return; /* FLOAT */
    for (size_t i = 0; i < t->n_float_data; i++) t->float_data[i] = value;
    for (size_t at = 0; t->has_raw_data && at + 4 <= t->raw_data.len; at += 4)
        memcpy(t->raw_data.data + at, &value, 4);
}

static void rename_reads(Arena *a, Onnx__GraphProto *g, const char *name)
{
    for (size_t i = 0; i < g->n_node; i++)
        for (size_t k = 0; k < g->node[i]->n_input; k++)
            if (!strcmp(g->node[i]->input[k], name))
                g->node[i]->input[k] = arena_printf(a, "other.%s", name);
}

static bool write_model(Arena *a, const Onnx__ModelProto *m, const char *path)
{
    size_t n = onnx__model_proto__get_packed_size(m);
    uint8_t *bytes = arena_alloc(a, n);
    FILE *f = fopen(path, "wb");
    onnx__model_proto__pack(m, bytes);
    return f && fwrite(bytes, 1, n, f) == n && !fclose(f);
}

int main(int argc, char **argv)
{
    if (argc != 4) return 2;
    Arena *a = arena_new();
    Onnx__ModelProto *m = onnx_load(a, argv[1]);
    for (size_t i = 0; i < m->graph->n_initializer; i++) {
        Onnx__TensorProto *t = m->graph->initializer[i];
        set_all(t, strtof(argv[2], NULL));
        rename_reads(a, m->graph, t->name);
        t->name = arena_printf(a, "other.%s", t->name);
    }
    bool ok = write_model(a, m, argv[3]);
    arena_free(a);
    return !ok;
}
