/* Jobs: runs the updater's worker, one process for each job.  The worker gets
 * one line, and answers with lines of events (contracts/processes.md section
 * 5).  Its lines are not trusted until they match the format. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <flotilla/errors/memory.h>
#include <flotilla/errors/process.h>
#include <flotilla/errors/state.h>
#include <flotilla/errors/worker.h>

#include "agent/shell/derived/derived.h"
#include "agent/shell/neighbours/neighbours.h"
#include "agent/shell/queue/timers.h"
#include "agent/shell/update/memory.h"
#include "base/talk.h"

#define LINE_BYTES_MAX 65536
#define MEMORY_BYTES_MAX (32 << 20)
/* pause before the worker process is checked again; it ends some ms after its
 * last line */
#define AGAIN_MS 20
#define WAIT_TOLD_MS 1000
/* longest time that a job waits for a killed process; then the core repeats the
 * job later, but one of a bundle goes on waiting */
#define WAIT_MS_MAX 60000

struct flo_job_child {
    struct flo_shell *shell;
    uint32_t model;
    uint32_t number;
    pid_t pid;
    int fd;
    struct event *readable;
    struct flo_digest release;
    uint64_t pair;  /* number of the pair of key and certificate with which it began */
    bool has_ended; /* the worker's line "staged" or "failed" has arrived */
    bool is_verifying;
    size_t bytes;
    char line[LINE_BYTES_MAX];
};

static void job_free(struct flo_job_child *job)
{
    flo_event_drop(&job->readable);
    flo_fd_cleanup(&job->fd);
    if (job->pid > 0) {
        flo_serve_kill(job->shell->serve, job->pid);
    }
    free(job);
}

static void job_end(struct flo_shell *shell)
{
    struct flo_job_child *job = shell->update->job;

    shell->update->job = NULL;
    flo_shell_prefix_hold(shell, false);
    flo_neighbours_job_ended(shell);
    if (job != NULL) {
        job_free(job);
    }
}

/* Returns what the job is for. */
static const struct flo_agent_execution *asked_of(const struct flo_shell *shell, uint32_t model)
{
    return model == FLO_NO_MODEL ? &shell->update->guest.asked
                                 : &shell->agent.models[model].execution;
}

static void job_failed(struct flo_shell *shell, uint32_t model, uint32_t number, int code,
                       const char *what, bool is_passing)
{
    struct flo_agent_event event = {
        .kind = FLO_AGENT_JOB_FAILED, .model = model, .job = number, .is_passing = is_passing};

    if (number == FLO_JOB_GUEST) {
        shell->update->guest.said(shell, "lost", NULL);
        return;
    }
    event.error.code = code;
    snprintf(event.error.what, sizeof(event.error.what), "%.255s", what);
    flo_queue_post(&shell->queue, &event);
}

/* Ends the job, which failed for a passing reason.  Returns false. */
static bool job_lost(struct flo_job_child *job, int code, const char *what)
{
    struct flo_shell *shell = job->shell;
    uint32_t number = job->number;
    uint32_t model = job->model;

    job_end(shell);
    job_failed(shell, model, number, code, what, true);
    return false;
}

/* ---- what it says ---- */

static void copy_plan(const json_t *json, struct flo_agent_detail *detail)
{
    flo_json_copy_text(json, "codec", detail->codec, sizeof(detail->codec));
    detail->bytes = flo_json_number(json, "bytes");
    detail->full_bytes = flo_json_number(json, "full_bytes");
    detail->took_ms = flo_json_number(json, "took_ms");
}

/* Reports the worker's progress.  Returns false when the queue has no room for
 * its lines. */
static bool say_progress(struct flo_job_child *job, const json_t *json, enum flo_execution state)
{
    struct flo_agent_event event = {
        .kind = FLO_AGENT_PROGRESS, .model = job->model, .job = job->number, .state = state};

    copy_plan(json, &event.detail);
    if (state == FLO_EXECUTION_DOWNLOADING) {
        event.detail.bytes = 0; /* the plan has already reported these bytes */
    }
    return flo_queue_offer(&job->shell->queue, &event);
}

