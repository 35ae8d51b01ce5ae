/* SPDX-License-Identifier: Apache-2.0 */
/* Lines on standard error. A message never holds a line break: names come from files. */
#include "tools/say.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

static bool keep;
static char kept[SAY_LINE];

void say_keep(void)
{
    keep = true;
}

const char *say_kept(void)
{
    return kept;
}

static void say(const char *kind, const char *format, va_list args)
{
    char line[SAY_LINE];
    vsnprintf(line, sizeof line, format, args);
    for (char *p = line; *p; p++)
        if (*p == '\n' || *p == '\r') *p = ' ';
    if (keep)
        snprintf(kept, sizeof kept, "%s%s", kind, line);
    else
        fprintf(stderr, "adjoint: %s%s\n", kind, line);
}

int fail_input(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say("", format, args);
    va_end(args);
    return STATUS_INPUT;
}

int fail_usage(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say("", format, args);
    va_end(args);
    return STATUS_USAGE;
}

void note(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say("", format, args);
    va_end(args);
}

void warn(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say("warning: ", format, args);
    va_end(args);
}
