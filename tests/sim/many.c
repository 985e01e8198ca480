/* Many worlds, in processes of their own: an assertion of the product that does
 * not hold ends one of them, and is a finding as any other. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/sim/run.h"

#define JOBS_MAX 64

/* Shared by all processes. */
struct counters {
    volatile uint64_t next, seed[JOBS_MAX], updates, steps, messages, worlds;
    volatile uint64_t misfortunes;
    volatile int has_failed, rule[JOBS_MAX];
    char what[JOBS_MAX][1100];
};

struct finding {
    bool is_there;
    unsigned findings;
    uint64_t seed;
    int rule; /* SIM_RULES: an assertion */
    char what[1100];
};

/* ---- the processes ---- */

static void add(volatile uint64_t *sum, uint64_t more)
{
    __atomic_add_fetch(sum, more, __ATOMIC_RELAXED);
}

static void run_one(struct counters *counters, unsigned worker, uint64_t seed,
                    const struct sim_options *options)
{
    counters->seed[worker] = seed;
    sim_world_play(seed, options);
    add(&counters->updates, sim->updates);
    add(&counters->steps, sim->steps);
    add(&counters->messages, sim->messages);
    add(&counters->worlds, 1);
    counters->misfortunes = sim->misfortune_count;
    bool has_failed = sim->has_failed;
    if (has_failed) {
        counters->rule[worker] = (int)sim->rule;
        snprintf(counters->what[worker], sizeof(counters->what[worker]), "%s: %s",
                 sim_rule_word(sim->rule), sim->what);
    }
    sim_world_close();
    if (has_failed) {
        exit(1);
    }
}

static void work(struct counters *counters, unsigned worker, const struct sim_options *options)
{
    if (options->mutant != SIM_MUTANT_NONE) { /* its assertions are wanted */
        (void)!freopen("/dev/null", "w", stderr);
    }
    while (!counters->has_failed) {
        uint64_t seed = __atomic_fetch_add(&counters->next, 1, __ATOMIC_RELAXED);
        if (seed >= options->from + options->count) {
            break;
        }
        run_one(counters, worker, seed, options);
    }
    exit(0);
}

static void say(uint64_t seed, const char *what)
{
    printf("seed %llu: %s\n"
           "again: flotilla-simulate --seed %llu --trace, or --shrink\n",
           (unsigned long long)seed, what, (unsigned long long)seed);
}

static void note(const struct counters *counters, unsigned worker, int status, bool is_told,
                 struct finding *out)
{
    uint64_t seed = counters->seed[worker];
    const char *what =
        WIFSIGNALED(status) ? "an assertion of the product does not hold" : counters->what[worker];

    out->findings++;
    if (is_told) {
        say(seed, what);
    }
    if (out->is_there && out->seed < seed) {
        return; /* the lowest seed is kept */
    }
    out->is_there = true;
    out->seed = seed;
    out->rule = WIFSIGNALED(status) ? SIM_RULES : counters->rule[worker];
    snprintf(out->what, sizeof(out->what), "%s", what);
}

static void start(struct counters *counters, unsigned worker, pid_t *pid,
                  const struct sim_options *options)
{
    *pid = fork();
    if (*pid == 0) {
        work(counters, worker, options);
    }
}

static void run(const struct sim_options *options, struct counters *counters, struct finding *out)
{
    pid_t pids[JOBS_MAX] = {0};

    memset(counters, 0, sizeof(*counters));
    *out = (struct finding){.rule = SIM_RULES};
    counters->next = options->from;
    fflush(stdout);
    for (unsigned i = 0; i < options->jobs; i++) {
        start(counters, i, &pids[i], options);
    }
    for (unsigned left = options->jobs; left > 0;) {
        int status;
        unsigned i = 0;
        pid_t pid = wait(&status);
        while (i < options->jobs && pids[i] != pid) {
            i++;
        }
        if (i < options->jobs && status != 0) {
            counters->has_failed = !options->is_patient;
            note(counters, i, status, options->is_patient, out);
        }
        if (status != 0 && options->is_patient) {
            start(counters, i, &pids[i], options);
        } else {
            left--;
        }
    }
}

