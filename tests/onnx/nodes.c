/* SPDX-License-Identifier: Apache-2.0 */
/* ONNX's node tests through the importer and the evaluator.
 *
 *   onnx_nodes SKIPS [FOLDER...]    see node_test.h
 *   onnx_nodes --table DOC SKIPS    the table of operators in DOC is what the results say, or
 *                                   is written anew where ADJ_WRITE is set */
#include "node_test.h"
#include "onnx_table.h"

#include <stdio.h>
#include <string.h>

static void free_eval(void *e)
{
    eval_free(e);
}

static void bind(void *ev, Ref r, const void *data)
{
    eval_bind(ev, r, data);
}

static void evaluate(Test *t, Graph *g)
{
    Ref want[MAX_TEST_IO];
    Eval *ev = eval_new(g);
    err_defer(free_eval, ev);
    test_inputs(t, g, bind, ev);
    for (int i = 0; i < t->nout; i++) want[i] = g->out[i].ref;
    eval_run(ev, want, t->nout);
    for (int i = 0; i < t->nout; i++) test_compare(t, i, eval_get(ev, want[i]));
    err_keep(ev);
    eval_free(ev);
}

int main(int argc, char **argv)
{
    static const Runner runner = {"onnx nodes", evaluate, false, table_count};
    const char *doc = argc > 2 && !strcmp(argv[1], "--table") ? argv[2] : NULL;
    if (doc) {
        argc -= 2;
        argv += 2;
    }
    if (argc < 2) {
        fprintf(stderr, "usage: onnx_nodes [--table DOC] SKIPS [FOLDER...]\n");
        return 2;
    }
    int code = node_tests(&runner, argc, argv);
    if (code) return code;
    if (doc)
        node_report(doc, table_agrees(doc), "its table is not that of the results; set ADJ_WRITE");
    return node_results(&runner);
}
