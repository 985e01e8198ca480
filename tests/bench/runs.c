/* See runs.h. */
#include "tests/bench/runs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHANCE_LEAST 0.05

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
        } else if (strcmp(argv[i], "--first") == 0) {
            options->first = strtoull(value, NULL, 10);
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
    void *shared =
        mmap(NULL, bench->shared_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (!read_options(argc, argv, &options) || shared == MAP_FAILED) {
        fprintf(stderr,
                "usage: %s [--runs N] [--first N] [--seed N] [--jobs N] "
                "[--only WORD] [--json FILE]\n",
                bench->name);
        return 2;
    }
    for (int i = 0; i < options.jobs; i++) {
        if (fork() == 0) {
            bench->work(&options, i, shared, bench->context);
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
    int missed = bench->say(&options, shared, json, bench->context);
    fclose(json);
    return missed > 0 ? 1 : 0;
}

/* ---- rows of scenes ---- */

struct outcome {
    _Atomic int runs;
    _Atomic int hits[FIGURES_MAX];
    _Atomic uint64_t ms; /* of a core */
};
struct shared {
    _Atomic size_t next; /* run of all rows, one after the other */
    struct outcome outcomes[RUNS_ROWS_MAX];
};

static size_t runs_of(const struct runs_scenes *scenes, size_t at, const struct options *options)
{
    struct runs_row row = scenes->row(at);

    return runs_wants(options, row.name) ? (size_t)ceil(options->runs * row.part) : 0;
}

static void play(const struct runs_scenes *scenes, size_t at, size_t run,
                 const struct options *options, struct outcome *out)
{
    bool hits[FIGURES_MAX] = {false};
    struct chance chance;
    clock_t from = clock();

    chance_init(&chance, (options->seed * 1000003 + at) * 1000003 + run);
    scenes->play(at, &chance, hits);
    for (size_t k = 0; k < FIGURES_MAX && getenv("RUNS_TRACE") != NULL; k++) {
        const struct figure *figure = &scenes->row(at).figures[k];
        if (figure->name != NULL && figure->wanted > 0 && hits[k] == figure->is_most) {
            fprintf(stderr, "run %zu of \"%s\": %s\n", run, scenes->row(at).name, figure->name);
        }
    }
    out->runs++;
    for (size_t k = 0; k < FIGURES_MAX; k++) {
        out->hits[k] += hits[k] ? 1 : 0;
    }
    out->ms += (uint64_t)(clock() - from) * 1000 / CLOCKS_PER_SEC;
}

/* Each worker takes the next run that nobody took. */
static void work(const struct options *options, int job, void *memory, const void *context)
{
    const struct runs_scenes *scenes = context;
    struct shared *shared = memory;
    (void)job;

    for (;;) {
        size_t left = shared->next++;
        size_t at = scenes->count;
        while (at > 0 && left >= runs_of(scenes, at - 1, options)) {
            left -= runs_of(scenes, --at, options);
        }
        if (at == 0) {
            return;
        }
        play(scenes, at - 1, options->first + left, options, &shared->outcomes[at - 1]);
    }
}

/* P(Bin(runs, rate) >= misses). */
static double by_chance(int runs, double rate, int misses)
{
    double sum = 0;

    for (int k = misses; k <= runs && rate > 0 && rate < 1; k++) {
        sum += exp(lgamma(runs + 1.0) - lgamma(k + 1.0) - lgamma(runs - k + 1.0) + k * log(rate) +
                   (runs - k) * log1p(-rate));
    }
    return sum;
}

enum met { MET, UNTOLD, MISSED };
static const char *const met_words[] = {"", " (so few runs do not tell)", " **missed**"};

static enum met met_of(const struct figure *figure, int runs, int hits)
{
    double pct = 100.0 * hits / runs;
    int misses = figure->is_most ? hits : runs - hits;
    double rate = (figure->is_most ? figure->wanted : 100 - figure->wanted) / 100;

    if (figure->wanted <= 0 || (figure->is_most ? pct <= figure->wanted : pct >= figure->wanted)) {
        return MET;
    }
    return by_chance(runs, rate, misses) < CHANCE_LEAST ? MISSED : UNTOLD;
}

static enum met say_figure(const struct runs_row *row, const struct outcome *outcome, size_t k,
                           FILE *json, const char *comma)
{
    const struct figure *figure = &row->figures[k];
    double pct = 100.0 * outcome->hits[k] / outcome->runs;
    enum met met = met_of(figure, outcome->runs, outcome->hits[k]);
    char goal[32] = "";

    if (figure->wanted > 0) {
        snprintf(goal, sizeof(goal), "%s %.3g", figure->is_most ? "<=" : ">=", figure->wanted);
    }
    printf("| %s | %d | %s | %.2f %% | %s%s |\n", row->name, outcome->runs, figure->name, pct, goal,
           met_words[met]);
    fprintf(json,
            "%s\n{\"case\":\"%s\",\"runs\":%d,\"figure\":\"%s\",\"pct\":%.3f,"
            "\"goal\":\"%s\",\"met\":%s}",
            comma, row->name, outcome->runs, figure->name, pct, goal,
            met == MET ? "true" : "false");
    return met;
}

static void say_costs(const struct runs_scenes *scenes, const struct outcome *outcomes)
{
    for (size_t i = 0; i < scenes->count; i++) {
        if (outcomes[i].runs > 0) {
            printf("  %8.1f ms a run: %s\n", (double)outcomes[i].ms / outcomes[i].runs,
                   scenes->row(i).name);
        }
    }
}

static int say(const struct options *options, const void *memory, FILE *json, const void *context)
{
    const struct runs_scenes *scenes = context;
    const struct outcome *outcomes = ((const struct shared *)memory)->outcomes;
    int missed = 0;
    uint64_t ms = 0;
    const char *comma = "";

    printf("| case | runs | figure | found | goal |\n"
           "| --- | ---: | --- | ---: | ---: |\n");
    fprintf(json, "{\"seed\":%llu,\"rows\":[", (unsigned long long)options->seed);
    for (size_t i = 0; i < scenes->count; i++) {
        struct runs_row row = scenes->row(i);
        for (size_t k = 0; k < FIGURES_MAX && outcomes[i].runs > 0 && row.figures[k].name != NULL;
             k++) {
            missed += say_figure(&row, &outcomes[i], k, json, comma) == MISSED;
            comma = ",";
        }
        ms += outcomes[i].ms;
    }
    fprintf(json, "\n],\"missed\":%d,\"core_s\":%.1f}\n", missed, (double)ms / 1000);
    printf("\nseed %llu, %d missed, %.1f s of a core:\n", (unsigned long long)options->seed, missed,
           (double)ms / 1000);
    say_costs(scenes, outcomes);
    return missed;
}

int runs_scenes_main(int argc, char **argv, const struct runs_scenes *scenes)
{
    const struct runs_bench bench = {.name = scenes->name,
                                     .seed = 37,
                                     .shared_bytes = sizeof(struct shared),
                                     .work = work,
                                     .say = say,
                                     .context = scenes};

    if (scenes->count > RUNS_ROWS_MAX) {
        abort();
    }
    return runs_main(argc, argv, &bench);
}
