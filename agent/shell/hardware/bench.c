/* Benchmark: runs an engine process that measures for two seconds while the
 * device is idle.  The numbers stay stored until hardware, kernel or engine
 * change. */
#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <flotilla/errors/engine.h>

#include "agent/shell/device/device.h"
#include "agent/shell/hardware/memory.h"
#include "agent/shell/serving/serving.h"
#include "base/host/digest.h"
#include "base/talk.h"

#define TIMEOUT_MS_MIN 10000
/* divisor: the benchmark may take `hang` / HANG_PARTS, if that is longer */
#define HANG_PARTS 6
#define AGAIN_MS 3600000 /* after a failure */
#define KEY "bench"      /* key of the benchmark's numbers in outbox.db */

struct flo_bench_child {
    struct flo_shell *shell;
    pid_t pid;
    int fd;
    struct event *readable, *deadline;
    size_t bytes;
    char answer[FLO_BENCH_BYTES_MAX];
};

/* ---- what it is of ---- */

static void add(struct flo_buf *text, const char *key, const char *value)
{
    flo_buf_printf(text, "%s=%s\n", key, value);
}

int flo_bench_digest(const struct flo_shell *shell, const char *more, char out[FLO_DIGEST_TEXT],
                     struct flo_err *err)
{
    const struct flo_machine *machine = &shell->hardware->watch.machine;
    FLO_CLEANUP(flo_free_cleanup) char *version = NULL;
    struct flo_sensed sensed;
    struct flo_digest digest;
    struct flo_sha256 sha = {0};
    struct flo_buf text = {0};
    size_t bytes;

    FLO_TRY(flo_sha256_init(&sha, err));
    flo_sensors_read("", &sensed);
    (void)!flo_file_read("/proc/version", 4096, &version, &bytes, NULL);
    add(&text, "arch", machine->arch);
    add(&text, "kernel", machine->kernel);
    add(&text, "engine", FLO_VERSION);
    add(&text, "version", version == NULL ? "" : version);
    flo_buf_printf(&text, "cpus=%u\nmemory=%llu\n", flo_cpus_allowed(),
                   (unsigned long long)sensed.memory_bytes);
    flo_buf_printf(&text, "gpu=%d%d%d\n", access("/dev/dri/renderD128", F_OK),
                   access("/dev/nvidia0", F_OK), access("/dev/kfd", F_OK));
    flo_buf_printf(&text, "%s", more);
    flo_sha256_update(&sha, text.data, text.bytes);
    flo_sha256_final(&sha, &digest);
    flo_sha256_deinit(&sha);
    flo_buf_deinit(&text);
    flo_digest_text(&digest, out);
    return 0;
}

/* ---- its numbers ---- */

void flo_bench_load(struct flo_shell *shell)
{
    FLO_CLEANUP(flo_free_cleanup) char *text = flo_values_get(shell->db, KEY);
    struct flo_bench stored = {0};
    char of[FLO_DIGEST_TEXT];

    if (text != NULL && flo_bench_digest(shell, "", of, NULL) == 0 &&
        flo_bench_read(text, strlen(text), &stored, NULL) == 0 && strcmp(stored.of, of) == 0) {
        shell->hardware->watch.machine.bench = stored;
    }
}

static void take(struct flo_shell *shell, struct flo_bench *bench)
{
    struct flo_buf text = {0};
    json_t *json;

    bench->at_ms = flo_wall_ms();
    if (flo_bench_digest(shell, "", bench->of, NULL) < 0) {
        return;
    }
    shell->hardware->watch.machine.bench = *bench;
    json = flo_machine_bench_json(bench);
    flo_json_dump(json, &text);
    json_decref(json);
    if (!text.failed) {
        flo_values_set(shell->db, KEY, text.data);
    }
    flo_buf_deinit(&text);
    flo_log(FLO_LOG_INFO, "bench", "memory %llu MB/s, %llu M int8 operations/s, disk %llu MB/s",
            (unsigned long long)(bench->memory_bytes_per_s / 1000000),
            (unsigned long long)(bench->int8_ops_per_s / 1000000),
            (unsigned long long)(bench->read_bytes_per_s / 1000000));
    shell->agent.revision++; /* makes the agent report the new profile */
    flo_queue_wake(&shell->queue);
}

