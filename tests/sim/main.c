/* flotilla-simulate: fleets from seeds, until one breaks a rule. */
#include <stdlib.h>
#include <string.h>

#include "tests/sim/run.h"

static int usage(void)
{
    fprintf(stderr, "flotilla-simulate [--seed N | --seeds N] [--from N] [--jobs N] "
                    "[--all]\n"
                    "                  [--only NEMESIS,...] [--without N,...] "
                    "[--devices N] [--days N [--newest MS] | --clocks]\n"
                    "                  [--trace | --wire | --shrink] [--mutant NAME | "
                    "--mutants [--among NAME,...]]\n");
    return 2;
}

static bool read_kinds(const char *text, uint64_t *out)
{
    char copy[256];
    char *rest;
    unsigned kind;

    snprintf(copy, sizeof(copy), "%s", text);
    for (char *word = strtok_r(copy, ",", &rest); word != NULL; word = strtok_r(NULL, ",", &rest)) {
        if (strcmp(word, "none") == 0) {
            *out |= UINT64_C(1) << 63;
        } else if (sim_nemesis_find(word, &kind)) {
            *out |= UINT64_C(1) << kind;
        } else {
            return false;
        }
    }
    return true;
}

static bool read_mutants(const char *text, uint64_t *out)
{
    char copy[1024];
    char *rest;
    enum sim_mutant mutant;

    _Static_assert(SIM_MUTANTS <= 64, "a bit of `among` for each");
    snprintf(copy, sizeof(copy), "%s", text);
    for (char *word = strtok_r(copy, ",", &rest); word != NULL; word = strtok_r(NULL, ",", &rest)) {
        if (!sim_mutant_find(word, &mutant)) {
            return false;
        }
        *out |= UINT64_C(1) << mutant;
    }
    return true;
}

static bool read_numbers(const char *text, uint64_t *out)
{
    char *end = (char *)(uintptr_t)text;

    while (*end >= '0' && *end <= '9') {
        *out |= UINT64_C(1) << (strtoul(end, &end, 10) & 63);
        end += *end == ',';
    }
    return *end == '\0';
}

int main(int argc, char **argv)
{
    struct sim_options options = {.from = 1, .count = 100, .jobs = 1};

    int (*run)(const struct sim_options *) = sim_run_seeds;

    setvbuf(stdout, NULL, _IOLBF, 0);

    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--mutants") == 0) {
            run = sim_run_mutants;
            continue;
        }
        if (strcmp(argv[i], "--shrink") == 0) {
            run = sim_run_shrink;
            continue;
        }
        if (strcmp(argv[i], "--all") == 0) { /* violations, too */
            options.is_patient = true;
            continue;
        }
        if (strcmp(argv[i], "--wire") == 0) {
            options.is_traced = options.is_wired = true;
            continue;
        }
        if (strcmp(argv[i], "--clocks") == 0) {
            options.plays_clocks = true;
            continue;
        }
        if (strcmp(argv[i], "--trace") == 0) {
            options.is_traced = true;
            continue;
        }
        if (strcmp(argv[i], "--seed") == 0) {
            options.from = strtoull(value, NULL, 10);
            options.count = 1;
        } else if (strcmp(argv[i], "--seeds") == 0) {
            options.count = strtoull(value, NULL, 10);
        } else if (strcmp(argv[i], "--from") == 0) {
            options.from = strtoull(value, NULL, 10);
        } else if (strcmp(argv[i], "--jobs") == 0) {
            options.jobs = (unsigned)strtoul(value, NULL, 10);
        } else if (strcmp(argv[i], "--devices") == 0) {
            options.devices = (uint32_t)strtoul(value, NULL, 10);
        } else if (strcmp(argv[i], "--days") == 0) {
            options.days = (uint32_t)strtoul(value, NULL, 10);
        } else if (strcmp(argv[i], "--newest") == 0) {
            options.newest_ms = strtoull(value, NULL, 10);
        } else if (strcmp(argv[i], "--mutant") == 0) {
            if (!sim_mutant_find(value, &options.mutant)) {
                return usage();
            }
        } else if (strcmp(argv[i], "--among") == 0) {
            if (!read_mutants(value, &options.among)) {
                return usage();
            }
        } else if (strcmp(argv[i], "--without") == 0) {
            if (!read_numbers(value, &options.without)) {
                return usage();
            }
        } else if (strcmp(argv[i], "--only") != 0 || !read_kinds(value, &options.only)) {
            return usage();
        }
        i++;
    }
    if (options.jobs == 0 || options.jobs > 64 || options.count == 0 ||
        options.devices > SIM_DEVICES_MAX || (options.newest_ms > 0 && options.days == 0) ||
        (options.plays_clocks && options.days > 0)) {
        return usage();
    }
    return run(&options);
}
