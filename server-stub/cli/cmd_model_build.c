/* flotilla model build: from a specification to a signed release and the draft
 * of its rollout.
 *
 * Each result is kept below the work folder, so a build that was ended goes on
 * from there. */
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "base/host/yaml.h"
#include "base/scratch.h"
#include "server-stub/cli/builds/run/run.h"

static int read_file(const char *path, struct flo_build_spec **out, struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    const char *slash = strrchr(path, '/');
    char folder[PATH_MAX];
    size_t bytes;

    if (snprintf(folder, sizeof(folder), "%.*s", slash != NULL ? (int)(slash - path) : 0, path) >=
        (int)sizeof(folder)) {
        return flo_fail(err, FLO_E_USAGE, "the path is too long");
    }
    FLO_TRY(flo_file_read(path, FLO_YAML_BYTES_MAX, &text, &bytes, err));
    return flo_build_spec_read(text, bytes, path, slash == path ? "/" : folder, out, err);
}

/* Writes the work folder's path: that of --work, or the specification's with
 * another ending. */
static int name_work(const struct flo_args *args, char *out, size_t bytes, struct flo_err *err)
{
    const char *given = flo_args_text(args, "work", NULL);
    const char *path = args->words[0];
    const char *slash = strrchr(path, '/'), *dot = strrchr(path, '.');
    bool has_ending = dot != NULL && dot != path && (slash == NULL || dot > slash + 1);
    int chars = has_ending ? (int)(dot - path) : (int)strlen(path);
    int used = given != NULL ? snprintf(out, bytes, "%s", given)
                             : snprintf(out, bytes, "%.*s.work", chars, path);

    return used < (int)bytes ? 0 : flo_fail(err, FLO_E_USAGE, "--work: the path is too long");
}

/* ---- answers ---- */

static json_t *plan_rows(const struct flo_build_plan *plan)
{
    json_t *rows = json_array();

    for (size_t i = 0; i < plan->count; i++) {
        const struct flo_build_step *step = &plan->steps[i];
        FLO_CLEANUP(flo_buf_deinit) struct flo_buf words = {0};
        flo_buf_text(&words, "flotilla-model");
        for (size_t w = 0; step->words[w] != NULL; w++) {
            flo_buf_printf(&words, " %s", step->words[w]);
        }
        json_array_append_new(rows,
                              json_pack("{s:s s:s s:s s:s}", "step", step->name, "state",
                                        flo_build_is_done(step) ? "kept" : "to do", "result",
                                        step->result, "command", words.failed ? "" : words.data));
    }
    return rows;
}

static int show_plan(const struct flo_build_run *run)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *rows = plan_rows(&run->plan);

    if (flo_out_is_data(run->cli)) {
        FLO_CLEANUP(flo_json_cleanup)
        json_t *answer = json_pack("{s:s s:s s:O}", "release", run->spec->release, "work",
                                   run->work.path, "steps", rows);
        flo_out_object(run->cli, answer, FLO_COLUMNS(build));
        return 0;
    }
    flo_out_table(run->cli, rows, FLO_COLUMNS(build_step));
    printf("then %s%s\n",
           run->spec->sign_with == NULL ? "nothing: `sign_with` is not given"
           : run->spec->publish         ? "sign, upload and publish "
                                        : "sign and upload ",
           run->spec->sign_with == NULL ? "" : run->spec->release);
    return 0;
}

/* Shows what was made, or which gates failed.  A program gets one object also
 * after a failed gate. */
static void show_end(struct flo_build_run *run, const json_t *release, const char *rollout, int rv)
{
    bool is_data = flo_out_is_data(run->cli);

    if (!is_data && json_array_size(run->verdicts) > 0) {
        flo_out_table(run->cli, run->verdicts, FLO_COLUMNS(verdict));
    }
    if (is_data && (rv == 0 || json_array_size(run->verdicts) > 0)) {
        FLO_CLEANUP(flo_json_cleanup)
        json_t *answer = json_pack(
            "{s:s s:s s:O s:O s:b s:s* s:s* s:s s:O* s:s*}", "release", run->spec->release, "work",
            run->work.path, "steps", run->steps, "verdicts", run->verdicts, "passed", rv == 0,
            "report", run->plan.report, "page", run->plan.page, "golden", run->plan.golden,
            "published", release, "rollout", rollout[0] != '\0' ? rollout : NULL);
        flo_out_object(run->cli, answer, FLO_COLUMNS(build));
        return;
    }
    if (is_data || rv < 0) {
        return;
    }
    if (run->plan.page != NULL) {
        printf("page       %s\n", run->plan.page);
    }
    if (release != NULL) {
        printf("%s %s %s\n", flo_out_text(release, "state", "draft"), run->spec->release,
               flo_out_text(release, "digest", "?"));
    }
    if (rollout[0] != '\0') {
        printf("rollout    flotilla rollout start -f %s --dry-run\n", rollout);
    }
}

/* ---- the command ---- */

static int run_all(struct flo_build_run *run, json_t **release, char *rollout, size_t bytes,
                   struct flo_err *err)
{
    FLO_TRY(flo_build_release_check(run, err));
    FLO_TRY(flo_build_work_open(run->work.path, &run->work, err));
    FLO_TRY(flo_build_steps(run, err));
    if (run->spec->sign_with != NULL) {
        FLO_TRY(flo_build_release(run, release, err));
    }
    FLO_TRY(flo_build_rollout(run, rollout, bytes, err));
    flo_build_work_prune(&run->work, &run->plan);
    return 0;
}

static int build(struct flo_build_run *run, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *release = NULL;
    struct flo_build_digests digests;
    char rollout[PATH_MAX] = "";

    FLO_TRY(flo_build_inputs(run->spec, &digests, err));
    FLO_TRY(flo_build_plan(run->spec, &digests, run->work.path, &run->plan, err));
    if (flo_args_has(&run->cli->args, "dry-run")) {
        return show_plan(run);
    }
    int rv = run_all(run, &release, rollout, sizeof(rollout), err);
    show_end(run, release, rollout, rv);
    return rv;
}

int flo_cmd_model_build(struct flo_cli *cli, struct flo_err *err)
{
    struct flo_build_spec *spec = NULL;
    char work[PATH_MAX];

    FLO_TRY(name_work(&cli->args, work, sizeof(work), err));
    FLO_TRY(read_file(cli->args.words[0], &spec, err));
    struct flo_build_run run = {.cli = cli,
                                .spec = spec,
                                .work = {work, -1},
                                .steps = json_array(),
                                .verdicts = json_array()};
    flo_interrupt_text("flotilla model build: stopped; `flotilla model build %s%s%s` goes on, "
                       "`rm -r %s` removes what is done\n",
                       cli->args.words[0], flo_args_has(&cli->args, "work") ? " --work " : "",
                       flo_args_text(&cli->args, "work", ""), work);
    int rv = build(&run, err);
    flo_interrupt_text("%s", "");
    flo_build_work_close(&run.work);
    json_decref(run.steps);
    json_decref(run.verdicts);
    json_decref(run.report);
    flo_build_plan_deinit(&run.plan);
    flo_build_spec_free(spec);
    return rv;
}
