/* flotilla-engine bench --model: speed and memory of a model on this machine.
 *
 * A test is `p128` (a prompt of 128 tokens), `g32` (32 tokens generated one by
 * one) or `g32@2048` (the same after 2048 tokens).  Each test runs three times
 * after a warm-up; the median counts.  Tokens are fixed pseudo-random ids.
 * With `--tests -` each line of stdin is a test that runs once; its result is
 * printed before the next line is read.  So another program can alternate
 * between two benches, and the agent can stop between two tests.  Then a test
 * may also be `c3`: golden case 3 is played and judged (bench_golden.c).
 *
 * With --sandbox the files are opened first.  No byte of the model is read
 * outside of the sandbox, and the process has idle priority. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/sandbox.h"
#include "engine/commands/bench.h"
#include "engine/commands/bench_golden.h"
#include "engine/run/run.h"
#include "engine/sample/random.h"

enum {
    TESTS_MAX = 16,
    RUNS = 3,
    TTFT_TOKENS = 32,
    TOKENS_MAX = 1 << 20,
    THREADS_MAX = 8, /* as an engine takes them without --threads */
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
    const char *tests_text;
    struct flo_tool_answer answer; /* with the model */
    const struct flo_tool_model *model;
    struct test tests[TESTS_MAX];
    size_t test_count;
    int32_t *tokens; /* [context] pseudo-random ids */
    double ttft_ms;
    FILE *in, *out;
    struct flo_golden golden;
    bool is_confined; /* in the sandbox of this mode */
    enum flo_sandbox_mode mode;
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

/* Tells whether the tests come line by line. */
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
    const struct flo_tool_model *m = bench->model;
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

    bench->model->backend->reset(bench->model->state, 0);
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
    const struct flo_engine_info *info = bench->model->info;
    int rv = flo_tool_feed(bench->model, bench->tokens,
                           info->context < TTFT_TOKENS ? info->context : TTFT_TOKENS, err);

    bench->ttft_ms = (double)(flo_now_us() - started_us + info->load_us) / 1e3;
    return rv;
}

static void print_result(const struct bench *bench)
{
    const struct flo_engine_info *info = bench->model->info;
    uint64_t rss = 0, anonymous = 0, peak = 0;
    bool is_json = bench->tool.args.is_json;

    flo_process_memory(getpid(), &rss, &anonymous, &peak);
    fprintf(bench->out, "%s", is_json ? "{" : "");
    for (size_t i = 0; i < bench->test_count; i++) {
        fprintf(bench->out, is_json ? "\"%s\":%.2f," : "%-10s %10.2f tokens/s\n",
                bench->tests[i].name, bench->tests[i].speed);
    }
    fprintf(bench->out,
            is_json ? "\"load_ms\":%.3f,\"ttft_ms\":%.3f,"
                    : "load       %10.3f ms\nttft       %10.3f ms\n",
            (double)info->load_us / 1e3, bench->ttft_ms);
    if (bench->golden.n_cases > 0) {
        fprintf(bench->out, is_json ? "\"cases\":%u," : "cases      %10u\n", bench->golden.n_cases);
    }
    fprintf(bench->out,
            is_json ? "\"rss_bytes\":%llu,\"rss_anon_bytes\":%llu,"
                    : "rss        %10llu bytes (%llu anonymous)\n",
            (unsigned long long)rss, (unsigned long long)anonymous);
    fprintf(bench->out,
            is_json ? "\"threads\":%u,\"kernel\":\"%s\",\"packed\":%s}\n"
                    : "threads    %10u, kernel %s, packed %s\n",
            info->threads, info->kernel, info->is_packed ? "true" : "false");
}

static int answer_case(struct bench *bench, const char *name, struct flo_err *err)
{
    char *end;
    unsigned long index = strtoul(name, &end, 10);
    enum flo_bench_case result = FLO_BENCH_PASSED_OVER;

    if (end == name || *end != '\0' || index >= bench->golden.n_cases) {
        return flo_fail(err, FLO_E_USAGE, "c%.20s: no such golden case, there are %u", name,
                        bench->golden.n_cases);
    }
    FLO_TRY(flo_bench_golden(&bench->answer, &bench->golden.cases[index], &result, err));
    fprintf(bench->out, "{\"c%lu\":%d}\n", index, (int)result);
    return 0;
}

/* Runs the tests that the lines name, until they end. */
static int answer(struct bench *bench, struct flo_err *err)
{
    uint32_t context = bench->model->info->context;
    char line[sizeof(bench->tests[0].name)];

    while (fflush(bench->out) == 0 && fgets(line, sizeof(line), bench->in) != NULL) {
        struct test test = {0};
        double seconds = 0.0;

        memcpy(test.name, line, strcspn(line, "\n"));
        if (test.name[0] == 'c') {
            FLO_TRY(answer_case(bench, test.name + 1, err));
            continue;
        }
        FLO_TRY(read_test(&test, err));
        if (test.depth + test.count > context) {
            return flo_fail(err, FLO_E_USAGE, "%s needs more than --ctx %u", test.name, context);
        }
        FLO_TRY(run_once(bench, &test, &seconds, err));
        fprintf(bench->out, "{\"%s\":%.3f}\n", test.name, test.count / seconds);
    }
    return 0;
}

