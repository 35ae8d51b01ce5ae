/* SPDX-License-Identifier: Apache-2.0 */
/* Writes the files of the tests here into a folder: a small good model (flatten, then 3 logits of
 * 1x4x4 pixels), the same with one fault each or with more inputs, and .npy files. ONNX is protobuf, written here by
 * hand: a field is a varint of number * 8 + wire type, then a varint (type 0) or a length and bytes
 * (type 2). */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum {
    GOOD,
    UNKNOWN_OPERATOR,
    MISSING_INPUT,
    OVERFLOW,
    COUPLED,
    ROUNDED, /* no derivative */
    BESIDE,  /* none: x + round(x), whose derivative is that of x */
    SHAPED,  /* none: an input `shape` says what x is reshaped to */
    TWO      /* none: inputs x and shift, outputs logits and moved = x + shift */
} Fault;

typedef struct {
    unsigned char b[4096];
    size_t n;
} Message;

static void put_byte(Message *m, unsigned v)
{
    if (m->n == sizeof m->b) abort();
    m->b[m->n++] = (unsigned char)v;
}

static void put_varint(Message *m, uint64_t v)
{
    for (; v >= 128; v >>= 7) put_byte(m, (unsigned)(v & 127) | 128);
    put_byte(m, (unsigned)v);
}

static void put_number(Message *m, unsigned field, uint64_t v)
{
    put_varint(m, field * 8);
    put_varint(m, v);
}

static void put_bytes(Message *m, unsigned field, const void *p, size_t n)
{
    put_varint(m, field * 8 + 2);
    put_varint(m, n);
    for (size_t i = 0; i < n; i++) put_byte(m, ((const unsigned char *)p)[i]);
}

static void put_text(Message *m, unsigned field, const char *s)
{
    put_bytes(m, field, s, strlen(s));
}

static void put_message(Message *m, unsigned field, const Message *inner)
{
    put_bytes(m, field, inner->b, inner->n);
}

/* ---- ONNX ---- */

/* NodeProto: input 1, output 2, name 3, op_type 4 */
static void put_node(Message *graph, const char *op, const char *inputs[], const char *output)
{
    Message node = {.n = 0};
    for (; *inputs; inputs++) put_text(&node, 1, *inputs);
    put_text(&node, 2, output);
    put_text(&node, 3, op);
    put_text(&node, 4, op);
    put_message(graph, 1, &node);
}

/* TensorProto: dims 1, data_type 2 (1: float), name 8, raw_data 9 */
static void put_initializer(Message *graph, const char *name, uint64_t rows, uint64_t columns,
                            size_t elements)
{
    Message tensor = {.n = 0};
    float v[64];
    for (size_t i = 0; i < elements; i++) v[i] = (float)i / 64;
    if (rows) put_number(&tensor, 1, rows);
    put_number(&tensor, 1, columns);
    put_number(&tensor, 2, 1);
    put_text(&tensor, 8, name);
    put_bytes(&tensor, 9, v, elements * sizeof *v);
    put_message(graph, 5, &tensor);
}

/* ValueInfoProto: name 1, type 2 { tensor_type 1 { elem_type 1, shape 2 { dim 1 } } }, where a dim
 * is value 1 or param 2; the first extent is the batch, 0 ends the others */
static void put_value(Message *graph, unsigned field, const char *name, const uint64_t *dims)
{
    Message value = {.n = 0}, type = {.n = 0}, tensor = {.n = 0}, shape = {.n = 0}, dim = {.n = 0};
    put_text(&dim, 2, "N");
    put_message(&shape, 1, &dim);
    for (; *dims; dims++) {
        dim.n = 0;
        put_number(&dim, 1, *dims);
        put_message(&shape, 1, &dim);
    }
    put_number(&tensor, 1, 1);
    put_message(&tensor, 2, &shape);
    put_message(&type, 1, &tensor);
    put_text(&value, 1, name);
    put_message(&value, 2, &type);
    put_message(graph, field, &value);
}

/* A value i64[n]. */
static void put_shape_value(Message *graph, const char *name, uint64_t n)
{
    Message value = {.n = 0}, type = {.n = 0}, tensor = {.n = 0}, shape = {.n = 0}, dim = {.n = 0};
    put_number(&dim, 1, n);
    put_message(&shape, 1, &dim);
    put_number(&tensor, 1, 7);
    put_message(&tensor, 2, &shape);
    put_message(&type, 1, &tensor);
    put_text(&value, 1, name);
    put_message(&value, 2, &type);
    put_message(graph, 11, &value);
}

