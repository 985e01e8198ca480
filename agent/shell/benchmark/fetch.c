/* Fetch: brings the release of a benchmark to the device as the updater's guest
 * (agent/shell/update/update.h), and takes it away again.
 *
 * The updater's worker checks the signature, chooses the variant, checks the
 * space and fetches, as for an update.  No slot ever names the release. */
#include <string.h>

#include <flotilla/errors/process.h>
#include <flotilla/errors/state.h>
#include <flotilla/errors/worker.h>

#include "agent/shell/benchmark/benchmarking.h"
#include "agent/shell/device/device.h"
#include "agent/shell/serving/serving.h"

/* ---- may it run here? ---- */

static int refused(const struct flo_agent_error *refusal, struct flo_err *err)
{
    return refusal->code == 0 ? 0 : flo_fail(err, refusal->code, "%s", refusal->what);
}

/* Checks what is known before the document is here: the records of the models
 * name blocked releases by their digests. */
static int admit_unseen(const struct flo_shell *shell, const struct flo_digest *digest,
                        struct flo_err *err)
{
    struct flo_agent_error refusal = {0};

    for (size_t i = 0; i < FLO_AGENT_MODELS_MAX && refusal.code == 0; i++) {
        flo_shell_refusal(shell->identity.trust, &shell->models[i].slots, digest, 0, &refusal);
    }
    return refused(&refusal, err);
}

int flo_benchmark_admit(struct flo_shell *shell, const struct flo_benchmark_job *job,
                        struct flo_err *err)
{
    struct flo_agent_error refusal = {0};
    struct flo_release *release = NULL;
    struct flo_slots *record = NULL;

    if (!job->is_named) {
        return 0; /* the release serves */
    }
    if (flo_shell_release_get(shell, &job->release, &release, NULL) < 0) {
        return admit_unseen(shell, &job->release, err);
    }
    int rv = flo_shell_record(shell, release->model, &record, err);
    if (rv == 0) {
        flo_shell_refusal(shell->identity.trust, record, &job->release, release->number, &refusal);
        rv = refused(&refusal, err);
    }
    if (rv == 0) {
        rv = flo_shell_check_signature(shell, &job->release, err);
    }
    flo_shell_release_free(&release);
    return rv;
}

/* ---- the download ---- */

int flo_benchmark_check_plan(struct flo_benchmarking *b, struct flo_err *err)
{
    const struct flo_release_file *adapter = NULL;
    const struct flo_release_variant *variant;
    struct flo_release *release = NULL;

    FLO_TRY(flo_benchmark_admit(b->shell, &b->jobs[0], err));
    FLO_TRY(flo_shell_release_get(b->shell, &b->jobs[0].release, &release, err));
    variant = flo_release_variant_named(release, b->seen.variant);
    bool is_runtime = variant != NULL && !flo_release_is_native(variant);
    int rv =
        variant == NULL || is_runtime ? 0 : flo_release_adapter(release, variant, &adapter, err);
    if (rv == 0) {
        rv = flo_benchmark_check_kind(release, is_runtime, adapter != NULL, err);
    }
    flo_shell_release_free(&release);
    return rv;
}

static void take_plan(struct flo_benchmarking *b, const json_t *line)
{
    flo_shell_guest(b->shell)->release = b->jobs[0].release;
    flo_json_copy_text(line, "variant", b->seen.variant, sizeof(b->seen.variant));
    b->is_planned = true;
    flo_log(FLO_LOG_INFO, "bench", "order %s fetches %s: %llu bytes", b->jobs[0].order,
            flo_json_text(line, "title", "?"), (unsigned long long)flo_json_number(line, "bytes"));
}

/* The updater failed.  On a full disk files that nobody needs go first, and the
 * download is tried again. */
