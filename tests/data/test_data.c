/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of tools/data: writes small files of each format into a temporary folder, reads them back,
 * then cuts and damages them. With ADJ_SHARED=<folder of the shared data> also a real test set.
 * Every failure must be one line that names the file. */
#define _XOPEN_SOURCE 700
#include <ftw.h>
#include <lzma.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <jpeglib.h>

#include "tools/data/data.h"
#include "tools/data/npy.h"
#include "tools/data/png_write.h"

static int passed, failed;
static char root[256];

static void check_at(bool ok, int line, const char *what)
{
    if (ok) {
        passed++;
    } else {
        failed++;
        printf("test_data.c:%d: %s\n", line, what);
    }
}

#define CHECK(x) check_at((x), __LINE__, #x)

/* ---- making files ---- */

/* A path in the temporary folder; four may be in use at a time. */
static const char *at(const char *name)
{
    static char paths[4][512];
    static int next;
    char *p = paths[next++ % 4];
    snprintf(p, sizeof paths[0], "%s/%s", root, name);
    return p;
}

static void put(const char *name, const void *bytes, size_t n)
{
    FILE *f = fopen(at(name), "wb");
    if (!f || fwrite(bytes, 1, n, f) != n || fclose(f) != 0) {
        perror(at(name));
        exit(1);
    }
}

static void put_gz(const char *name, const void *bytes, size_t n)
{
    gzFile f = gzopen(at(name), "wb");
    CHECK(f && gzwrite(f, bytes, (unsigned)n) == (int)n && gzclose(f) == Z_OK);
}

static void put_xz(const char *name, const void *bytes, size_t n)
{
    size_t used = 0, size = lzma_stream_buffer_bound(n);
    uint8_t *out = malloc(size);
    CHECK(lzma_easy_buffer_encode(1, LZMA_CHECK_CRC32, NULL, bytes, n, out, &used, size) ==
          LZMA_OK);
    put(name, out, used);
    free(out);
}

static void put_jpeg(const char *name, unsigned width, unsigned height, int channels, int value)
{
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr err;
    FILE *f = fopen(at(name), "wb");
    uint8_t *row = malloc((size_t)width * (size_t)channels);
    c.err = jpeg_std_error(&err);
    jpeg_create_compress(&c);
    jpeg_stdio_dest(&c, f);
    c.image_width = width;
    c.image_height = height;
    c.input_components = channels;
    c.in_color_space = channels == 4 ? JCS_CMYK : channels == 3 ? JCS_RGB : JCS_GRAYSCALE;
    jpeg_set_defaults(&c);
    jpeg_start_compress(&c, TRUE);
    memset(row, value, (size_t)width * (size_t)channels);
    for (unsigned y = 0; y < height; y++) jpeg_write_scanlines(&c, &row, 1);
    jpeg_finish_compress(&c);
    jpeg_destroy_compress(&c);
    free(row);
    fclose(f);
}

static void put_png(const char *name, int height, int width, int channels, int first)
{
    uint8_t p[4096];
    for (int i = 0; i < height * width * channels; i++) p[i] = (uint8_t)(first + i);
    CHECK(png_write(at(name), height, width, channels, p, NULL));
}

static void folder(const char *name)
{
    CHECK(mkdir(at(name), 0777) == 0);
}

/* An .npy file whose header is given, padded to whole 64 bytes, with n zero bytes of data. */
static void put_npy_header(const char *name, const char *dictionary, size_t n)
{
    uint8_t p[1024] = "\x93NUMPY\x01";
    size_t used = strlen(dictionary);
    memset(p + 10, ' ', 118);
    memcpy(p + 10, dictionary, used);
    p[127] = '\n';
    p[8] = 118;
    put(name, p, 128 + n);
}

/* Reads a whole file. */
static uint8_t *get(const char *name, size_t *n)
{
    uint8_t *p = malloc(1 << 20);
    FILE *f = fopen(at(name), "rb");
    *n = f ? fread(p, 1, 1 << 20, f) : 0;
    if (f) fclose(f);
    return p;
}

/* ---- expectations ---- */

