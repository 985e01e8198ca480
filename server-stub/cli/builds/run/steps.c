/* Steps: runs those whose results are not there, and judges what they
 * measured. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <flotilla/golden.h>

#include "server-stub/cli/builds/run/run.h"
#include "server-stub/cli/create/create.h"

/* ---- one step ---- */

/* Runs the step's program.  Its stdout becomes the result, or is for people. */
static int run_program(struct flo_build_run *run, const struct flo_build_step *step,
                       struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup) int out = -1;
    char part[4096];
    int status = 0, fd = flo_out_is_data(run->cli) ? STDERR_FILENO : -1;

    snprintf(part, sizeof(part), "%s.part", step->result);
    if (step->stdout_path != NULL) {
        out = fd = open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
        if (fd < 0) {
            return flo_fail_errno(err, FLO_E_IO_OPEN, "%s", part);
        }
    }
    FLO_TRY(flo_create_run_model_to(step->words, fd, &status, err));
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        return flo_build_fail_step(step, WIFEXITED(status) ? "exit code" : "signal",
                                   WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status), err);
    }
    return step->stdout_path != NULL && (fsync(out) < 0 || rename(part, step->result) < 0)
               ? flo_fail_errno(err, FLO_E_IO_WRITE, "%s", step->result)
               : 0;
}

static int note_step(struct flo_build_run *run, const struct flo_build_step *step,
                     const char *state, uint64_t ms, struct flo_err *err)
{
    json_t *row = json_pack("{s:s s:s s:f s:s}", "step", step->name, "state", state, "seconds",
                            (double)(ms / 100) / 10, "result", step->result);

    return json_array_append_new(run->steps, row) == 0 ? 0 : flo_fail(err, FLO_E_MEMORY, "a step");
}

static int run_step(struct flo_build_run *run, const struct flo_build_step *step,
                    struct flo_err *err)
{
    uint64_t begin = flo_now_ms();

    if (flo_build_is_done(step)) {
        flo_out_say(run->cli, "   kept         %s", step->name);
        return note_step(run, step, "kept", 0, err);
    }
    flo_out_say(run->cli, "   step         %s", step->name);
    FLO_TRY(flo_dir_make(step->folder, 0755, err));
    FLO_TRY(run_program(run, step, err));
    FLO_TRY(flo_build_note_done(step, flo_now_ms() - begin, err));
    return note_step(run, step, "done", flo_now_ms() - begin, err);
}

/* ---- gates ---- */

static int judge_evaluation(struct flo_build_run *run, struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    size_t bytes;

    FLO_TRY(flo_file_read(run->plan.report, FLO_BUILD_REPORT_BYTES_MAX, &text, &bytes, err));
    FLO_TRY(flo_json_parse(text, bytes, FLO_BUILD_REPORT_BYTES_MAX, &run->report, err));
    FLO_TRY(flo_build_judge(run->spec, &run->plan, run->report, run->verdicts, err));
    return flo_build_check(run->verdicts, err);
}

static int judge_golden(struct flo_build_run *run, struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    struct flo_golden golden = {0};
    size_t bytes;

    FLO_TRY(flo_file_read(run->plan.golden, FLO_GOLDEN_BYTES_MAX, &text, &bytes, err));
    int rv = flo_golden_read(text, bytes, &golden, err);
    if (rv < 0) {
        return flo_wrap(err, rv, "%s", run->plan.golden);
    }
    uint64_t kept = golden.n_cases;
    flo_golden_deinit(&golden);
    FLO_TRY(flo_build_judge_golden(run->spec, kept, run->verdicts, err));
    return flo_build_check(run->verdicts, err);
}

/* ---- all ---- */

/* Checks the licence as soon as the model's own is known, before anything long
 * is computed. */
static int check_license(const struct flo_build_run *run, struct flo_err *err)
{
    return flo_create_check_model_license(run->plan.original, run->spec->license,
                                          run->spec->allowed, err);
}

int flo_build_steps(struct flo_build_run *run, struct flo_err *err)
{
    const struct flo_build_plan *plan = &run->plan;
    bool is_checked = false;

    for (size_t i = 0; i < plan->count; i++) {
        const struct flo_build_step *step = &plan->steps[i];
        if (step->kind != FLO_BUILD_IMPORT && !is_checked) {
            FLO_TRY(check_license(run, err));
            is_checked = true;
        }
        FLO_TRY(run_step(run, step, err));
        if (step->kind == FLO_BUILD_EVALUATE) {
            FLO_TRY(judge_evaluation(run, err));
        }
    }
    FLO_TRY(is_checked ? 0 : check_license(run, err));
    return judge_golden(run, err);
}