static struct counters *counters_new(void)
{
    struct counters *counters =
        mmap(NULL, sizeof(*counters), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (counters == MAP_FAILED) {
        perror("mmap");
        exit(1);
    }
    return counters;
}

/* ---- seeds ---- */

static double seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* That the processes had a CPU. */
static double worked_seconds(void)
{
    struct rusage usage;

    getrusage(RUSAGE_CHILDREN, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

int sim_run_seeds(const struct sim_options *options)
{
    struct counters *counters = counters_new();
    struct finding finding;
    double begin = seconds();

    run(options, counters, &finding);
    if (finding.is_there && !options->is_patient) {
        say(finding.seed, finding.what);
    }
    printf("%llu worlds, %llu device updates, %llu steps, %llu messages in "
           "%.1f s, %u violations: %.0f updates a second of a core\n",
           (unsigned long long)counters->worlds, (unsigned long long)counters->updates,
           (unsigned long long)counters->steps, (unsigned long long)counters->messages,
           seconds() - begin, finding.findings, (double)counters->updates / worked_seconds());
    return finding.is_there;
}

/* ---- shrinking ---- */

static void say_without(uint64_t without)
{
    const char *comma = "";

    for (unsigned i = 0; i < SIM_MISFORTUNES_MAX; i++) {
        if ((without >> i & 1) != 0) {
            printf("%s%u", comma, i);
            comma = ",";
        }
    }
}

int sim_run_shrink(const struct sim_options *asked)
{
    struct sim_options options = *asked;
    struct counters *counters = counters_new();
    struct finding first;
    struct finding finding;
    unsigned left;

    options.count = options.jobs = 1;
    run(&options, counters, &first);
    if (!first.is_there) {
        printf("seed %llu violates nothing\n", (unsigned long long)options.from);
        return 0;
    }
    left = (unsigned)counters->misfortunes;
    for (unsigned i = (unsigned)counters->misfortunes; i-- > 0;) {
        uint64_t before = options.without;
        options.without |= UINT64_C(1) << i;
        run(&options, counters, &finding);
        if (!finding.is_there || finding.rule != first.rule) {
            options.without = before;
        } else {
            left--;
            first = finding;
        }
    }
    printf("seed %llu: %s\n%u misfortunes are left: flotilla-simulate --seed "
           "%llu --trace --without ",
           (unsigned long long)options.from, first.what, left, (unsigned long long)options.from);
    say_without(options.without);
    putchar('\n');
    return 1;
}

/* ---- mutants ---- */

int sim_run_mutants(const struct sim_options *asked)
{
    struct sim_options options = *asked;
    struct counters *counters = counters_new();
    struct finding finding;
    int unseen = 0;

    for (int i = SIM_MUTANT_NONE + 1; i < SIM_MUTANTS; i++) {
        if (options.among != 0 && (options.among >> i & 1) == 0) {
            continue;
        }
        options.mutant = (enum sim_mutant)i;
        bool is_of_silence = i == SIM_MUTANT_DEAF || i == SIM_MUTANT_HASTY;
        options.newest_ms = is_of_silence ? 60000 : asked->newest_ms;
        options.plays_clocks = i == SIM_MUTANT_LED;
        options.days = is_of_silence ? 2 : asked->days;
        options.from = sim_mutant_seed(options.mutant);
        run(&options, counters, &finding);
        printf("%-16s %s", sim_mutant_word(options.mutant),
               finding.is_there ? "found" : "NOT FOUND");
        printf(finding.is_there ? " by seed %llu: %s\n" : "\n", (unsigned long long)finding.seed,
               finding.what);
        unseen += !finding.is_there;
    }
    return unseen > 0;
}
