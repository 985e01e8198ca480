/* Output of an updater that was taken over: event lines of a job, in pieces of
 * any size.  The shell must stay whole, tell the core only what it knows, and
 * end the job once. */
#include "agent/shell/update/jobs.c"
#include "tests/shell_rooms.h"

#include <fcntl.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static unsigned ends;

/* ---- the shell around it, as far as it is called ---- */

static void check(const struct flo_agent_event *event)
{
    bool is_end = event->kind == FLO_AGENT_STAGED || event->kind == FLO_AGENT_JOB_FAILED;

    ends += is_end;
    if ((!is_end && event->kind != FLO_AGENT_PROGRESS) || event->job != 7 ||
        (event->kind == FLO_AGENT_JOB_FAILED && event->error.code == 0) ||
        memchr(event->error.what, '\0', sizeof(event->error.what)) == NULL ||
        memchr(event->detail.codec, '\0', sizeof(event->detail.codec)) == NULL) {
        abort();
    }
}

void flo_shell_memory_refuse(struct flo_shell *unused, uint32_t model,
                             const struct flo_digest *release, const struct flo_err *why)
{
    (void)unused;
    (void)model;
    (void)release;
    (void)why;
}

int flo_shell_memory_check(struct flo_shell *unused, uint32_t model,
                           const struct flo_digest *release, struct flo_err *err)
{
    (void)unused, (void)model, (void)release, (void)err;
    return 0;
}

const char *flo_shell_variant_wanted(const struct flo_shell *shell, uint32_t place)
{
    (void)shell, (void)place;
    return NULL;
}

bool flo_shell_fits_both(struct flo_shell *shell, uint32_t model, const struct flo_digest *beside)
{
    (void)shell;
    return beside->bytes[0] == model;
}

bool flo_shell_make_room(struct flo_shell *shell, uint32_t job, const struct flo_digest *release)
{
    (void)shell;
    (void)job;
    (void)release;
    return false;
}

bool flo_shell_packs(const struct flo_shell *shell)
{
    (void)shell;
    return false;
}

void flo_neighbours_job_add(const struct flo_shell *shell,
                            const struct flo_agent_execution *execution, json_t *job)
{
    (void)shell;
    (void)execution;
    (void)job;
}

void flo_neighbours_job_said(struct flo_shell *shell, const char *word, const json_t *json)
{
    (void)shell;
    (void)word;
    (void)json;
}

void flo_neighbours_job_ended(struct flo_shell *shell)
{
    (void)shell;
}

void flo_shell_prefix_hold(struct flo_shell *shell, bool is_held)
{
    (void)shell, (void)is_held;
}

bool flo_shell_keeps_prefixes(const struct flo_shell *shell)
{
    (void)shell;
    return false;
}

json_t *flo_machine_json(const struct flo_settings *settings, const struct flo_machine *machine,
                         uint64_t disk_free_bytes)
{
    (void)settings;
    (void)machine;
    (void)disk_free_bytes;
    return json_object();
}

uint64_t flo_shell_clock_ms(const struct flo_shell *shell)
{
    (void)shell;
    return 0;
}

/* ---- fuzzer ---- */

/* First byte: the size of the pieces. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct flo_shell shell;
    struct flo_agent_event event;
    size_t piece = bytes == 0 || data[0] == 0 ? 4096 : data[0];
    struct flo_job_child *job = calloc(1, sizeof(*job));

    flo_log_level_set(FLO_LOG_ERROR);
    if (job == NULL || bytes < 2) {
        free(job);
        return 0;
    }
    if (shell.update == NULL) {
        shell_empty(&shell);
    }
    *job = (struct flo_job_child){.shell = &shell, .number = 7, .fd = -1};
    shell.update->job = job;
    ends = 0;
    for (size_t at = 1; at < bytes && shell.update->job != NULL; at += piece) {
        size_t room = sizeof(job->line) - job->bytes;
        size_t part = bytes - at < piece ? bytes - at : piece;
        part = part < room ? part : room;
        memcpy(job->line + job->bytes, data + at, part);
        job->bytes += part;
        bool goes_on = take_lines(job);
        while (flo_queue_take(&shell.queue, &event)) {
            check(&event);
        }
        if (goes_on && job->bytes == sizeof(job->line)) {
            break;
        }
    }
    if (ends > 1 || (shell.update->job == NULL) != (ends == 1)) {
        abort();
    }
    job_end(&shell);
    return 0;
}
