/* SPDX-License-Identifier: Apache-2.0 */
/* An attack's results as files: a line of CSV a sample; a PNG a sample. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "tools/attack.h"
#include "tools/data/format.h"
#include "tools/data/png_write.h"
#include "tools/say.h"

int attack_write_csv(const char *path, const AttackPlan *p, const AttackResult *r)
{
    NewFile file;
    DataError error;
    if (!file_create(path, &file, &error)) return fail_input("%s", error.msg);
    fprintf(file.f, "index,label,clean_prediction,adversarial_prediction,success,linf,l2,rmse\n");
    for (int64_t i = 0; i < r->n; i++) {
        const AttackSample *s = &r->sample[i];
        fprintf(file.f, "%" PRId64 ",%" PRId64 ",%" PRId64 ",%" PRId64 ",%d,%.9g,%.9g,%.9g\n",
                p->range.first + i, s->label, s->before, s->after, s->success, s->distance.linf,
                s->distance.l2, s->distance.rmse);
    }
    return file_commit(&file, true, &error) ? 0 : fail_input("%s", error.msg);
}

/* ---- PNG ---- */

int attack_png_check(const char *folder, const AdjTensor *x)
{
    if (x->rank != 3 || (x->dim[0] != 1 && x->dim[0] != 3))
        return fail_usage("--png: the model's image has neither 1 nor 3 channels");
    struct stat st;
    if (mkdir(folder, 0777) && (stat(folder, &st) || !S_ISDIR(st.st_mode)))
        return fail_input("%s: cannot be made", folder);
    return 0;
}

static int byte_of(double v)
{
    return v <= 0 ? 0 : v >= 1 ? 255 : (int)lrint(v * 255);
}

/* Sample i of data to 8 bits and back, and its file. */
static int write_one(const char *folder, const AdjTensor *x, void *data, int64_t i, int64_t index,
                     uint8_t *pixels)
{
    int64_t c = x->dim[0], area = x->dim[1] * x->dim[2];
    char path[4096];
    DataError error;
    for (int64_t k = 0; k < c * area; k++) {
        int64_t at = i * c * area + k;
        int b = byte_of(tensor_value(x, data, at));
        pixels[k % area * c + k / area] = (uint8_t)b;
        element_store(x->dtype, data, at, b / 255.0);
    }
    if (snprintf(path, sizeof path, "%s/%06" PRId64 ".png", folder, index) >= (int)sizeof path)
        return fail_input("%s: the name is too long", folder);
    if (png_write(path, x->dim[1], x->dim[2], (int)c, pixels, &error)) return 0;
    return fail_input("%s", error.msg);
}

int attack_write_png(const char *folder, const AdjTensor *x, void *data, int64_t n, int64_t first)
{
    uint8_t *pixels = malloc((size_t)tensor_elements(x));
    if (!pixels) return fail_input("no memory for an image");
    int e = 0;
    for (int64_t i = 0; i < n && !e; i++) e = write_one(folder, x, data, i, first + i, pixels);
    free(pixels);
    return e;
}
