/* flotilla-simulate: fleets from seeds, until one breaks a rule. */
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/sim/people.h"
#include "tests/sim/world/host.h"

#define REST_MS 10800000 /* three hours, of virtual time */

struct sim_world *sim;

struct options {
    uint64_t from, count;
    unsigned jobs;
    bool is_traced, is_wired;
    uint64_t without, only;
    uint32_t devices;
};

void sim_trace(const char *who, const char *format, ...)
{
    va_list arguments;

    if (!sim->is_traced) {
        return;
    }
    printf("[%6llu.%03llu] %-8s ", (unsigned long long)sim->now_ms / 1000,
           (unsigned long long)sim->now_ms % 1000, who);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
}

/* ---- one world ---- */

static void on_device(const struct sim_call *call)
{
    sim_device_start(call->device);
}

static void world_open(uint64_t seed, const struct options *options)
{
    sim->seed = seed;
    sim->is_traced = options->is_traced;
    sim->is_wired = options->is_wired;
    sim->without = options->without;
    sim->only = options->only;
    sim->chance = sim_random_of(seed, "chance");
    sim->net = sim_random_of(seed, "net");
    struct sim_random size = sim_random_of(seed, "size");
    sim->device_count =
        sim_chance(&size, 50)
            ? SIM_DEVICES_MAX
            : (uint32_t)sim_between(&size, 1, 1 + sim_below(&size, 40));
    if (options->devices > 0) {
        sim->device_count = options->devices;
    }
    sim->model_count = (uint32_t)sim_between(&size, 1, SIM_MODELS_MAX);
    sim->publisher = sim_key(0);
    sim->stranger = sim_key(1);
    sim->devices = calloc(sim->device_count, sizeof(*sim->devices));
    sim_broker_open();
    sim_controller_init();
    for (uint32_t i = 0; i < sim->device_count; i++) {
        sim_device_init(&sim->devices[i], i);
        sim_later(
            sim_between(&size, 0, 5000),
            (struct sim_call){.fn = on_device, .device = &sim->devices[i]});
    }
    sim_devices_enrol();
    sim_operator_plan();
    sim_nemesis_plan();
}

static void world_close(void)
{
    sim->actor = NULL;
    for (uint32_t i = 0; i < sim->device_count; i++) {
        sim_device_deinit(&sim->devices[i]);
    }
    sim_controller_deinit();
    sim_broker_close();
    sim_schedule_clear();
    sim_releases_clear();
    sim_orders_forget();
    free(sim->devices);
}

/* Let time pass until it holds. */
static void run_until_holds(enum sim_rule (*check)(char *why, size_t bytes),
                            uint64_t most_ms)
{
    uint64_t begin_ms = sim->now_ms;
    char why[512];
    enum sim_rule rule = SIM_RULES;

    do {
        sim_run_until(sim->now_ms + 10000);
        sim->is_controllers = true;
        rule = sim->has_failed ? SIM_RULES : check(why, sizeof(why));
        sim->is_controllers = false;
    } while (rule != SIM_RULES && sim->now_ms < begin_ms + most_ms);
    if (rule != SIM_RULES) {
        sim_violated(rule, NULL, "%s, after %llu min without trouble", why,
                     (unsigned long long)(sim->now_ms - sim->end_ms) / 60000);
    }
}

static void world_run(void)
{
    sim_run_until(sim->end_ms);
    if (sim->has_failed) {
        return;
    }
    sim_nemesis_end();
    run_until_holds(sim_check_obeyed, REST_MS);
    if (sim->has_failed) {
        return;
    }
    sim_operator_tidy();
    sim_run_until(sim->now_ms + 120000);
    sim_operator_finish();
    run_until_holds(sim_check_rest, REST_MS);
    if (!sim->has_failed) {
        sim_check_calm();
    }
}

/* ---- many ---- */

/* Shared by all processes. */
struct tally {
    volatile uint64_t next, seed[64], updates, steps, messages, worlds;
    volatile int has_failed;
    char what[64][1100];
};