/* Tells whether memory holds the old and the new release at once.  For an
 * exchange of variants it says no, because memory is short then, or was short
 * until now; a variant that is measured needs room next to the other one. */
static bool fits_both(struct flo_shell *shell, uint32_t model, const struct flo_digest *release)
{
    const struct flo_agent_execution *execution = &shell->agent.models[model].execution;

    return (execution->variant[0] == '\0' || execution->is_measured) &&
           flo_shell_fits_both(shell, model, release);
}

static void say_staged(struct flo_job_child *job, const json_t *json)
{
    struct flo_err err = {0};
    struct flo_shell *shell = job->shell;
    struct flo_agent_event event = {
        .kind = FLO_AGENT_STAGED, .model = job->model, .job = job->number};

    copy_plan(json, &event.detail);
    /* an interrupted run left `found_bytes` of this download on the disk */
    event.detail.bytes =
        flo_json_number(json, "fetched_bytes") + flo_json_number(json, "found_bytes");
    event.detail.neighbour_bytes = flo_json_number(json, "neighbour_bytes");
    event.fits_both = fits_both(shell, job->model, &job->release);
    if (flo_shell_memory_check(shell, job->model, &job->release, &err) < 0) {
        event.error.code = err.code;
        snprintf(event.error.what, sizeof(event.error.what), "%.255s", err.what);
        flo_shell_memory_refuse(shell, job->model, &job->release, &err);
    }
    shell->models[job->model].fresh = job->release;
    job_end(shell);
    flo_queue_post(&shell->queue, &event);
}

/* Handles a failed job.  If the disk is full, files that no slot names are
 * removed, and the job waits until their space is free: an engine that uses
 * them must end first.  Until then such files stay, because a delta or a later
 * order may need them. */
static void say_failed(struct flo_job_child *job, const json_t *json)
{
    struct flo_shell *shell = job->shell;
    struct flo_digest release = job->release;
    uint32_t number = job->number;
    uint32_t model = job->model;
    json_t *error = json_object_get(json, "error");
    const char *text = flo_json_text(error, "what", "the updater failed");
    int code = flo_error_code(flo_json_text(error, "id", ""));

    job_end(shell);
    if (code == FLO_E_MEMORY_BUDGET) {
        struct flo_err why = {.code = code};
        snprintf(why.what, sizeof(why.what), "%.255s", text);
        flo_shell_memory_refuse(shell, model, &release, &why);
    }
    if (code == FLO_E_DISK_FULL && (flo_shell_make_room(shell, number, &release) ||
                                    (shell->serve != NULL && flo_serve_is_ending(shell->serve)))) {
        shell->update->waiting_job = number;
        shell->update->waiting_model = model;
        flo_shell_later(shell->update->collect, 0);
        return;
    }
    job_failed(shell, model, number, code == 0 ? FLO_E_WORKER_PROTOCOL : code, text,
               json_is_true(json_object_get(json, "passing")));
}

/* Logs which variant of the release the device takes, if it is not the first
 * one. */
static void log_variant(const json_t *json)
{
    const char *chosen = flo_json_text(json, "chosen", "");

    if (chosen[0] != '\0' && strcmp(chosen, FLO_PLAN_FIRST) != 0) {
        flo_log(FLO_LOG_INFO, "updater", "%s: variant %s is taken: %s",
                flo_json_text(json, "title", "?"), flo_json_text(json, "variant", "?"), chosen);
    }
}

static uint64_t pair_in_use(const struct flo_identity *identity)
{
    return identity->pairs.list[identity->pair].number;
}

/* Calls a refusal passing if it concerned a certificate that was replaced while
 * the job ran: another try uses the new certificate. */
static void mark_outdated(const struct flo_job_child *job, json_t *json)
{
    int code = flo_error_code(flo_json_text(json_object_get(json, "error"), "id", ""));
    enum flo_exit kind = flo_error_exit(code);

    if ((kind == FLO_EXIT_AUTH || kind == FLO_EXIT_NETWORK) &&
        job->pair != pair_in_use(&job->shell->identity)) {
        json_object_set_new(json, "passing", json_true());
    }
}

