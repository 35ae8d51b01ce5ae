/* SPDX-License-Identifier: Apache-2.0 */
/* All 10,000 CIFAR-10 test images through compiled forward passes: the number of right answers must be
 * that of the reference, give or take one image.
 *
 * test_accuracy [CPU [FILE]]: compiled for that row of cpus.def; only models with FILE in their
 * name. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "e2e.h"
#include "tools/data/data.h"

enum { N = 10000, PIXELS = 3 * 32 * 32, CLASSES = 10 };

typedef struct Row {
    const char *file;
    int right;
    int norm; /* 0 none, 1 ImageNet's mean and std, 2 CIFAR-10's, 3 the model wants 0..255 in NHWC */
} Row;

static const Row rows[] = {
    {"resnet44-cifar10/resnet44-standard-op13.onnx", 9385, 0},
    {"resnet44-cifar10/resnet44-standard-op9.onnx", 9385, 0},
    {"resnet44-cifar10/resnet44-standard-op13-bnkept.onnx", 9385, 0},
    {"resnet44-cifar10/resnet44-all-op13.onnx", 6791, 0},
    {"resnet44-cifar10/resnet44-all-op9.onnx", 6791, 0},
    {"resnet44-cifar10/resnet44-all-op13-bnkept.onnx", 6791, 0},
    {"resnet-cifar10/resnet20-cifar10-op13.onnx", 9173, 1},
    {"resnet-cifar10/resnet32-cifar10-op13.onnx", 9263, 1},
    {"resnet-cifar10/resnet44-cifar10-op13.onnx", 9311, 1},
    {"vnncomp/resnet_2b.onnx", 6925, 2},
    {"vnncomp/resnet_4b.onnx", 7720, 2},
    {"mlperf-tiny/resnet8-op13-logits.onnx", 8721, 3},
};

static AdjOptions options(const Row *r, const char *cpu)
{
    static const double mean[3][3] = {{0}, {.485, .456, .406}, {.4914, .4822, .4465}};
    static const double std[3][3] = {{0}, {.229, .224, .225}, {.2471, .2435, .2616}};
    AdjOptions o = {.model = shared_path("models/%s", r->file), .cpu = cpu, .batch = 8};
    if (r->norm == 1 || r->norm == 2) {
        o.nmean = o.nstd = 3;
        memcpy(o.mean, mean[r->norm], sizeof mean[0]);
        memcpy(o.std, std[r->norm], sizeof std[0]);
    } else if (r->norm == 3) {
        o.scale = 255;
        o.nhwc = true;
    }
    return o;
}

static int count_right(const float *z, const int64_t *y)
{
    int right = 0;
    for (int i = 0; i < N; i++) {
        int best = 0;
        for (int k = 1; k < CLASSES; k++)
            best = z[i * CLASSES + k] > z[i * CLASSES + best] ? k : best;
        right += best == y[i];
    }
    return right;
}

static void check_row(Count *c, const Row *r, const char *cpu, float *x, const int64_t *y)
{
    AdjOptions o = options(r, cpu);
    Net net = net_open(&o);
    float *z = malloc(4 * N * CLASSES);
    Run run = {.n = N, .workers = 2};
    memcpy(run.io, (void *[]){x, z}, 2 * sizeof(void *));
    net_run(&net, "forward", &run);
    int right = count_right(z, y);
    count_check(c, abs(right - r->right) <= 1, "%s: %d right, reference %d", r->file, right,
                r->right);
    free(z);
    net_close(&net);
}

int main(int argc, char **argv)
{
    Count c = {.name = "accuracy"};
    DataError e;
    if (!shared_present()) {
        count_skip(&c, "ADJ_SHARED is not set: no CIFAR-10 here");
        return count_close(&c);
    }
    Data *d = data_open(shared_path("cifar10/test_batch.bin.xz"), NULL, &e);
    float *x = malloc(4 * (size_t)N * PIXELS);
    int64_t *y = malloc(8 * N);
    if (!d || !data_read_f32(d, 0, N, x, &e) || !data_labels(d, 0, N, y, &e)) {
        fprintf(stderr, "%s\n", e.msg);
        return 1;
    }
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (argc < 3 || strstr(rows[i].file, argv[2]))
            check_row(&c, &rows[i], argc > 1 ? argv[1] : NULL, x, y);
    data_close(d);
    free(x);
    free(y);
    return count_close(&c);
}
