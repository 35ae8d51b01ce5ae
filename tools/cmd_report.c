/* SPDX-License-Identifier: Apache-2.0 */
/* adjoint report: one page from the files of other commands. */
#include <stdio.h>

#include "tools/commands.h"
#include "tools/harness.h"
#include "tools/options.h"
#include "tools/report/report.h"
#include "tools/say.h"

enum { MOST_PATHS = 256 };

static struct {
    char *out, *title;
} given;

static struct poptOption table[] = {
    {NULL, 'o', POPT_ARG_STRING, &given.out, 0, "write the page (needed)", "REPORT.html"},
    {"title", 0, POPT_ARG_STRING, &given.title, 0, "of the page (default: Robustness report)",
     "TEXT"},
    POPT_TABLEEND};

static const Syntax syntax = {
    "adjoint report",
    "files-or-folders...",
    1,
    MOST_PATHS,
    "One page of HTML, complete in itself, from the files that attack, ara, explain, train, "
    "certify\n"
    "and lipschitz write: curves of accuracy over perturbation size and their areas, training,\n"
    "attacks, histograms of sizes, certified shares, local measures, sheets of explanations,\n"
    "settings. Of a folder it takes the JSON, CSV and PNG files that are theirs. Files that "
    "differ\n"
    "in their ending only are of one run; without its JSON a run has no settings, and without a\n"
    "CSV an attack has no histogram. docs/report.md says more.\n\n"
    "Examples:\n"
    "  adjoint report out -o report.html\n"
    "  adjoint report standard.json robust.json sheet.json --title 'Two networks' -o report.html\n",
    table};

int cmd_report(int argc, const char **argv)
{
    const char *argument[MOST_PATHS];
    int e;
    if ((e = options_parse(&syntax, argc, argv, argument))) return e;
    if (!given.out) return fail_usage("report: -o is needed: where to write the page");
    if ((e = output_check(given.out))) return e;
    Report r = {.title = given.title ? given.title : "Robustness report"};
    for (int i = 0; i < MOST_PATHS && argument[i] && !e; i++) e = report_add(&r, argument[i]);
    if (!e) e = report_settle(&r);
    if (!e) e = report_write(given.out, &r);
    report_free(&r);
    return e;
}