/* Passes a line about the guest on.  Returns false when its job has ended. */
static bool take_guests_line(struct flo_shell *shell, const char *word, const json_t *json)
{
    bool is_end = strcmp(word, "staged") == 0 || strcmp(word, "failed") == 0;

    if (is_end) {
        job_end(shell);
    }
    shell->update->guest.said(shell, word, json);
    return !is_end;
}

/* Handles a line of the worker.  Returns false when the job has ended and was
 * freed. */
static bool take_line(struct flo_job_child *job, const char *line, size_t bytes)
{
    static const struct {
        const char *word;
        enum flo_execution state;
    } steps[] = {{"planned", FLO_EXECUTION_ACCEPTED},
                 {"downloading", FLO_EXECUTION_DOWNLOADING},
                 {"applying", FLO_EXECUTION_APPLYING},
                 {"verifying", FLO_EXECUTION_VERIFYING}};
    FLO_CLEANUP(flo_json_cleanup) json_t *json = NULL;
    const char *word = NULL;

    if (flo_json_parse(line, bytes, LINE_BYTES_MAX, &json, NULL) < 0 ||
        flo_json_get_text(json, "event", 32, &word, NULL) < 0) {
        return job_lost(job, FLO_E_WORKER_PROTOCOL, "the updater wrote no event line");
    }
    flo_neighbours_job_said(job->shell, word, json);
    if (strcmp(word, "failed") == 0) {
        mark_outdated(job, json);
    }
    if (job->number == FLO_JOB_GUEST) {
        return take_guests_line(job->shell, word, json);
    }
    for (size_t i = 0; i < FLO_COUNT(steps); i++) {
        if (strcmp(word, steps[i].word) == 0 && !say_progress(job, json, steps[i].state)) {
            return job_lost(job, FLO_E_WORKER_PROTOCOL,
                            "the updater says more than anybody can take");
        }
    }
    if (strcmp(word, "planned") == 0) {
        log_variant(json);
    } else if (strcmp(word, "resumed") == 0) {
        flo_log(FLO_LOG_INFO, "updater", "an update goes on after a cut: %llu of %llu bytes stand",
                (unsigned long long)flo_json_number(json, "kept"),
                (unsigned long long)flo_json_number(json, "total"));
    } else if (strcmp(word, "fallback") == 0) {
        flo_log(FLO_LOG_WARN, "updater", "the updater takes another way: %s",
                flo_json_text(json_object_get(json, "error"), "what", ""));
    } else if (strcmp(word, "staged") == 0) {
        say_staged(job, json);
        return false;
    } else if (strcmp(word, "failed") == 0) {
        say_failed(job, json);
        return false;
    }
    return true;
}

static bool take_lines(struct flo_job_child *job)
{
    size_t begin = 0;
    size_t i;

    for (i = 0; i < job->bytes; i++) {
        if (job->line[i] == '\n') {
            if (!take_line(job, job->line + begin, i - begin)) {
                return false;
            }
            begin = i + 1;
        }
    }
    memmove(job->line, job->line + begin, job->bytes - begin);
    job->bytes -= begin;
    return true;
}

static void on_readable(evutil_socket_t fd, short events, void *context)
{
    struct flo_job_child *job = context;
    ssize_t got = read(fd, job->line + job->bytes, sizeof(job->line) - job->bytes);

    (void)events;
    if (got < 0 && (errno == EINTR || errno == EAGAIN)) {
        return;
    }
    if (got > 0) {
        job->bytes += (size_t)got;
        if (take_lines(job) && job->bytes == sizeof(job->line)) {
            (void)job_lost(job, FLO_E_WORKER_PROTOCOL, "the updater wrote a line without end");
        }
        return;
    }
    (void)job_lost(job, FLO_E_PROCESS, "the updater ended without an answer");
}

/* ---- start, cancel ---- */

