/* Process: starts `flotilla-engine bench` in its sandbox, asks it test by test,
 * and reads its answers. */
#include <errno.h>
#include <event2/event.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <flotilla/errors/engine.h>
#include <flotilla/errors/process.h>
#include <flotilla/errors/worker.h>

#include "agent/shell/benchmark/benchmarking.h"
#include "agent/shell/device/device.h"
#include "agent/shell/hardware/hardware.h"
#include "base/sandbox.h"
#include "base/talk.h"

#define PROMPT_TOKENS 128
#define GENERATED_TOKENS 32
/* A test may take this part of `hang`, or TEST_MS_MIN if that is longer. */
#define HANG_PARTS 1
#define TEST_MS_MIN 60000

void flo_benchmark_process_end(struct flo_benchmarking *b)
{
    flo_event_drop(&b->readable);
    flo_fd_cleanup(&b->fd);
    if (b->pid > 0) {
        flo_serve_kill(b->shell->serve, b->pid);
        b->pid = 0;
    }
    b->bytes = 0;
    b->is_open = false;
}

bool flo_benchmark_process_hangs(const struct flo_benchmarking *b)
{
    return b->pid > 0 &&
           flo_now_ms() - b->asked_ms > flo_shell_hang_part_ms(b->shell, HANG_PARTS, TEST_MS_MIN);
}

/* ---- questions ---- */

static int ask_next(struct flo_benchmarking *b, struct flo_err *err)
{
    char line[32];
    uint32_t which = 0;

    b->test = flo_benchmark_next(&b->core, &which);
    if (b->test == FLO_BENCHMARK_PROMPT) {
        snprintf(line, sizeof(line), "p%d\n", PROMPT_TOKENS);
    } else if (b->test == FLO_BENCHMARK_GENERATE) {
        snprintf(line, sizeof(line), "g%d\n", GENERATED_TOKENS);
        flo_energy_read(flo_sensors_root(), &b->before);
    } else {
        snprintf(line, sizeof(line), "c%u\n", which);
    }
    b->asked_ms = flo_now_ms();
    if (send(b->fd, line, strlen(line), MSG_NOSIGNAL) != (ssize_t)strlen(line)) {
        return flo_fail_errno(err, FLO_E_PROCESS, "ask the process of a benchmark");
    }
    return 0;
}

/* ---- answers ---- */

static void take_energy(struct flo_benchmarking *b)
{
    struct flo_energy after;
    uint64_t used_uj = 0;

    flo_energy_read(flo_sensors_root(), &after);
    b->seen.source = after.source;
    if (flo_energy_used(&b->before, &after, &used_uj)) {
        b->seen.energy_uj += (double)used_uj;
        b->seen.energy_ms += (double)(flo_now_ms() - b->asked_ms);
        b->seen.energy_tokens += GENERATED_TOKENS;
    }
}

/* Takes the first line, which tells about the open model. */
static void take_head(struct flo_benchmarking *b, const json_t *json)
{
    struct flo_benchmark_seen *seen = &b->seen;
    double ttft_ms = json_number_value(json_object_get(json, "ttft_ms"));

    seen->load_ms = json_number_value(json_object_get(json, "load_ms"));
    seen->first_token_ms = ttft_ms > seen->load_ms ? ttft_ms - seen->load_ms : 0;
    seen->threads = (double)flo_json_number(json, "threads");
    seen->is_packed = json_is_true(json_object_get(json, "packed"));
    snprintf(seen->kernel, sizeof(seen->kernel), "%.31s",
             json_is_string(json_object_get(json, "kernel"))
                 ? json_string_value(json_object_get(json, "kernel"))
                 : "");
    b->core.cases = (uint32_t)flo_json_number_to(json, "cases", FLO_GOLDEN_CASES_MAX);
    b->is_open = true;
}

static int take_result(struct flo_benchmarking *b, const json_t *json, struct flo_err *err)
{
    const json_t *value = json_object_iter_value(json_object_iter((json_t *)(uintptr_t)json));
    uint64_t rss = 0, anonymous = 0, peak = 0;

    if (!json_is_number(value) || json_number_value(value) < 0) {
        return flo_fail(err, FLO_E_WORKER_PROTOCOL, "the answer of a benchmark is no number");
    }
    bool had_result = flo_benchmark_has_result(&b->core);
    bool had_answer = flo_benchmark_answers(&b->core) > 0;
    flo_benchmark_take(&b->core, b->test, json_number_value(value));
    if (!had_result && flo_benchmark_has_result(&b->core)) {
        flo_log(FLO_LOG_INFO, "bench", "order %s: first figures of %s@%s", b->jobs[0].order,
                b->seen.model, b->seen.version);
    }
    if (!had_answer && flo_benchmark_answers(&b->core) > 0) {
        flo_log(FLO_LOG_INFO, "bench", "order %s: first answer of %s@%s is %s", b->jobs[0].order,
                b->seen.model, b->seen.version, b->core.right > 0 ? "right" : "wrong");
    }
    if (b->test == FLO_BENCHMARK_GENERATE) {
        take_energy(b);
    }
    if (flo_process_memory(b->pid, &rss, &anonymous, &peak) && (double)peak > b->seen.rss_bytes) {
        b->seen.rss_bytes = (double)peak;
    }
    return 0;
}