/* Opens and reads everything; the message of the first failure is in *e. */
static bool read_all(const char *path, const char *labels, DataError *e)
{
    Data *d = data_open(path, labels, e);
    if (!d) return false;
    int64_t shape[DATA_MAX_RANK], n = data_count(d);
    for (int r = data_shape(d, shape); r > 0; r--) n *= shape[r - 1];
    float *x = malloc((size_t)n * sizeof *x);
    bool ok = data_read_f32(d, 0, data_count(d), x, e);
    free(x);
    data_close(d);
    return ok;
}

static void fails_at(int line, const char *path, const char *labels, const char *named,
                     const char *why)
{
    DataError e = {""};
    bool ok = !read_all(path, labels, &e);
    ok = ok && strstr(e.msg, named) && strstr(e.msg, why) && !strchr(e.msg, '\n');
    check_at(ok, line, ok ? "" : e.msg[0] ? e.msg : "no error");
}

/* Reading fails with a line that has the file's path and the words `why`. */
#define FAILS(name, why) fails_at(__LINE__, at(name), NULL, at(name), why)
#define FAILS_LABELS(name, labels, why) fails_at(__LINE__, at(name), at(labels), at(labels), why)
#define FAILS_IN(name, culprit, why) fails_at(__LINE__, at(name), NULL, at(culprit), why)

static Data *open_ok(const char *name, const char *labels)
{
    DataError e = {""};
    Data *d = data_open(at(name), labels ? at(labels) : NULL, &e);
    CHECK(d != NULL);
    if (d) return d;
    printf("%s\n", e.msg);
    exit(1);
}

static bool has_shape(const Data *d, int64_t count, int rank, const int64_t *want)
{
    int64_t shape[DATA_MAX_RANK];
    return data_count(d) == count && data_shape(d, shape) == rank &&
           !memcmp(shape, want, (size_t)rank * sizeof *want);
}

#define SHAPE(...)                                                                                 \
    (int64_t[])                                                                                    \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }

static bool labels_are(const Data *d, const int64_t *want)
{
    int64_t got[16], n = data_count(d);
    return data_labels(d, 0, n, got, NULL) && !memcmp(got, want, (size_t)n * sizeof *got);
}

/* A generator of damage; the same on each run. */
static uint32_t random_below(uint32_t n)
{
    static uint32_t state = 1;
    state = state * 1664525 + 1013904223;
    return (state >> 8) % n;
}

/* Reads the bytes as a file of the kind; true if that works or the message names the file. */
static bool survives(const char *kind, const uint8_t *p, size_t n, bool *reads)
{
    char name[64];
    DataError e = {""};
    snprintf(name, sizeof name, "torture%s", kind);
    put(name, p, n);
    *reads = read_all(at(name), NULL, &e);
    return *reads || strstr(e.msg, at(name));
}

/* Each proper prefix, shorter than `most` bytes, fails to read. */
static void test_cuts(const char *name, size_t most)
{
    size_t n;
    uint8_t *p = get(name, &n);
    bool ok = true, reads;
    for (size_t cut = 0; cut < n && cut < most; cut++)
        ok = ok && survives(strchr(name, '.'), p, cut, &reads) && !reads;
    check_at(ok, __LINE__, name);
    free(p);
}

/* One to three flipped bits, mostly in the head, do no worse than an error. */
static void test_flips(const char *name)
{
    size_t n;
    uint8_t *p = get(name, &n), *damaged = malloc(n);
    bool ok = true, reads;
    for (int i = 0; i < 1000; i++) {
        memcpy(damaged, p, n);
        uint32_t range = n > 160 && i % 4 ? 160 : (uint32_t)n;
        for (int k = i % 3; k >= 0; k--) damaged[random_below(range)] ^= 1 << random_below(8);
        ok = ok && survives(strchr(name, '.'), damaged, n, &reads);
    }
    check_at(ok, __LINE__, name);
    free(damaged);
    free(p);
}

static void torture(const char *name, size_t most)
{
    test_cuts(name, most);
    test_flips(name);
}

/* ---- .npy ---- */