static void take_failure(struct flo_benchmarking *b, const json_t *line)
{
    const json_t *error = json_object_get(line, "error");
    bool is_passing = json_is_true(json_object_get(line, "passing"));
    struct flo_err err = {0};
    int code = flo_error_code(flo_json_text(error, "id", ""));

    if (code == FLO_E_DISK_FULL) {
        is_passing = flo_shell_make_room(b->shell, FLO_JOB_GUEST, &b->jobs[0].release);
    }
    flo_fail(&err, code < 0 ? code : FLO_E_WORKER_PROTOCOL, "%.200s",
             flo_json_text(error, "what", "the updater failed"));
    b->fetch_ended(b, &err, is_passing);
}

static void on_said(struct flo_shell *shell, const char *word, const json_t *line)
{
    struct flo_benchmarking *b = shell->benchmarking;
    struct flo_err err = {0};

    if (strcmp(word, "planned") == 0) {
        take_plan(b, line);
    } else if (strcmp(word, "failed") == 0) {
        take_failure(b, line);
    } else if (strcmp(word, "staged") == 0) {
        b->seen.fetched_bytes += (double)flo_json_number(line, "fetched_bytes") +
                                 (double)flo_json_number(line, "found_bytes");
        b->fetch_ended(b, NULL, false);
    } else if (strcmp(word, "lost") == 0) {
        flo_fail(&err, FLO_E_PROCESS, "the updater ended without an answer");
        b->fetch_ended(b, &err, true);
    }
}

void flo_benchmark_fetch_start(struct flo_benchmarking *b, flo_benchmark_fetch_ended *ended)
{
    struct flo_guest *guest = flo_shell_guest(b->shell);
    struct flo_err err = {0};

    b->fetch_ended = ended;
    b->is_planned = false;
    guest->said = on_said;
    guest->asked.release.digest = b->jobs[0].release;
    if (flo_shell_job_is_open(b->shell) || flo_serve_killed_pid(b->shell->serve) != 0) {
        flo_fail(&err, FLO_E_STATE_LOCKED, "the updater is busy");
        ended(b, &err, true);
        return;
    }
    flo_shell_job_start(b->shell, FLO_NO_MODEL, FLO_JOB_GUEST);
}

/* ---- the files go ---- */

void flo_benchmark_fetch_sweep(struct flo_shell *shell)
{
    struct flo_digest keep[FLO_AGENT_MODELS_MAX];
    size_t count = 0;

    memset(&flo_shell_guest(shell)->release, 0, sizeof(struct flo_digest));
    for (size_t i = 0; i < FLO_AGENT_MODELS_MAX; i++) {
        const struct flo_agent_model *model = &shell->agent.models[i];
        if (model->has_execution &&
            flo_store_blob_has(shell->store, &model->execution.release.digest, 0)) {
            keep[count++] = model->execution.release.digest;
        }
    }
    if (!flo_shell_job_is_open(shell)) {
        (void)flo_shell_sweep(shell, keep, count);
    }
}

void flo_benchmark_fetch_drop(struct flo_benchmarking *b)
{
    if (b->core.fetches > 0) {
        b->leaving = b->jobs[0].release;
    }
    flo_shell_job_cancel(b->shell, FLO_JOB_GUEST);
}

bool flo_benchmark_fetch_is_leaving(struct flo_benchmarking *b)
{
    struct flo_shell *shell = b->shell;

    if (flo_digest_is_zero(&b->leaving)) {
        return false;
    }
    if (flo_shell_job_is_open(shell) || flo_serve_killed_pid(shell->serve) != 0) {
        return true;
    }
    if (b->job_count > 0 && flo_digest_equal(&b->leaving, &b->jobs[0].release)) {
        b->core.fetches += b->core.fetches == 0 ? 1 : 0; /* they go after this job */
    } else {
        flo_store_partials_drop(shell->store, &b->leaving);
        flo_benchmark_fetch_sweep(shell);
    }
    memset(&b->leaving, 0, sizeof(b->leaving));
    return false;
}