static int take_line(struct flo_benchmarking *b, const char *line, size_t bytes,
                     struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *json = NULL;

    if (flo_json_parse(line, bytes, FLO_BENCHMARK_LINE, &json, NULL) < 0) {
        return flo_fail(err, FLO_E_WORKER_PROTOCOL, "a line of a benchmark is no JSON");
    }
    const char *error = json_string_value(json_object_get(json, "error"));
    if (error != NULL) {
        const char *what = json_string_value(json_object_get(json, "what"));
        int code = flo_error_code(error);
        return flo_fail(err, code < 0 ? code : FLO_E_ENGINE_CRASH, "%.200s",
                        what != NULL ? what : error);
    }
    if (!b->is_open) {
        take_head(b, json);
    } else {
        FLO_TRY(take_result(b, json, err));
    }
    return ask_next(b, err);
}

static int take_lines(struct flo_benchmarking *b, struct flo_err *err)
{
    char *end;

    while ((end = memchr(b->line, '\n', b->bytes)) != NULL) {
        size_t bytes = (size_t)(end - b->line);
        FLO_TRY(take_line(b, b->line, bytes, err));
        b->bytes -= bytes + 1;
        memmove(b->line, end + 1, b->bytes);
    }
    return b->bytes < sizeof(b->line)
               ? 0
               : flo_fail(err, FLO_E_WORKER_PROTOCOL, "a line of a benchmark is too long");
}

static void on_readable(evutil_socket_t fd, short events, void *context)
{
    struct flo_benchmarking *b = context;
    struct flo_err err = {0};
    ssize_t got = read(fd, b->line + b->bytes, sizeof(b->line) - b->bytes);
    int rv = 0;

    (void)events;
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) {
        return;
    }
    if (got <= 0) {
        rv = flo_fail(&err, FLO_E_ENGINE_KILLED, "the process of a benchmark ended");
    } else {
        b->bytes += (size_t)got;
        rv = take_lines(b, &err);
    }
    if (rv < 0) {
        b->failed(b, &err);
    }
}

/* ---- its start ---- */

static int spawn(struct flo_benchmarking *b, const struct flo_benchmark_files *files,
                 struct flo_err *err)
{
    const struct flo_settings *settings = &b->shell->settings;
    char context[16], threads[16];
    const char *argv[32] = {"flotilla-engine",
                            "bench",
                            "--json",
                            "--tests",
                            "-",
                            "--to",
                            "3",
                            "--sandbox",
                            flo_sandbox_mode_word(settings->sandbox),
                            "--model",
                            files->model,
                            "--packed",
                            files->packed[0] != '\0' ? files->packed : "none"};
    size_t count = 13;

    snprintf(context, sizeof(context), "%u", files->context);
    snprintf(threads, sizeof(threads), "%llu",
             (unsigned long long)flo_config_u64(settings->config, "threads"));
    if (files->golden[0] != '\0') {
        argv[count++] = "--golden";
        argv[count++] = files->golden;
    }
    if (files->context > PROMPT_TOKENS) {
        argv[count++] = "--ctx";
        argv[count++] = context;
    }
    if (strcmp(threads, "0") != 0) {
        argv[count++] = "--threads";
        argv[count++] = threads;
    }
    return flo_process_talk(argv, NULL, &b->fd, &b->pid, err);
}

int flo_benchmark_process_start(struct flo_benchmarking *b, flo_benchmark_process_failed *failed,
                                struct flo_err *err)
{
    struct flo_benchmark_files files;

    b->failed = failed;
    FLO_TRY(flo_benchmark_find(b->shell, &b->jobs[0], &files, &b->seen, err));
    FLO_TRY(spawn(b, &files, err));
    evutil_make_socket_nonblocking(b->fd);
    b->readable = event_new(b->shell->base, b->fd, EV_READ | EV_PERSIST, on_readable, b);
    b->asked_ms = b->begun_ms = flo_now_ms();
    flo_energy_read(flo_sensors_root(), &b->begun);
    b->seen.source = b->begun.source;
    return b->readable != NULL && event_add(b->readable, NULL) == 0
               ? 0
               : flo_fail(err, FLO_E_MEMORY, "benchmark");
}