static void test_npy_types(void)
{
    static const uint16_t half[6] = {0x3c00, 0xc000, 0x0001, 0x7bff, 0x7c00, 0x0400};
    static const float want[6] = {1, -2, 0x1p-24f, 65504, INFINITY, 0x1p-14f};
    const int32_t i32[6] = {1, -2, 3, 4, 5, 6};
    const uint8_t u8[6] = {0, 1, 2, 127, 254, 255};
    float x[6];
    double y[6];
    CHECK(npy_write(at("half.npy"), NPY_F16, 2, SHAPE(2, 3), half, NULL));
    CHECK(npy_write(at("i32.npy"), NPY_I32, 3, SHAPE(2, 1, 3), i32, NULL));
    CHECK(npy_write(at("u8.npy"), NPY_U8, 2, SHAPE(2, 3), u8, NULL));
    Data *d = open_ok("half.npy", NULL);
    CHECK(has_shape(d, 2, 1, SHAPE(3)) && data_read_f32(d, 0, 2, x, NULL));
    CHECK(!memcmp(x, want, sizeof x) && !data_is_bytes(d) && !data_has_labels(d));
    data_close(d);
    d = open_ok("i32.npy", NULL);
    CHECK(has_shape(d, 2, 2, SHAPE(1, 3)) && data_read_f64(d, 1, 1, y, NULL) && y[2] == 6);
    data_close(d);
    d = open_ok("u8.npy", NULL);
    CHECK(data_is_bytes(d) && data_read_f32(d, 0, 2, x, NULL) && data_read_f64(d, 0, 2, y, NULL));
    CHECK(x[3] == 127 / 255.0f && y[3] == 127 / 255.0 && x[5] == 1 && y[0] == 0);
    data_close(d);
}

static void test_npy_arrays(void)
{
    const double x[4] = {1.5, -2, 1e300, 0};
    NpyArray a;
    CHECK(npy_write(at("f64.npy"), NPY_F64, 1, SHAPE(4), x, NULL) && !access(at("f64.npy"), R_OK));
    CHECK(npy_read(at("f64.npy"), &a, NULL) && a.type == NPY_F64 && a.rank == 1);
    CHECK(a.elements == 4 && !memcmp(a.data, x, sizeof x));
    npy_free(&a);
    CHECK(npy_write(at("scalar.npy"), NPY_F64, 0, NULL, x, NULL));
    CHECK(npy_read(at("scalar.npy"), &a, NULL) && a.rank == 0 && a.elements == 1);
    npy_free(&a);
    CHECK(npy_write(at("empty.npy"), NPY_F32, 3, SHAPE(0, 3, 4), NULL, NULL));
    CHECK(npy_read(at("empty.npy"), &a, NULL) && a.elements == 0 && a.shape[2] == 4);
    npy_free(&a);
    FAILS("scalar.npy", "scalar");
    FAILS("empty.npy", "empty");
    DataError e = {""};
    CHECK(!npy_write(at("no/such/folder.npy"), NPY_F64, 1, SHAPE(4), x, &e));
    CHECK(strstr(e.msg, "no/such/folder.npy") != NULL);
    CHECK(!npy_write(at("negative.npy"), NPY_F64, 1, SHAPE(-1), x, &e));
}

/* Two arrays in a file, by name; the same arrays give the same bytes. */
static void test_npz(void)
{
    const float a[3] = {1, 2.5f, -3};
    const int8_t b[2] = {-7, 9};
    const NpzMember both[] = {{"a", NPY_F32, 1, {3}, a}, {"b/1", NPY_I8, 2, {2, 1}, b}};
    NpyArray x, y;
    DataError e = {""};
    CHECK(npz_write(at("two.npz"), 2, both, NULL) && npz_write(at("again.npz"), 2, both, NULL));
    CHECK(npz_probe(at("two.npz")) && !npz_probe(at("f64.npy")) && !npz_probe(at("absent")));
    CHECK(npz_read(at("two.npz"), "a", &x, NULL) && x.type == NPY_F32 && x.elements == 3);
    CHECK(npz_read(at("two.npz"), "b/1", &y, NULL) && y.type == NPY_I8 && y.rank == 2);
    CHECK(!memcmp(x.data, a, sizeof a) && !memcmp(y.data, b, sizeof b));
    npy_free(&x);
    npy_free(&y);
    CHECK(!npz_read(at("two.npz"), "c", &x, &e) && strstr(e.msg, "two.npz") && !x.data);
    CHECK(npz_write(at("one.npz"), 1, both, NULL) && npz_read(at("one.npz"), "any", &x, NULL));
    npy_free(&x);
    CHECK(!npz_write(at("no/folder.npz"), 2, both, &e) && strstr(e.msg, "folder.npz"));
    CHECK(!npz_read(at("absent.npz"), "a", &x, &e) && strstr(e.msg, "absent.npz"));
}

