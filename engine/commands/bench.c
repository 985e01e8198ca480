/* flotilla-engine bench: speed and memory of a model on this machine.
 *
 * A test is `p128` (a prompt of 128 tokens), `g32` (32 tokens generated one by
 * one) or `g32@2048` (the same after 2048 tokens).  Each test runs three times
 * after a warm-up; the median counts.  Tokens are fixed pseudo-random ids.
 * With `--tests -` each line of stdin is a test that runs once; its result is
 * printed before the next line is read.  So another program can alternate
 * between two benches. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/commands/bench_device.h"
#include "engine/commands/commands.h"
#include "engine/sample/random.h"
#include "engine/tools/common.h"

enum {
    TESTS_MAX = 16,
    RUNS = 3,
    TTFT_TOKENS = 32,
    TOKENS_MAX = 1 << 20,
};

struct test {
    char name[32];
    bool is_prompt;
    uint32_t count; /* tokens */
    uint32_t depth; /* number of tokens in the session before the test begins */
    double speed;   /* tokens/s */
};

struct bench {
    struct flo_tool tool;
    struct flo_tool_model model;
    const char *tests_text;
    struct test tests[TESTS_MAX];
    size_t test_count;
    int32_t *tokens; /* [context] pseudo-random ids */
    double ttft_ms;
    bool is_device;        /* --device: no model */
    const char *read_file; /* file on the disk whose reading speed is measured; or NULL */
    uint32_t to;           /* descriptor to which the result of --device is written */
};

static int bad_test(const char *name, struct flo_err *err)
{
    return flo_fail(err, FLO_E_USAGE, "--tests has '%s', not p128, g32 or g32@2048", name);
}

/* Reads a number from 1 to TOKENS_MAX at *at, and moves *at behind it.  Returns
 * 0 if there is no such number. */
static uint32_t read_number(const char **at)
{
    char *end;
    unsigned long value = strtoul(*at, &end, 10);
    bool is_number = **at >= '0' && **at <= '9' && value <= TOKENS_MAX;

    *at = end;
    return is_number ? (uint32_t)value : 0;
}

static int read_test(struct test *test, struct flo_err *err)
{
    const char *at = test->name + 1;
    bool is_test = test->name[0] == 'p' || test->name[0] == 'g';

    test->is_prompt = test->name[0] == 'p';
    test->count = is_test ? read_number(&at) : 0;
    is_test = test->count > 0;
    if (is_test && *at == '@') {
        at++;
        test->depth = read_number(&at);
        is_test = test->depth > 0;
    }
    return is_test && *at == '\0' ? 0 : bad_test(test->name, err);
}

/* Tells whether the tests come from stdin, line by line. */
static bool is_asked(const struct bench *bench)
{
    return strcmp(bench->tests_text, "-") == 0;
}

/* Parses the list of tests and finds the longest context among them. */
static int read_tests(struct bench *bench, struct flo_err *err)
{
    const char *at = is_asked(bench) ? "" : bench->tests_text;

    while (*at != '\0') {
        size_t chars = strcspn(at, ",");
        struct test *test = &bench->tests[bench->test_count];

        if (bench->test_count == TESTS_MAX || chars >= sizeof(test->name)) {
            return bad_test(at, err);
        }
        memcpy(test->name, at, chars);
        FLO_TRY(read_test(test, err));
        if (bench->tool.context < test->depth + test->count + 1) {
            bench->tool.context = test->depth + test->count + 1;
        }
        bench->test_count++;
        at += chars + (at[chars] == ',');
    }
    return 0;
}

static int run_once(struct bench *bench, const struct test *test, double *seconds,
                    struct flo_err *err)
{
    const struct flo_tool_model *m = &bench->model;
    struct flo_backend_stats stats;
    uint64_t started_us;
    int rv = 0;

    m->backend->reset(m->state, test->depth);
    m->backend->stats(m->state, &stats);
    if (test->depth > stats.position) {
        rv = flo_tool_feed(m, bench->tokens, test->depth - stats.position, err);
    }
    started_us = flo_now_us();
    if (rv == 0 && test->is_prompt) {
        rv = flo_tool_feed(m, bench->tokens, test->count, err);
    }
    for (uint32_t i = 0; rv == 0 && !test->is_prompt && i < test->count; i++) {
        rv = m->backend->decode(m->state, bench->tokens[i], err);
    }
    *seconds = (double)(flo_now_us() - started_us) / 1e6;
    return rv;
}

static int run_test(struct bench *bench, struct test *test, struct flo_err *err)
{
    double seconds[RUNS + 1];
    int rv = 0;

    bench->model.backend->reset(bench->model.state, 0);
    for (int i = 0; rv == 0 && i <= RUNS; i++) {
        rv = run_once(bench, test, &seconds[i], err);
    }
    if (rv == 0) {
        qsort(seconds + 1, RUNS, sizeof(*seconds), flo_tool_by_value);
        test->speed = test->count / seconds[1 + RUNS / 2];
    }
    return rv;
}

