/* SPDX-License-Identifier: Apache-2.0 */
/* replay FOLDER...: every file of the folders through the harness it is linked with. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "harness.h"

static long files;

static void replay(const char *path)
{
    FILE *f = fopen(path, "rb");
    uint8_t *bytes = malloc(1 << 20);
    if (!f || !bytes) {
        perror(path);
        exit(2);
    }
    size_t n = fread(bytes, 1, 1 << 20, f);
    fclose(f);
    /* a block of the file's own size, so that reading beyond it is seen */
    uint8_t *exact = realloc(bytes, n ? n : 1);
    LLVMFuzzerTestOneInput(exact, n);
    free(exact);
    files++;
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        DIR *dir = opendir(argv[i]);
        if (!dir) {
            perror(argv[i]);
            return 2;
        }
        for (struct dirent *e; (e = readdir(dir));) {
            char path[4096];
            snprintf(path, sizeof path, "%s/%s", argv[i], e->d_name);
            if (e->d_name[0] != '.') replay(path);
        }
        closedir(dir);
    }
    printf("%s: %ld passed, 0 failed\n", fuzz_name, files);
    return files == 0;
}