/* GraphProto: node 1, name 2, initializer 5, input 11, output 12 */
static Message make_graph(Fault fault)
{
    Message graph = {.n = 0};
    static const char *const images[TWO + 1] = {
        [COUPLED] = "centred", [TWO] = "moved", [ROUNDED] = "rounded", [BESIDE] = "both"};
    const char *image = images[fault] ? images[fault] : "x";
    const char *flatten[] = {image, fault == SHAPED ? "shape" : NULL, NULL};
    const char *add[] = {"x", "shift", NULL};
    const char *flat = fault == SHAPED ? "Reshape" : "Flatten";
    const char *mean[] = {"x", NULL}, *less[] = {"x", "mean", NULL};
    const char *both[] = {"x", "rounded", NULL};
    const char *gemm[] = {"flat", fault == MISSING_INPUT ? "nowhere" : "w", "b", NULL};
    if (fault == COUPLED) {
        put_node(&graph, "ReduceMean", mean, "mean"); /* over all axes */
        put_node(&graph, "Sub", less, "centred");
    }
    if (fault == TWO) put_node(&graph, "Add", add, "moved");
    if (fault == ROUNDED || fault == BESIDE) put_node(&graph, "Round", mean, "rounded");
    if (fault == BESIDE) put_node(&graph, "Add", both, "both");
    put_node(&graph, fault == UNKNOWN_OPERATOR ? "Frobnicate" : flat, flatten, "flat");
    put_node(&graph, "Gemm", gemm, "logits");
    put_text(&graph, 2, "small");
    if (fault == OVERFLOW)
        put_initializer(&graph, "w", UINT64_C(1) << 40, UINT64_C(1) << 40, 48);
    else
        put_initializer(&graph, "w", 16, 3, 48);
    put_initializer(&graph, "b", 0, 3, 3);
    put_value(&graph, 11, "x", (const uint64_t[]){1, 4, 4, 0});
    if (fault == SHAPED) put_shape_value(&graph, "shape", 2);
    if (fault == TWO) put_value(&graph, 11, "shift", (const uint64_t[]){1, 4, 4, 0});
    put_value(&graph, 12, "logits", (const uint64_t[]){3, 0});
    if (fault == TWO) put_value(&graph, 12, "moved", (const uint64_t[]){1, 4, 4, 0});
    return graph;
}

/* ModelProto: ir_version 1, graph 7, opset_import 8 { version 2 } */
static Message make_model(Fault fault)
{
    Message model = {.n = 0}, opset = {.n = 0}, graph = make_graph(fault);
    put_number(&model, 1, 8);
    put_number(&opset, 2, 13);
    put_message(&model, 8, &opset);
    put_message(&model, 7, &graph);
    return model;
}

/* ---- files ---- */

static void write_file(const char *folder, const char *name, const void *p, size_t n)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(p, 1, n, f) != n || fclose(f)) {
        fprintf(stderr, "make_bad: %s cannot be written\n", path);
        exit(1);
    }
}

static void write_model(const char *folder, const char *name, Fault fault)
{
    Message m = make_model(fault);
    write_file(folder, name, m.b, m.n);
}

static void write_npy(const char *folder, const char *name, const char *descr, const char *shape,
                      const void *data, size_t bytes)
{
    unsigned char file[1024];
    int n = snprintf((char *)file + 10, 118,
                     "{'descr': '%s', 'fortran_order': False, 'shape': %s, }", descr, shape);
    memcpy(file, "\x93NUMPY\x01\x00\x76\x00", 10); /* a header of 118 bytes */
    memset(file + 10 + n, ' ', 118 - (size_t)n);
    file[127] = '\n';
    memcpy(file + 128, data, bytes);
    write_file(folder, name, file, 128 + bytes);
}

static void write_data(const char *folder)
{
    float pixels[50];
    const int64_t labels[] = {0, 1}, bad[] = {0, 99};
    for (int i = 0; i < 50; i++) pixels[i] = 0.5f;
    write_npy(folder, "images.npy", "<f4", "(2, 1, 4, 4)", pixels, 32 * sizeof *pixels);
    write_npy(folder, "three.npy", "<f4", "(3, 1, 4, 4)", pixels, 48 * sizeof *pixels);
    write_npy(folder, "wide.npy", "<f4", "(2, 1, 5, 5)", pixels, 50 * sizeof *pixels);
    write_npy(folder, "shape.npy", "<i8", "(2,)", (const int64_t[]){-1, 16}, 16);
    write_npy(folder, "wide_shape.npy", "<i8", "(3,)", (const int64_t[]){-1, 16, 1}, 24);
    write_npy(folder, "labels.npy", "<i8", "(2,)", labels, sizeof labels);
    write_npy(folder, "beyond.npy", "<i8", "(2,)", bad, sizeof bad);
    double start[32];
    for (int i = 0; i < 32; i++) start[i] = 0.5 + 1e-12;
    write_npy(folder, "start.npy", "<f8", "(2, 1, 4, 4)", start, sizeof start);
    pixels[17] = 1.5f;
    write_npy(folder, "bright.npy", "<f4", "(2, 1, 4, 4)", pixels, 32 * sizeof *pixels);
}

/* TensorProto: dims 1, data_type 2 (7: int64), raw_data 9 */
static void write_shape(const char *folder, const char *name, int64_t rows, int64_t columns)
{
    Message tensor = {.n = 0};
    const int64_t v[] = {rows, columns};
    put_number(&tensor, 1, 2);
    put_number(&tensor, 2, 7);
    put_bytes(&tensor, 9, v, sizeof v);
    write_file(folder, name, tensor.b, tensor.n);
}

int main(int argc, char **argv)
{
    static const char prose[] = "This is a letter, and no model.\n";
    if (argc != 2) return 2;
    Message good = make_model(GOOD);
    write_file(argv[1], "good.onnx", good.b, good.n);
    write_file(argv[1], "truncated.onnx", good.b, good.n / 2);
    write_file(argv[1], "prose.onnx", prose, sizeof prose - 1);
    write_model(argv[1], "operator.onnx", UNKNOWN_OPERATOR);
    write_model(argv[1], "missing.onnx", MISSING_INPUT);
    write_model(argv[1], "overflow.onnx", OVERFLOW);
    write_model(argv[1], "rounded.onnx", ROUNDED);
    write_model(argv[1], "beside.onnx", BESIDE);
    write_model(argv[1], "coupled.onnx", COUPLED);
    write_model(argv[1], "shaped.onnx", SHAPED);
    write_model(argv[1], "two.onnx", TWO);
    write_shape(argv[1], "shape.pb", -1, 16);
    write_data(argv[1]);
    return 0;
}