/* ---- opening ---- */

static int enter(struct flo_tool *tool, enum flo_sandbox_mode mode, struct flo_err *err)
{
    uint32_t cpus = flo_cpus_allowed();
    int rv = flo_engine_sandbox_enter(FLO_SANDBOX_STARTING, mode, err);

    FLO_TRY(rv);
    if (tool->threads == 0) {
        tool->threads = cpus < THREADS_MAX ? cpus : THREADS_MAX;
    }
    if (tool->threads > 1) {
        FLO_TRY(flo_compute_begin((uint32_t)tool->threads, &tool->pool, err));
    }
    if (rv == 1) {
        FLO_TRY(flo_engine_sandbox_enter(FLO_SANDBOX_OPENING, FLO_SANDBOX_REQUIRED, err));
    }
    return 0;
}

/* Reads the sandbox's mode.  Then the descriptors are closed but for --to. */
static int prepare(const struct flo_bench_line *line, enum flo_sandbox_mode *mode,
                   struct flo_err *err)
{
    if (!flo_sandbox_mode_parse(line->sandbox, mode) || line->to == 0 || line->tool.lora != NULL) {
        return flo_fail(err, FLO_E_USAGE,
                        "--sandbox is required or preferred, with --to and without --lora");
    }
    flo_process_idle();
    flo_sandbox_prepare((int)line->to);
    flo_compute_prepare();
    return 0;
}

/* Opens the files that the engine will read, then gives all other rights up. */
static int confine(struct bench *bench, struct flo_err *err)
{
    struct flo_tool *tool = &bench->tool;

    FLO_TRY(flo_file_open(tool->model, &tool->model_fd, err));
    if (tool->packed != NULL && strcmp(tool->packed, "none") != 0) {
        FLO_TRY(flo_file_open(tool->packed, &tool->packed_fd, err));
    }
    tool->packed = "none";
    return enter(tool, bench->mode, err);
}

static int open_ends(struct bench *bench, uint32_t to, struct flo_err *err)
{
    int other = to == 0 ? -1 : fcntl((int)to, F_DUPFD_CLOEXEC, 0);

    bench->in = to == 0 ? stdin : fdopen((int)to, "r");
    bench->out = to == 0 ? stdout : other < 0 ? NULL : fdopen(other, "w");
    return bench->in != NULL && bench->out != NULL
               ? 0
               : flo_fail_errno(err, FLO_E_USAGE, "--to %u is no open descriptor", to);
}

static int read_golden(struct bench *bench, const char *path, struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    size_t bytes;

    if (path == NULL) {
        return 0;
    }
    FLO_TRY(flo_file_read(path, FLO_GOLDEN_BYTES_MAX, &text, &bytes, err));
    return flo_golden_read(text, bytes, &bench->golden, err);
}

static int open_model(struct bench *bench, struct flo_err *err)
{
    struct flo_random_stream random = {.state = 1};
    enum flo_vocabulary vocabulary =
        bench->golden.n_cases > 0 ? FLO_VOCABULARY_NEEDED : FLO_VOCABULARY_IF_KNOWN;

    if (bench->is_confined) {
        FLO_TRY(confine(bench, err));
    }
    FLO_TRY(flo_tool_answer_open(&bench->tool, vocabulary, &bench->answer, err));
    bench->model = &bench->answer.model;
    const struct flo_engine_info *info = bench->model->info;
    bench->tokens = calloc(info->context, sizeof(*bench->tokens));
    if (bench->tokens == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "the tokens");
    }
    for (uint32_t i = 0; i < info->context; i++) {
        bench->tokens[i] = (int32_t)flo_random_below(&random, info->n_vocab);
    }
    return 0;
}

static int measure(struct bench *bench, const struct flo_bench_line *line, struct flo_err *err)
{
    FLO_TRY(read_tests(bench, err));
    FLO_TRY(read_golden(bench, line->golden, err));
    FLO_TRY(open_model(bench, err));
    FLO_TRY(first_token(bench, err));
    for (size_t i = 0; i < bench->test_count; i++) {
        FLO_TRY(run_test(bench, &bench->tests[i], err));
    }
    print_result(bench);
    return is_asked(bench) ? answer(bench, err) : 0;
}

/* Tells the error to who listens: in the sandbox nobody sees stderr. */
static void tell(struct bench *bench, const struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0};

    flo_tool_json(&text, "{\"error\":", flo_error_id(err->code));
    flo_tool_json(&text, ",\"what\":", err->what);
    flo_buf_text(&text, "}\n");
    if (!text.failed) {
        fputs(text.data, bench->out);
        fflush(bench->out);
    }
}

int flo_bench_model(const struct flo_bench_line *line, struct flo_err *err)
{
    static struct bench bench;

    bench.tool = line->tool;
    bench.tests_text = line->tests_text;
    bench.is_confined = line->sandbox != NULL;
    if (bench.is_confined) {
        FLO_TRY(prepare(line, &bench.mode, err));
    }
    FLO_TRY(open_ends(&bench, line->to, err));
    int rv = measure(&bench, line, err);
    if (rv < 0 && line->to > 0) {
        tell(&bench, err);
    }
    return rv;
}