/* ---- the process ---- */

void flo_bench_cancel(struct flo_shell *shell)
{
    struct flo_bench_child *child = shell->hardware->bench;

    shell->hardware->bench = NULL;
    if (child == NULL) {
        return;
    }
    flo_event_drop(&child->readable);
    flo_event_drop(&child->deadline);
    flo_fd_cleanup(&child->fd);
    if (child->pid > 0) {
        flo_serve_kill(shell->serve, child->pid);
    }
    free(child);
}

static void fail(struct flo_shell *shell, const struct flo_err *err)
{
    flo_log_err(FLO_LOG_WARN, "bench", err);
    flo_bench_cancel(shell);
    shell->hardware->bench_again_ms = flo_now_ms() + AGAIN_MS;
}

static void on_readable(evutil_socket_t fd, short events, void *context)
{
    struct flo_bench_child *child = context;
    struct flo_shell *shell = child->shell;
    struct flo_bench bench = {0};
    struct flo_err err = {0};
    ssize_t got = read(fd, child->answer + child->bytes, sizeof(child->answer) - child->bytes);

    (void)events;
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) {
        return;
    }
    if (got > 0 && child->bytes + (size_t)got < sizeof(child->answer)) {
        child->bytes += (size_t)got;
        return; /* more output may follow until the process closes the pipe */
    }
    if (flo_bench_read(child->answer, child->bytes, &bench, &err) < 0) {
        fail(shell, &err);
        return;
    }
    flo_bench_cancel(shell);
    take(shell, &bench);
}

static uint64_t limit_ms(const struct flo_shell *shell)
{
    return flo_shell_hang_part_ms(shell, HANG_PARTS, TIMEOUT_MS_MIN);
}

static void on_deadline(evutil_socket_t fd, short events, void *context)
{
    struct flo_bench_child *child = context;
    struct flo_err err = {0};

    (void)fd, (void)events;
    flo_fail(&err, FLO_E_ENGINE_HANG, "the benchmark took more than %llu ms",
             (unsigned long long)limit_ms(child->shell));
    fail(child->shell, &err);
}

/* Finds a file for the disk's read test: the model file of the first model. */
static bool file_to_read(struct flo_shell *shell, char out[4200])
{
    struct flo_digest digest;
    char hex[FLO_DIGEST_TEXT];

    if (!flo_shell_model_digest(shell, &shell->agent.models[0].slots.current.digest, &digest)) {
        return false;
    }
    flo_digest_text(&digest, hex);
    return snprintf(out, 4200, "%.3900s/blobs/sha256-%s", shell->settings.state_dir,
                    hex + strlen("sha256:")) < 4200;
}

static int start(struct flo_bench_child *child, struct flo_err *err)
{
    struct timeval limit = {.tv_sec = (time_t)(limit_ms(child->shell) / 1000)};
    char file[4200];
    bool has_file = file_to_read(child->shell, file);
    const char *argv[] = {"flotilla-engine",
                          "bench",
                          "--device",
                          "--json",
                          "--to",
                          "3",
                          has_file ? "--read" : NULL,
                          has_file ? file : NULL,
                          NULL};

    FLO_TRY(flo_process_talk(argv, NULL, &child->fd, &child->pid, err));
    evutil_make_socket_nonblocking(child->fd);
    child->readable =
        event_new(child->shell->base, child->fd, EV_READ | EV_PERSIST, on_readable, child);
    child->deadline = evtimer_new(child->shell->base, on_deadline, child);
    return child->readable != NULL && child->deadline != NULL &&
                   event_add(child->readable, NULL) == 0 &&
                   evtimer_add(child->deadline, &limit) == 0
               ? 0
               : flo_fail(err, FLO_E_MEMORY, "benchmark");
}

void flo_bench_start(struct flo_shell *shell)
{
    struct flo_bench_child *child = calloc(1, sizeof(*child));
    struct flo_err err = {0};

    if (child == NULL) {
        return;
    }
    child->shell = shell;
    child->fd = -1;
    shell->hardware->bench = child;
    if (start(child, &err) < 0) {
        fail(shell, &err);
    }
}
