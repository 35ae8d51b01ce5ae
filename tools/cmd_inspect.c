/* SPDX-License-Identifier: Apache-2.0 */
/* adjoint inspect: the facts of a model, as JSON or for people. Nothing here knows what the facts
 * are: an object is lines of `key value`, a list of objects is a table, deeper ones follow with
 * their path. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/commands.h"
#include "tools/options.h"
#include "tools/say.h"
#include "tools/sched_file.h"

static int as_json, as_dot, as_sched;

static struct poptOption table[] = {
    {"json", 0, POPT_ARG_NONE, &as_json, 0, "print JSON", NULL},
    {"dot", 0, POPT_ARG_NONE, &as_dot, 0, "print the model's ONNX nodes as a Graphviz graph", NULL},
    {"print-sched", 0, POPT_ARG_NONE, &as_sched, 0,
     "print how convolutions are run, one line each, as --sched reads it", NULL},
    ARTEFACT_OPTIONS,
    MODEL_OPTIONS,
    POPT_TABLEEND};

static const Syntax syntax = {
    "adjoint inspect",
    "model.onnx",
    1,
    1,
    "Sizes are bytes; MACs are multiply-adds a sample, two FLOPs each, of\n"
    "convolutions and matrix products. `layers` are the file's nodes as\n"
    "imported, `kernels` what an entry runs for them; `of_forward` is an\n"
    "entry's arithmetic over the file's; `saved` is what its backward pass\n"
    "reads of its forward pass, bytes a sample.\n\n"
    "Examples:\n"
    "  adjoint inspect model.onnx --entry forward,pgd-linf\n"
    "  adjoint inspect model.onnx --json\n"
    "  adjoint inspect model.onnx --dot | dot -Tsvg > model.svg\n",
    table};

enum { CELL = 128, WIDEST = 64 };

/* ---- values ---- */

static bool is_flat(const json_t *v)
{
    return !json_is_object(v) && !json_is_array(v);
}

static void scalar_text(char *out, size_t size, const json_t *v)
{
    if (json_is_string(v))
        snprintf(out, size, "%s", json_string_value(v));
    else if (json_is_integer(v))
        snprintf(out, size, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
    else if (json_is_real(v))
        snprintf(out, size, "%.10g", json_real_value(v));
    else
        snprintf(out, size, "%s", json_is_true(v) ? "yes" : json_is_false(v) ? "no" : "-");
}

/* Text of several words has a line to itself. */
static bool is_line(const json_t *v)
{
    return json_is_string(v) && strchr(json_string_value(v), ' ');
}

/* A scalar, or a list of scalars as [a,b,c]; false for what needs more room. */
static bool cell_text(char *out, size_t size, const json_t *v)
{
    if (is_flat(v)) {
        scalar_text(out, size, v);
        return true;
    }
    size_t n = (size_t)snprintf(out, size, "["), i;
    json_t *item;
    if (!json_is_array(v)) return false;
    json_array_foreach(v, i, item)
    {
        if (!is_flat(item) || is_line(item)) return false;
        if (i && n + 1 < size) out[n++] = ',';
        if (n < size) scalar_text(out + n, size - n, item);
        n += strlen(out + n);
    }
    if (n + 1 < size) strcpy(out + n, "]");
    return true;
}

/* ---- tables ---- */

static bool is_table(const json_t *v)
{
    return json_is_array(v) && json_is_object(json_array_get(v, 0));
}

static int width_of(const json_t *rows, const char *key)
{
    size_t i, widest = strlen(key);
    char cell[CELL];
    json_t *row;
    json_array_foreach(rows, i, row)
    {
        json_t *v = json_object_get(row, key);
        if (v && cell_text(cell, sizeof cell, v) && strlen(cell) > widest) widest = strlen(cell);
    }
    return (int)(widest < WIDEST ? widest : WIDEST);
}

static void print_cell(const json_t *v, int width)
{
    char cell[CELL] = "";
    if (v) cell_text(cell, sizeof cell, v);
    printf(json_is_number(v) ? "  %*.*s" : "  %-*.*s", width, WIDEST, cell);
}

/* The columns are the first row's keys whose values fit a cell. */
static void print_rows(json_t *rows)
{
    json_t *first = json_array_get(rows, 0), *v, *row;
    const char *key;
    char cell[CELL];
    size_t i;
    json_object_foreach(first, key, v) if (cell_text(cell, sizeof cell, v))
        printf(json_is_number(v) ? "  %*s" : "  %-*s", width_of(rows, key), key);
    putchar('\n');
    json_array_foreach(rows, i, row)
    {
        json_object_foreach(first, key, v) if (cell_text(cell, sizeof cell, v))
            print_cell(json_object_get(row, key), width_of(rows, key));
        putchar('\n');
    }
}

/* ---- trees ---- */

static void print_value(const char *path, json_t *v);

static void join(char *out, size_t size, const char *path, const char *key)
{
    snprintf(out, size, "%s%s%s", path, *path ? " / " : "", key);
}

/* What an object holds: scalars, then whatever needs a heading. */
static void print_object(const char *path, json_t *object)
{
    const char *key;
    char cell[1024], deeper[256];
    json_t *v;
    json_object_foreach(object, key, v) if (cell_text(cell, sizeof cell, v))
        printf("%-20s %s\n", key, cell);
    json_object_foreach(object, key, v) if (!cell_text(cell, sizeof cell, v))
    {
        join(deeper, sizeof deeper, path, key);
        print_value(deeper, v);
    }
}

static bool has_tables(const json_t *object)
{
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)object, key, v) if (is_table(v) || json_is_object(v)) return true;
    return false;
}

