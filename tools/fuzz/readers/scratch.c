/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes as a file: one in memory, written anew for each input. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "harness.h"

const char *scratch_file(const uint8_t *data, size_t size)
{
    static int fd = -1;
    static char path[64];
    if (fd < 0) fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, 0) || pwrite(fd, data, size, 0) != (ssize_t)size) abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return path;
}

void check_line(const char *msg, const char *path)
{
    if (*msg && !strchr(msg, '\n') && strstr(msg, path)) return;
    fprintf(stderr, "not one line that names the file: %s\n", msg);
    abort();
}