static void run_one(struct tally *tally, unsigned worker, uint64_t seed,
                    const struct options *options)
{
    static struct sim_world world;

    memset(&world, 0, sizeof(world));
    sim = &world;
    tally->seed[worker] = seed;
    world_open(seed, options);
    world_run();
    __atomic_add_fetch(&tally->updates, sim->updates, __ATOMIC_RELAXED);
    __atomic_add_fetch(&tally->steps, sim->steps, __ATOMIC_RELAXED);
    __atomic_add_fetch(&tally->messages, sim->messages, __ATOMIC_RELAXED);
    __atomic_add_fetch(&tally->worlds, 1, __ATOMIC_RELAXED);
    if (sim->has_failed) {
        snprintf(tally->what[worker], sizeof(tally->what[worker]), "%s: %s",
                 sim_rule_word(sim->rule), sim->what);
    }
    bool has_failed = sim->has_failed;
    world_close();
    if (has_failed) {
        exit(1);
    }
}

static void work(struct tally *tally, unsigned worker,
                 const struct options *options)
{
    while (!tally->has_failed) {
        uint64_t seed = __atomic_fetch_add(&tally->next, 1, __ATOMIC_RELAXED);
        if (seed >= options->from + options->count) {
            break;
        }
        run_one(tally, worker, seed, options);
    }
    exit(0);
}

static double seconds(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
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

static void say_failed(const struct tally *tally, unsigned worker, int status)
{
    printf("seed %llu: %s\n", (unsigned long long)tally->seed[worker],
           WIFSIGNALED(status) ? "an assertion of the product does not hold"
                               : tally->what[worker]);
    printf("again with the trace: flotilla-simulate --seed %llu --trace\n",
           (unsigned long long)tally->seed[worker]);
}

static int run_all(const struct options *options)
{
    struct tally *tally = mmap(NULL, sizeof(*tally), PROT_READ | PROT_WRITE,
                               MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t pids[64] = {0};
    double begin = seconds(CLOCK_MONOTONIC);
    int result = 0;

    if (tally == MAP_FAILED) {
        return 1;
    }
    tally->next = options->from;
    fflush(stdout);
    for (unsigned i = 0; i < options->jobs; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            work(tally, i, options);
        }
    }
    for (unsigned left = options->jobs; left > 0; left--) {
        int status;
        pid_t pid = wait(&status);
        for (unsigned i = 0; i < options->jobs; i++) {
            if (pids[i] == pid && status != 0) {
                tally->has_failed = 1;
                say_failed(tally, i, status);
                result = 1;
            }
        }
    }
    double took = seconds(CLOCK_MONOTONIC) - begin;
    printf("%llu worlds, %llu device updates, %llu steps, %llu messages in "
           "%.1f s: %.0f updates a second of a core\n",
           (unsigned long long)tally->worlds,
           (unsigned long long)tally->updates, (unsigned long long)tally->steps,
           (unsigned long long)tally->messages, took,
           (double)tally->updates / worked_seconds());
    return result;
}

/* ---- the line ---- */

static int usage(void)
{
    fprintf(stderr,
            "flotilla-simulate [--seed N | --seeds N] [--from N] [--jobs N]\n"
            "                  [--trace] [--only NEMESIS,...] [--without "
            "N,...] [--devices N]\n");
    return 2;
}

static bool read_kinds(const char *text, uint64_t *out)
{
    char copy[256];
    char *rest;
    unsigned kind;

    snprintf(copy, sizeof(copy), "%s", text);
    for (char *word = strtok_r(copy, ",", &rest); word != NULL;
         word = strtok_r(NULL, ",", &rest)) {
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

static void read_numbers(const char *text, uint64_t *out)
{
    char *end = (char *)(uintptr_t)text;

    while (*end != '\0') {
        *out |= UINT64_C(1) << (strtoul(end, &end, 10) & 63);
        end += *end == ',';
    }
}

int main(int argc, char **argv)
{
    struct options options = {.from = 1, .count = 100, .jobs = 1};

    setvbuf(stdout, NULL, _IOLBF, 0);

    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--wire") == 0) {
            options.is_traced = options.is_wired = true;
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
        } else if (strcmp(argv[i], "--without") == 0) {
            read_numbers(value, &options.without);
        } else if (strcmp(argv[i], "--only") != 0 ||
                   !read_kinds(value, &options.only)) {
            return usage();
        }
        i++;
    }
    if (options.jobs == 0 || options.jobs > 64 || options.count == 0 ||
        options.devices > SIM_DEVICES_MAX) {
        return usage();
    }
    return run_all(&options);
}