/* Measures the time from open to the first token of a short prompt, without a
 * warm-up. */
static int first_token(struct bench *bench, struct flo_err *err)
{
    uint64_t started_us = flo_now_us();
    uint32_t context = bench->model.info->context;
    int rv = flo_tool_feed(&bench->model, bench->tokens,
                           context < TTFT_TOKENS ? context : TTFT_TOKENS, err);

    bench->ttft_ms = (double)(flo_now_us() - started_us + bench->model.info->load_us) / 1e3;
    return rv;
}

static void print_result(const struct bench *bench)
{
    const struct flo_engine_info *info = bench->model.info;
    uint64_t rss = 0, anonymous = 0, peak = 0;
    bool is_json = bench->tool.args.is_json;

    flo_process_memory(getpid(), &rss, &anonymous, &peak);
    printf("%s", is_json ? "{" : "");
    for (size_t i = 0; i < bench->test_count; i++) {
        printf(is_json ? "\"%s\":%.2f," : "%-10s %10.2f tokens/s\n", bench->tests[i].name,
               bench->tests[i].speed);
    }
    printf(is_json ? "\"load_ms\":%.3f,\"ttft_ms\":%.3f,"
                   : "load       %10.3f ms\nttft       %10.3f ms\n",
           (double)info->load_us / 1e3, bench->ttft_ms);
    printf(is_json ? "\"rss_bytes\":%llu,\"rss_anon_bytes\":%llu,"
                   : "rss        %10llu bytes (%llu anonymous)\n",
           (unsigned long long)rss, (unsigned long long)anonymous);
    printf(is_json ? "\"threads\":%u,\"kernel\":\"%s\",\"packed\":%s}\n"
                   : "threads    %10u, kernel %s, packed %s\n",
           info->threads, info->kernel, info->is_packed ? "true" : "false");
}

/* Runs the tests that stdin names, until stdin ends. */
static int answer(struct bench *bench, struct flo_err *err)
{
    uint32_t context = bench->model.info->context;
    char line[sizeof(bench->tests[0].name)];

    while (fflush(stdout) == 0 && fgets(line, sizeof(line), stdin) != NULL) {
        struct test test = {0};
        double seconds = 0.0;

        memcpy(test.name, line, strcspn(line, "\n"));
        FLO_TRY(read_test(&test, err));
        if (test.depth + test.count > context) {
            return flo_fail(err, FLO_E_USAGE, "%s needs more than --ctx %u", test.name, context);
        }
        FLO_TRY(run_once(bench, &test, &seconds, err));
        printf("{\"%s\":%.3f}\n", test.name, test.count / seconds);
    }
    return 0;
}

static int run_bench(void *context, struct flo_err *err)
{
    struct bench *bench = context;
    struct flo_random_stream random = {.state = 1};

    if (bench->is_device) {
        return flo_bench_device(bench->read_file, bench->to, err);
    }
    FLO_TRY(read_tests(bench, err));

    FLO_TRY(flo_tool_open(&bench->tool, FLO_VOCABULARY_IF_KNOWN, &bench->model, err));
    const struct flo_engine_info *info = bench->model.info;
    bench->tokens = calloc(info->context, sizeof(*bench->tokens));
    if (bench->tokens == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "the tokens");
    }
    for (uint32_t i = 0; i < info->context; i++) {
        bench->tokens[i] = (int32_t)flo_random_below(&random, info->n_vocab);
    }
    FLO_TRY(first_token(bench, err));
    for (size_t i = 0; i < bench->test_count; i++) {
        FLO_TRY(run_test(bench, &bench->tests[i], err));
    }
    print_result(bench);
    return is_asked(bench) ? answer(bench, err) : 0;
}

static struct bench state = {.tests_text = "p128,g32"};
static const struct flo_flag flags[] = {
    {"tests", "LIST", "p128,p512,g32,g32@2048 (default p128,g32); - reads stdin",
     FLO_TEXT(struct bench, tests_text)},
    {"device", NULL,
     "measure the machine instead of a model, two seconds at most: memory, "
     "8-bit operations, disk; always JSON",
     FLO_SWITCH(struct bench, is_device)},
    {"read", "FILE", "with --device: a file to read for the disk's rate",
     FLO_TEXT(struct bench, read_file)},
    {"to", "FD", "with --device: the answer goes to this descriptor", FLO_U32(struct bench, to)},
    FLO_FLAGS_END,
};
const struct flo_verb flo_verb_bench = {
    .name = "bench",
    .help = "measure speed and memory",
    .usage = "{--model FILE [--tests LIST] | --device} [--json]",
    .flags = {FLO_FLAGS_BACKEND, flags, FLO_FLAGS_JSON},
    .state = &state,
    .run = run_bench,
    .example = "--model helpdesk.gguf",
};