/* The owner's mirrors, then the controller, which has everything. */
static json_t *urls_json(const struct flo_shell *shell)
{
    const struct flo_config *config = shell->settings.config;
    json_t *urls = json_array();

    for (size_t i = 0; i < flo_config_texts_count(config, "mirrors"); i++) {
        json_array_append_new(urls, json_string(flo_config_texts_get(config, "mirrors", i)));
    }
    json_array_append_new(urls, json_string(shell->identity.controller));
    return urls;
}

static json_t *job_json(struct flo_shell *shell, uint32_t model)
{
    const struct flo_agent_execution *execution = asked_of(shell, model);
    const char *variant = model == FLO_NO_MODEL ? NULL : flo_shell_variant_wanted(shell, model);
    const struct flo_identity *identity = &shell->identity;
    uint64_t rate = execution->policy.rate_bytes_per_s;
    uint64_t own_rate = flo_config_u64(shell->settings.config, "download_rate");
    char digest[FLO_DIGEST_TEXT];
    json_t *json;

    if (own_rate != 0 && (rate == 0 || own_rate < rate)) {
        rate = own_rate;
    }
    flo_digest_text(&execution->release.digest, digest);
    json = json_pack("{s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:I, s:i}", "v", 1, "job", "stage",
                     "state_dir", shell->settings.state_dir, "release", digest, "trust_file",
                     identity->trust_file, "fleet", identity->fleet, "ca_file",
                     identity->is_there ? identity->ca_file : "", "profile",
                     flo_machine_json(&shell->settings, &shell->watch->machine,
                                      flo_store_disk_free(shell->store)),
                     "rate_bytes_per_s", (json_int_t)rate, "memory_bytes_max", MEMORY_BYTES_MAX);
    if (json == NULL) {
        return NULL;
    }
    json_object_set_new(json, "deadline_ms",
                        json_integer((json_int_t)execution->policy.step_timeout_ms));
    json_object_set_new(json, "time_ms", json_integer((json_int_t)flo_shell_clock_ms(shell)));
    json_object_set_new(json_object_get(json, "profile"), "packs",
                        json_boolean(flo_shell_packs(shell)));
    json_object_set_new(json_object_get(json, "profile"), "prefix_bytes",
                        json_integer(flo_shell_keeps_prefixes(shell) ? FLO_SERVE_PREFIX_BYTES : 0));
    json_object_set_new(json, "sandbox",
                        json_string(flo_sandbox_mode_word(shell->settings.sandbox)));
    if (variant != NULL) {
        json_object_set_new(json, "variant", json_string(variant));
    }
    if (execution->bundle[0] != '\0') {
        json_object_set_new(json, "bundle", json_string(execution->bundle));
    } else {
        json_object_set_new(json, "urls", urls_json(shell));
        json_object_set_new(json, "cert_file", json_string(identity->cert_file));
        json_object_set_new(json, "key_file", json_string(identity->key_file));
        flo_neighbours_job_add(shell, execution, json);
    }
    return json;
}

static int job_send(struct flo_shell *shell, uint32_t model, int fd, struct flo_err *err)
{
    struct flo_buf text = {0};
    json_t *json = job_json(shell, model);
    int rv;

    if (json == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "job");
    }
    flo_json_dump(json, &text);
    json_decref(json);
    flo_buf_text(&text, "\n");
    rv = text.failed ? flo_fail(err, FLO_E_MEMORY, "job")
                     : flo_fd_write_all(fd, text.data, text.bytes, err);
    flo_buf_deinit(&text);
    return rv;
}