static size_t take_file(const char *name, uint8_t *out, size_t size)
{
    FILE *f = fopen(at(name), "rb");
    size_t n = f ? fread(out, 1, size, f) : 0;
    if (f) fclose(f);
    return n;
}

/* Cut anywhere it is refused; with a byte changed it is refused or read, and nothing worse. */
static void test_npz_hostile(void)
{
    uint8_t file[2048], other[2048];
    size_t n = take_file("two.npz", file, sizeof file);
    NpyArray x;
    CHECK(n > 400 && n == take_file("again.npz", other, sizeof other) && !memcmp(file, other, n));
    for (size_t cut = 0; cut < n; cut += 7) {
        DataError e = {""};
        put("cut.npz", file, cut);
        bool ok = npz_read(at("cut.npz"), "b/1", &x, &e);
        if (ok || !strstr(e.msg, "cut.npz")) CHECK(!"a cut file is refused by name");
    }
    for (size_t i = 0; i < n; i++) {
        file[i] ^= 0x55;
        put("flip.npz", file, n);
        if (npz_read(at("flip.npz"), "b/1", &x, NULL)) npy_free(&x);
        file[i] ^= 0x55;
    }
}

#define HEADER(descr, order, shape)                                                                \
    "{'descr': '" descr "', 'fortran_order': " order ", 'shape': " shape ", }"

