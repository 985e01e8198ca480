/* See runs.h. */
#include "tests/bench/runs.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

bool runs_wants(const struct options *options, const char *row)
{
    return options->only == NULL || strstr(row, options->only) != NULL;
}

static bool read_options(int argc, char **argv, struct options *options)
{
    for (int i = 1; i + 1 < argc; i += 2) {
        const char *value = argv[i + 1];
        if (strcmp(argv[i], "--runs") == 0) {
            options->runs = atoi(value);
        } else if (strcmp(argv[i], "--jobs") == 0) {
            options->jobs = atoi(value);
        } else if (strcmp(argv[i], "--seed") == 0) {
            options->seed = strtoull(value, NULL, 10);
        } else if (strcmp(argv[i], "--only") == 0) {
            options->only = value;
        } else if (strcmp(argv[i], "--json") == 0) {
            options->json = value;
        } else {
            return false;
        }
    }
    return argc % 2 == 1 && options->runs >= 1 && options->jobs >= 1;
}

int runs_main(int argc, char **argv, const struct runs_bench *bench)
{
    struct options options = {.runs = 2000, .jobs = 2, .seed = bench->seed};
    void *shared = mmap(NULL, bench->shared_bytes, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (!read_options(argc, argv, &options) || shared == MAP_FAILED) {
        fprintf(stderr,
                "usage: %s [--runs N] [--seed N] [--jobs N] [--only WORD] "
                "[--json FILE]\n",
                bench->name);
        return 2;
    }
    for (int i = 0; i < options.jobs; i++) {
        if (fork() == 0) {
            bench->work(&options, i, shared);
            _exit(0);
        }
    }
    while (wait(NULL) > 0) {
    }
    FILE *json = fopen(options.json != NULL ? options.json : "/dev/null", "w");
    if (json == NULL) {
        perror(options.json);
        return 2;
    }
    int missed = bench->say(&options, shared, json);
    fclose(json);
    return missed > 0 ? 1 : 0;
}