static int job_open(struct flo_shell *shell, struct flo_job_child *job, struct flo_err *err)
{
    const char *argv[] = {"flotilla-updater", "worker", NULL};
    static const char *const keep[] = {
        "FLOTILLA_LOG",  "FLO_*",        "LD_*",     "http_proxy", "https_proxy", "HTTPS_PROXY",
        "all_proxy",     "ALL_PROXY",    "no_proxy", "NO_PROXY",   "SSL_CERT_*",  "ASAN_OPTIONS",
        "UBSAN_OPTIONS", "LSAN_OPTIONS", "QEMU_*",   NULL};

    FLO_TRY(flo_process_talk(argv, keep, &job->fd, &job->pid, err));
    FLO_TRY(job_send(shell, job->model, job->fd, err));
    evutil_make_socket_nonblocking(job->fd);
    job->readable = event_new(shell->base, job->fd, EV_READ | EV_PERSIST, on_readable, job);
    if (job->readable == NULL || event_add(job->readable, NULL) != 0) {
        return flo_fail(err, FLO_E_MEMORY, "job");
    }
    return 0;
}

/* Lets the job wait for a killed process that still writes.  That process has
 * the lock of the downloads, and disk space that the plan must find free. */
static void wait_for(struct flo_shell *shell, pid_t pid, uint32_t model, uint32_t number)
{
    uint64_t now = flo_now_ms();
    char what[64];

    if (shell->update->waiting_job != number || shell->update->waiting_since_ms == 0) {
        shell->update->waiting_job = number;
        shell->update->waiting_model = model;
        shell->update->waiting_since_ms = now;
        shell->update->waiting_is_told = false;
    }
    if (now - shell->update->waiting_since_ms >= WAIT_MS_MAX &&
        asked_of(shell, model)->bundle[0] == '\0') {
        shell->update->waiting_job = 0;
        snprintf(what, sizeof(what), "process %ld still writes", (long)pid);
        job_failed(shell, model, number, FLO_E_STATE_LOCKED, what, true);
        return;
    }
    if (!shell->update->waiting_is_told && now - shell->update->waiting_since_ms >= WAIT_TOLD_MS) {
        shell->update->waiting_is_told = true;
        flo_log(FLO_LOG_INFO, "updater", "the updater waits for process %ld, which still writes",
                (long)pid);
    }
    flo_shell_later(shell->update->collect,
                    shell->update->waiting_is_told ? WAIT_TOLD_MS : AGAIN_MS);
}

void flo_shell_job_start(struct flo_shell *shell, uint32_t model, uint32_t number)
{
    struct flo_job_child *job;
    struct flo_err err = {0};
    pid_t pid;

    job_end(shell);
    if (number != FLO_JOB_GUEST && shell->update->guest.leave != NULL) {
        shell->update->guest.leave(shell);
    }
    pid = flo_serve_killed_pid(shell->serve);
    if (pid != 0) {
        wait_for(shell, pid, model, number);
        return;
    }
    shell->update->waiting_job = 0;
    shell->update->waiting_since_ms = 0;
    job = calloc(1, sizeof(*job));
    if (job == NULL) {
        job_failed(shell, model, number, FLO_E_MEMORY, "job", true);
        return;
    }
    job->shell = shell;
    job->model = model;
    job->number = number;
    job->fd = -1;
    job->release = asked_of(shell, model)->release.digest;
    job->pair = pair_in_use(&shell->identity);
    shell->update->job = job;
    flo_shell_prefix_hold(shell, true);
    if (job_open(shell, job, &err) < 0) {
        job_end(shell);
        job_failed(shell, model, number, err.code, err.what, true);
    }
}

bool flo_shell_job_again(struct flo_shell *shell)
{
    if (shell->update->waiting_job == 0) {
        return false;
    }
    if (flo_serve_is_ending(shell->serve)) {
        flo_shell_later(shell->update->collect, AGAIN_MS);
    } else {
        flo_shell_job_start(shell, shell->update->waiting_model, shell->update->waiting_job);
    }
    return true;
}

bool flo_shell_job_is_open(const struct flo_shell *shell)
{
    return shell->update->job != NULL || shell->update->waiting_job != 0;
}

void flo_shell_job_cancel(struct flo_shell *shell, uint32_t number)
{
    if (number == 0 || shell->update->waiting_job == number) {
        shell->update->waiting_job = 0;
    }
    if (shell->update->job != NULL && (number == 0 || shell->update->job->number == number)) {
        job_end(shell);
    }
}