static void test_npy_hostile(void)
{
    put_npy_header("h.npy", HEADER("<f4", "False", "(2, 3)"), 24);
    CHECK(read_all(at("h.npy"), NULL, NULL));
    put_npy_header("h.npy", "{\"shape\":(2,3),\"fortran_order\":False,\"descr\":\"<f4\"}", 24);
    CHECK(read_all(at("h.npy"), NULL, NULL));
    static const struct {
        const char *header, *why;
    } rows[] = {
        {HEADER("<f4", "True", "(2, 3)"), "Fortran order"},
        {HEADER(">f4", "False", "(2, 3)"), "element type"},
        {HEADER("|O", "False", "(2, 3)"), "element type"},
        {HEADER("<f4", "False", "(2, 4)"), "truncated"},
        {HEADER("<f4", "False", "(4294967296, 4294967296)"), "overflow"},
        {HEADER("<f4", "False", "(9223372036854775807, 1)"), "overflow"},
        {HEADER("<f4", "False", "(9223372036854775808, 1)"), "header"},
        {HEADER("<f4", "False", "(2305843009213693951, )"), "truncated"},
        {HEADER("<f4", "False", "(-2, -3)"), "header"},
        {HEADER("<f4", "False", "(1,1,1,1,1,1,1,1,6)"), "header"},
        {HEADER("<f4", "Maybe", "(2, 3)"), "header"},
        {"{'descr': '<f4', 'shape': (2, 3)}", "header"},
        {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}", "header"},
        {"{'descr': '<f4", "header"},
        {"", "header"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        put_npy_header("h.npy", rows[i].header, 24);
        FAILS("h.npy", rows[i].why);
    }
    put("h.npy", "\x93NUMPY\x02\x00\xff\xff\xff\xff", 12);
    FAILS("h.npy", "header");
    torture("i32.npy", 4096);
}

/* ---- IDX ---- */

static const uint8_t idx_images[] = {0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 2,  0,  0,
                                     0, 2, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 255};
static const uint8_t idx_labels[] = {0, 0, 8, 1, 0, 0, 0, 3, 7, 0, 9};

static void test_idx(void)
{
    float x[4];
    put_gz("t-images-idx3-ubyte.gz", idx_images, sizeof idx_images);
    put_gz("t-labels-idx1-ubyte.gz", idx_labels, sizeof idx_labels);
    put("t-images-idx3-ubyte", idx_images, sizeof idx_images);
    put("t.idx", idx_images, sizeof idx_images);
    Data *d = open_ok("t-images-idx3-ubyte.gz", NULL);
    CHECK(has_shape(d, 3, 2, SHAPE(2, 2)) && data_is_bytes(d) && !data_is_hwc(d));
    CHECK(data_read_f32(d, 2, 1, x, NULL) && x[0] == 9 / 255.0f && x[3] == 1);
    CHECK(data_has_labels(d) && labels_are(d, SHAPE(7, 0, 9)));
    data_close(d);
    d = open_ok("t-images-idx3-ubyte", NULL);
    CHECK(!data_has_labels(d));
    data_close(d);
    torture("t-images-idx3-ubyte.gz", 4096);
    torture("t.idx", 4096);
}

static void test_idx_hostile(void)
{
    uint8_t p[sizeof idx_images];
    memcpy(p, idx_images, sizeof p);
    memset(p + 4, 0xff, 12);
    put("idx", p, sizeof p);
    FAILS("idx", "overflow");
    memcpy(p, idx_images, sizeof p);
    p[7] = 4;
    put("idx", p, sizeof p);
    FAILS("idx", "16 bytes of data, 12 are there");
    p[2] = 0x0d;
    put("idx", p, sizeof p);
    FAILS("idx", "only bytes");
    put("idx", "\0\0\x08\x09", 4);
    FAILS("idx", "known format");
}

/* ---- CIFAR-10 ---- */

static void make_records(uint8_t *p, int n, int first_label)
{
    for (int i = 0; i < n; i++) {
        memset(p + i * 3073, 10 * (first_label + i), 3073);
        p[i * 3073] = (uint8_t)(first_label + i);
    }
}

static void test_cifar(void)
{
    static uint8_t p[3 * 3073];
    static double x[3072];
    folder("cifar");
    make_records(p, 3, 4);
    put_xz("cifar/data_batch_2.bin.xz", p, sizeof p);
    put("cifar/test_batch.bin", p, 3073);
    make_records(p, 2, 1);
    put("cifar/data_batch_1.bin", p, 2 * 3073);
    put("cifar/batches.meta.txt", "airplane\n", 9);
    Data *d = open_ok("cifar", NULL);
    CHECK(has_shape(d, 5, 3, SHAPE(3, 32, 32)) && labels_are(d, SHAPE(1, 2, 4, 5, 6)));
    CHECK(data_read_f64(d, 3, 1, x, NULL) && x[0] == 50 / 255.0 && x[3071] == 50 / 255.0);
    data_close(d);
    d = open_ok("cifar/data_batch_2.bin.xz", NULL);
    CHECK(labels_are(d, SHAPE(4, 5, 6)));
    data_close(d);
    remove(at("cifar/data_batch_1.bin"));
    remove(at("cifar/data_batch_2.bin.xz"));
    d = open_ok("cifar", NULL);
    CHECK(labels_are(d, SHAPE(4)));
    data_close(d);
    put("cifar/data_batch_3.bin", p, 100);
    FAILS_IN("cifar", "cifar/data_batch_3.bin", "whole CIFAR-10 records");
    p[3073] = 10;
    put("cifar/data_batch_3.bin", p, sizeof p);
    FAILS_IN("cifar", "cifar/data_batch_3.bin", "record 1 has label 10");
    put_xz("c.bin.xz", p, 3073);
    torture("c.bin.xz", 4096);
}

/* ---- images ---- */

static void test_png(void)
{
    float x[60];
    put_png("rgb.png", 4, 5, 3, 100);
    put_png("grey.png", 2, 2, 1, 0);
    Data *d = open_ok("rgb.png", NULL);
    CHECK(has_shape(d, 1, 3, SHAPE(4, 5, 3)) && data_is_hwc(d) && data_is_bytes(d));
    CHECK(data_read_f32(d, 0, 1, x, NULL) && x[0] == 100 / 255.0f && x[59] == 159 / 255.0f);
    data_close(d);
    d = open_ok("grey.png", NULL);
    CHECK(has_shape(d, 1, 3, SHAPE(2, 2, 1)) && data_read_f32(d, 0, 1, x, NULL));
    CHECK(x[3] == 3 / 255.0f);
    data_close(d);
    torture("rgb.png", 60);
    CHECK(!png_write(at("x.png"), 2, 2, 2, (const uint8_t *)"12345678", NULL));
    CHECK(!png_write(at("x.png"), 0, 2, 1, (const uint8_t *)"12345678", NULL));
    size_t n;
    uint8_t *p = get("rgb.png", &n);
    memset(p + 16, 0x7f, 8);
    put("huge.png", p, n);
    free(p);
    FAILS("huge.png", "damaged PNG");
}

static void test_jpeg(void)
{
    float x[16 * 8 * 3];
    put_jpeg("a.jpg", 16, 8, 3, 77);
    put_jpeg("g.jpeg", 16, 8, 1, 77);
    put_jpeg("cmyk.jpg", 16, 8, 4, 77);
    Data *d = open_ok("a.jpg", NULL);
    CHECK(has_shape(d, 1, 3, SHAPE(8, 16, 3)) && data_read_f32(d, 0, 1, x, NULL));
    CHECK(fabsf(x[200] - 77 / 255.0f) <= 1 / 255.0f);
    data_close(d);
    d = open_ok("g.jpeg", NULL);
    CHECK(has_shape(d, 1, 3, SHAPE(8, 16, 1)));
    data_close(d);
    FAILS("cmyk.jpg", "4 channels");
    torture("a.jpg", 4096);
}

static void put_pattern(const char *name, int height, int width, int first)
{
    uint8_t p[256];
    for (int i = 0; i < height * width; i++) p[i] = (uint8_t)(first + 11 * i);
    CHECK(png_write(at(name), height, width, 1, p, NULL));
}

/* Shorter side 4, centre 3: what Pillow 13.0 gave (Image.resize, BILINEAR) and torchvision's crop
 * takes, reducing, reducing a tall one, and enlarging. */
static void test_resize(void)
{
    static const uint8_t want[3][9] = {{79, 97, 112, 190, 113, 80, 133, 132, 138},
                                       {123, 94, 118, 144, 154, 124, 101, 121, 148},
                                       {8, 14, 19, 16, 22, 27, 33, 39, 44}};
    float x[9];
    folder("sizes");
    put_pattern("sizes/a.png", 6, 9, 7);
    put_pattern("sizes/b.png", 13, 10, 50);
    put_pattern("sizes/c.png", 2, 3, 0);
    FAILS_IN("sizes", "sizes/b.png", "pixels, but a.png has");
    DataError e = {""};
    Data *d = data_open_resized(at("sizes"), NULL, (DataResize){4, 3}, &e);
    CHECK(d && has_shape(d, 3, 3, SHAPE(3, 3, 1)));
    for (int i = 0; d && i < 3; i++) {
        CHECK(data_read_f32(d, i, 1, x, NULL));
        for (int k = 0; k < 9; k++) CHECK(x[k] == (float)want[i][k] / 255.0f);
    }
    data_close(d);
}

static void test_folders(void)
{
    float y[3 * 8 * 16 * 3];
    folder("flat");
    put_png("flat/b.PNG", 8, 16, 1, 0);
    put_jpeg("flat/a.jpg", 16, 8, 3, 77);
    put("flat/labels.txt", "3\n\n-4 \r\n", 8);
    Data *d = open_ok("flat", "flat/labels.txt");
    CHECK(has_shape(d, 2, 3, SHAPE(8, 16, 3)) && labels_are(d, SHAPE(3, -4)));
    CHECK(data_read_f32(d, 1, 1, y, NULL) && y[3] == y[5] && y[3] == 1 / 255.0f);
    data_close(d);
    put_png("flat/c.png", 8, 15, 1, 0);
    FAILS_IN("flat", "flat/c.png", "15 x 8 pixels, but a.jpg has 16 x 8");
    put("flat/c.png", "not a png", 9);
    FAILS_IN("flat", "flat/c.png", "neither PNG nor JPEG");
    folder("classes");
    FAILS("classes", "no PNG or JPEG");
    folder("classes/dog");
    folder("classes/cat");
    put_png("classes/dog/1.png", 2, 2, 1, 0);
    put_png("classes/cat/1.png", 2, 2, 1, 10);
    put_png("classes/cat/2.png", 2, 2, 1, 20);
    d = open_ok("classes", NULL);
    CHECK(has_shape(d, 3, 3, SHAPE(2, 2, 1)) && labels_are(d, SHAPE(0, 0, 1)));
    CHECK(data_read_f32(d, 0, 3, y, NULL) && y[0] == 10 / 255.0f && y[8] == 0);
    data_close(d);
    put_png("classes/x.png", 2, 2, 1, 0);
    FAILS("classes", "both images and folders");
}

/* ---- labels, ranges, unknown files ---- */

static void test_labels(void)
{
    const int64_t i64[2] = {5, 6};
    const float f32[2] = {5, 6};
    int64_t y[2];
    DataError e = {""};
    CHECK(npy_write(at("y.npy"), NPY_I64, 1, SHAPE(2), i64, NULL));
    CHECK(npy_write(at("f.npy"), NPY_F32, 1, SHAPE(2), f32, NULL));
    CHECK(npy_write(at("y2.npy"), NPY_I64, 2, SHAPE(1, 2), i64, NULL));
    Data *d = open_ok("u8.npy", "y.npy");
    CHECK(labels_are(d, i64) && data_labels(d, 1, 1, y, NULL) && y[0] == 6);
    CHECK(!data_labels(d, 1, 2, y, &e) && strstr(e.msg, "u8.npy"));
    data_close(d);
    d = open_ok("u8.npy", NULL);
    CHECK(!data_labels(d, 0, 1, y, &e) && strstr(e.msg, "u8.npy") && strstr(e.msg, "no labels"));
    data_close(d);
    FAILS_LABELS("u8.npy", "f.npy", "integers");
    FAILS_LABELS("u8.npy", "y2.npy", "one axis");
    FAILS_LABELS("u8.npy", "t-labels-idx1-ubyte.gz", "3 labels for the 2 samples");
    put("y.txt", "1\ntwo\n", 6);
    FAILS_LABELS("u8.npy", "y.txt", "line 2 is not an integer");
    put("y.txt", "1\n99999999999999999999\n", 23);
    FAILS_LABELS("u8.npy", "y.txt", "line 2");
    FAILS_LABELS("u8.npy", "absent.txt", "No such file");
}

static void test_ranges(void)
{
    float x[6];
    DataError e = {""};
    Data *d = open_ok("u8.npy", NULL);
    CHECK(data_read_f32(d, 2, 0, x, NULL));
    CHECK(!data_read_f32(d, 1, 2, x, &e) && strstr(e.msg, "u8.npy"));
    CHECK(!data_read_f32(d, -1, 1, x, NULL));
    CHECK(!data_read_f32(d, INT64_MAX, INT64_MAX, x, NULL));
    data_close(d);
}

static void test_unknown(void)
{
    put("note", "hello", 5);
    FAILS("note", "not in a known format (npy idx cifar10 png/jpeg)");
    put("line\nbreak", "hello", 5);
    fails_at(__LINE__, at("line\nbreak"), NULL, "line?break", "known format");
    put("nothing.npy", "", 0);
    FAILS("nothing.npy", "empty");
    FAILS("absent", "No such file");
    put("bad.gz", "\x1f\x8bxxxxxxxxxxxx", 14);
    FAILS("bad.gz", "damaged gzip");
    put("bad.xz",
        "\xfd"
        "7zXZ\0xxxxxxxxxxxxxxx",
        21);
    FAILS("bad.xz", "damaged xz");
    FAILS_IN("note/", "note/", "Not a directory");
}

/* The real test set, where it is. */
static void test_shared(void)
{
    const char *shared = getenv("ADJ_SHARED");
    if (!shared || !*shared) {
        printf("data: ADJ_SHARED is not set: the CIFAR-10 test set is skipped\n");
        return;
    }
    char path[1024];
    DataError e = {""};
    int64_t y[10000], histogram[10] = {0};
    snprintf(path, sizeof path, "%s/cifar10/test_batch.bin.xz", shared);
    Data *d = data_open(path, NULL, &e);
    if (!d) printf("%s\n", e.msg);
    CHECK(d && has_shape(d, 10000, 3, SHAPE(3, 32, 32)));
    if (d && data_labels(d, 0, 10000, y, NULL))
        for (int i = 0; i < 10000; i++) histogram[y[i]]++;
    for (int i = 0; i < 10; i++) CHECK(histogram[i] == 1000);
    data_close(d);
}

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st, (void)kind, (void)ftw;
    return remove(path);
}

int main(void)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(root, sizeof root, "%s/test_data.XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(root)) {
        perror(root);
        return 1;
    }
    test_npy_types();
    test_npy_arrays();
    test_npy_hostile();
    test_npz();
    test_npz_hostile();
    test_idx();
    test_idx_hostile();
    test_cifar();
    test_png();
    test_jpeg();
    test_resize();
    test_folders();
    test_labels();
    test_ranges();
    test_unknown();
    test_shared();
    nftw(root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    printf("data: %d passed, %d failed\n", passed, failed);
    return failed != 0;
}
