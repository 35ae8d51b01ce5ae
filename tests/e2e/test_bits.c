/* SPDX-License-Identifier: Apache-2.0 */
/* Same artefact, same bits: the result of a sample does not depend on how many come with it, on the
 * thread count, or on the batch that the artefact was compiled for. Random start included, because
 * the generator is keyed by the sample. Fewer samples than threads: threads share kernels. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "e2e.h"

enum { MAX_N = 33, OUT_BYTES = 1 << 20 };

typedef struct Shape {
    int64_t pixels, classes;
} Shape;

static void fill(float *x, int64_t n)
{
    uint32_t s = 1;
    for (int64_t i = 0; i < n; i++) {
        s = s * 1664525u + 1013904223u;
        x[i] = (float)(s >> 8) / 16777216.0f;
    }
}

/* All outputs of an entry for n samples, one after another in `out`; returns bytes a sample. */
static size_t outputs(const Net *net, const char *entry, int n, int workers, float *x, int64_t *y,
                      const Shape *s, uint8_t *out)
{
    Run r = {.n = n, .workers = workers, .steps = 3, .seed = 7};
    size_t logits = 4 * (size_t)s->classes, image = 4 * (size_t)s->pixels, m = (size_t)n;
    if (!strcmp(entry, "forward")) {
        memcpy(r.io, (void *[]){x, out}, 2 * sizeof(void *));
        net_run(net, entry, &r);
        return logits;
    }
    if (!strcmp(entry, "gradient")) {
        memcpy(r.io, (void *[]){x, y, NULL, NULL, out}, 5 * sizeof(void *));
        net_run(net, entry, &r);
        return image;
    }
    int32_t success[MAX_N];
    memcpy(r.io, (void *[]){x, y, NULL, out, success}, 5 * sizeof(void *));
    net_run(net, entry, &r);
    (void)m;
    return image;
}

static void check_entry(Count *c, const Net *net, int batch, const char *entry, const Shape *s,
                        uint8_t *first)
{
    static const int ns[] = {1, 2, 7, 8, 9, 33}, threads[] = {1, 2, 3, 8};
    float *x = malloc(4 * MAX_N * (size_t)s->pixels);
    int64_t y[MAX_N];
    uint8_t *out = malloc(OUT_BYTES);
    fill(x, MAX_N * s->pixels);
    for (int i = 0; i < MAX_N; i++) y[i] = i % s->classes;
    for (size_t i = 0; i < sizeof ns / sizeof ns[0]; i++)
        for (size_t t = 0; t < sizeof threads / sizeof threads[0]; t++) {
            size_t each = outputs(net, entry, ns[i], threads[t], x, y, s, out);
            if (!first[0]) { /* the very first run of this entry: all 33, one thread */
                outputs(net, entry, MAX_N, 1, x, y, s, first + 1);
                first[0] = 1;
            }
            bool same = !memcmp(out, first + 1, each * (size_t)ns[i]);
            count_check(c, same, "batch %d %s n %d threads %d", batch, entry, ns[i], threads[t]);
        }
    free(x);
    free(out);
}

static void check_model(Count *c, const char *path, Shape s)
{
    static const char *const entries[] = {"forward", "gradient", "pgd-linf"};
    static const int batches[] = {1, 8, 3};
    uint8_t *first[3];
    for (int e = 0; e < 3; e++) first[e] = calloc(1, OUT_BYTES + 1);
    for (size_t b = 0; b < sizeof batches / sizeof batches[0]; b++) {
        AdjOptions o = {.model = path, .batch = batches[b], .entries = "forward,gradient,pgd-linf"};
        Net net = net_open(&o);
        for (int e = 0; e < 3; e++) check_entry(c, &net, batches[b], entries[e], &s, first[e]);
        net_close(&net);
    }
    for (int e = 0; e < 3; e++) free(first[e]);
}

int main(int argc, char **argv)
{
    Count c = {.name = "bits"};
    check_model(&c, argc > 1 ? argv[1] : "tests/e2e/fashion.onnx", (Shape){28 * 28, 10});
    if (shared_present())
        check_model(&c, shared_path("models/resnet-cifar10/resnet20-cifar10-op13.onnx"),
                    (Shape){3 * 32 * 32, 10});
    else
        count_skip(&c, "ADJ_SHARED is not set: no CIFAR-10 network here");
    return count_close(&c);
}