static void print_value(const char *path, json_t *v)
{
    size_t i;
    json_t *item;
    char name[256];
    if (is_table(v) && has_tables(json_array_get(v, 0))) {
        json_array_foreach(v, i, item)
        {
            const char *own = json_string_value(json_object_get(item, "name"));
            join(name, sizeof name, path, own ? own : "");
            print_value(name, item);
        }
        return;
    }
    printf("\n%s\n", path);
    if (is_table(v))
        print_rows(v);
    else if (json_is_object(v))
        print_object(path, v);
    else
        json_array_foreach(v, i, item) if (json_is_string(item)) puts(json_string_value(item));
}

/* ---- the command ---- */

static int print_text(const char *text)
{
    size_t n = strlen(text);
    bool whole = !n || text[n - 1] == '\n'; /* no empty line behind it */
    if (fputs(text, stdout) >= 0 && (whole || putchar('\n') >= 0) && !fflush(stdout)) return 0;
    return fail_input("standard output: cannot be written");
}

static int print_facts(const char *text)
{
    json_error_t e;
    json_t *facts = json_loads(text, 0, &e);
    if (!facts) return fail_input("the facts are no JSON: %s", e.text);
    print_object("", facts);
    json_decref(facts);
    return 0;
}

static char *facts_of(AdjCompiled *c, AdjError *error)
{
    char *lines = as_sched ? adj_schedule(c, error) : NULL;
    if (as_sched) return lines;
    return as_dot ? adj_inspect_dot(c, error) : adj_inspect_json(c, error);
}

int cmd_inspect(int argc, const char **argv)
{
    const char *model;
    AdjOptions o;
    AdjError error;
    int e;
    if ((e = options_parse(&syntax, argc, argv, &model)) || (e = options_model(model, &o)))
        return e;
    if (as_json + as_dot + as_sched > 1)
        return fail_usage("--json, --dot, --print-sched: one of them");
    AdjCompiled *c = adj_compile(&o, &error);
    if (c) sched_warn_unused(c);
    char *text = c ? facts_of(c, &error) : NULL;
    if (!text)
        e = fail_input("%s", error.msg);
    else
        e = as_json || as_dot || as_sched ? print_text(text) : print_facts(text);
    free(text);
    adj_compiled_free(c);
    return e;
}
