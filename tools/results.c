/* SPDX-License-Identifier: Apache-2.0 */
/* Outputs go by the file's names; "logits" is the first one's as well. */
#include "tools/results.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/array.h"
#include "tools/data/npy.h"
#include "tools/say.h"

static bool is_npz(const char *text)
{
    size_t n = strlen(text);
    return n > 4 && !strcmp(text + n - 4, ".npz");
}

static const char *file_of(const char *text)
{
    const char *eq = strchr(text, '=');
    return eq ? eq + 1 : text;
}

int results_check(char *const *texts)
{
    int e = 0;
    for (int i = 0; texts && texts[i] && !e; i++) {
        bool plain = !strchr(texts[i], '=');
        if (plain && (i || texts[1]))
            e = fail_usage("-o: one file, or NAME=FILE for each output: '%s'", texts[i]);
        else if (!plain && is_npz(texts[i]))
            e = fail_usage("-o: a .npz takes all outputs, without a name: '%s'", texts[i]);
        else
            e = output_check(file_of(texts[i]));
    }
    return e;
}

/* ---- which outputs ---- */

static const char *output_name(const Results *r, int k)
{
    return adj_file_name(r->h->compiled, r->entry->io[k].name);
}

static void list_outputs(const Results *r, char *out, size_t size)
{
    size_t n = 0;
    for (int k = 0; k < r->entry->nio && n < size; k++)
        if (r->entry->io[k].output)
            n += (size_t)snprintf(out + n, size - n, "%s%.60s", n ? ", " : "", output_name(r, k));
}

int results_first(const AdjEntry *entry)
{
    for (int k = 0; k < entry->nio; k++)
        if (entry->io[k].output) return k;
    return -1;
}

/* The tensor that "NAME=FILE" names; -1 if there is none. */
static int find_output(const Results *r, const char *text)
{
    size_t n = strcspn(text, "=");
    for (int k = 0; k < r->entry->nio; k++) {
        const char *own = r->entry->io[k].name, *name = output_name(r, k);
        if (!r->entry->io[k].output) continue;
        if (strlen(name) == n && !strncmp(name, text, n)) return k;
        if (strlen(own) == n && !strncmp(own, text, n)) return k;
    }
    return -1;
}

static bool wants(const Results *r, int k)
{
    if (!r->entry->io[k].output) return false;
    if (k == results_first(r->entry)) return true;
    for (int i = 0; r->texts && r->texts[i]; i++)
        if (is_npz(r->texts[i]) || find_output(r, r->texts[i]) == k) return true;
    return false;
}

/* One .npy holds one output. */
static int check_names(const Results *r)
{
    char known[400] = "";
    list_outputs(r, known, sizeof known);
    for (int i = 0; r->texts && r->texts[i]; i++) {
        const char *t = r->texts[i];
        if (is_npz(t)) continue;
        if (!strchr(t, '=') && strchr(known, ','))
            return fail_usage("-o: the model's outputs are %s; -o FILE.npz takes all, -o NAME=FILE "
                              "one",
                              known);
        if (strchr(t, '=') && find_output(r, t) < 0)
            return fail_usage("-o: '%s' names none of the outputs: %s", t, known);
    }
    return 0;
}

int results_bind(Results *r, const Harness *h, const AdjEntry *entry, char *const *texts, int64_t n)
{
    *r = (Results){.h = h, .entry = entry, .texts = texts};
    int e = check_names(r);
    for (int k = 0; k < entry->nio && !e; k++) {
        if (!wants(r, k)) continue;
        r->data[k] = tensor_new(&entry->io[k], n);
        if (!r->data[k]) e = STATUS_INPUT;
    }
    return e;
}

void results_free(Results *r)
{
    for (int k = 0; k < RESULTS; k++) free(r->data[k]);
    *r = (Results){0};
}

/* ---- writing ---- */

static int save_all(const Results *r, const char *path, int64_t n)
{
    NpzMember m[RESULTS] = {{0}};
    DataError e;
    int count = 0, status = 0;
    for (int k = 0; k < r->entry->nio && !status; k++) {
        const AdjTensor *t = &r->entry->io[k];
        if (!t->output) continue;
        NpzMember *one = &m[count++];
        *one = (NpzMember){.name = output_name(r, k), .rank = t->rank + 1, .data = r->data[k]};
        one->shape[0] = n;
        memcpy(one->shape + 1, t->dim, sizeof *t->dim * (size_t)t->rank);
        status = tensor_npy_type(t, &one->type);
    }
    if (status) return status;
    return npz_write(path, count, m, &e) ? 0 : fail_input("%s", e.msg);
}

int results_save(const Results *r, int64_t n)
{
    int e = 0;
    for (int i = 0; r->texts && r->texts[i] && !e; i++) {
        const char *text = r->texts[i];
        int k = strchr(text, '=') ? find_output(r, text) : results_first(r->entry);
        if (is_npz(text))
            e = save_all(r, text, n);
        else
            e = tensor_save(file_of(text), &r->entry->io[k], n, r->data[k]);
    }
    return e;
}
