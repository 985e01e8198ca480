/* Commands about rollouts and emergency orders. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/rollout.h>
#include <flotilla/proto.h>

#include "base/host/yaml.h"

#include "server-stub/cli/live/live.h"
#include "server-stub/cli/rollout/rollout.h"
#include "server-stub/cli/view/view.h"

#define ROLLOUTS_SHOWN 56 /* largest page size that the controller allows */

static int show_rollout_list(struct flo_cli *cli, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *items = NULL;

    FLO_TRY(flo_api_some(cli, "/v1/rollouts", ROLLOUTS_SHOWN, &items, err));
    flo_out_table(cli, items, FLO_COLUMNS(rollout));
    return 0;
}

int flo_cmd_rollout_list(struct flo_cli *cli, struct flo_err *err)
{
    return flo_follow(cli, "rollout", show_rollout_list, err);
}

int flo_rollout_path(const char *id, const char *rest, char *out, size_t bytes, struct flo_err *err)
{
    if (!flo_name_is_valid(id)) {
        return flo_fail(err, FLO_E_ROLLOUT_ABSENT, "no rollout `%.80s`", id);
    }
    snprintf(out, bytes, "/v1/rollouts/%s%s", id, rest);
    return 0;
}

static void print_why(const json_t *rollout)
{
    char reason[FLO_OUT_PLAIN];
    char by[FLO_OUT_PLAIN];

    if (flo_out_text(rollout, "spec.reason", "")[0] != '\0') {
        printf("why: %s (%s)\n", flo_out_plain(rollout, "spec.reason", "", reason),
               flo_out_plain(rollout, "by", "?", by));
    }
}

void flo_rollout_print_overlaps(const json_t *rollout)
{
    size_t i;
    json_t *older;

    json_array_foreach(json_object_get(rollout, "overlaps"), i, older)
    {
        printf("overlap: %s (%s, %s) holds %llu of these devices; %s\n",
               flo_out_text(older, "rollout", "?"), flo_out_text(older, "release", "?"),
               flo_out_text(older, "state", "?"), (unsigned long long)flo_out_u64(older, "devices"),
               json_is_true(json_object_get(older, "ends"))
                   ? "it is aborted when this one begins"
                   : "those that have not begun read superseded there");
    }
}

/* Prints the approvals that a rollout has so far, and for what it waits. */
static void print_next(const json_t *rollout)
{
    const json_t *approvals = json_object_get(rollout, "approvals");
    char text[FLO_OUT_PLAIN];
    char in[32];
    size_t i;
    json_t *one;

    json_array_foreach(json_object_get(approvals, "given"), i, one)
    {
        printf("approved: %s\n", flo_out_plain(one, "by", "?", text));
    }
    if (json_object_get(rollout, "next") != NULL) {
        uint64_t at = flo_out_u64(rollout, "next.at_ms");
        uint64_t now = flo_wall_ms();
        flo_out_ms(at > now ? at - now : 0, in);
        printf("waits for: %s; looked at again with any news, else in %s\n",
               flo_out_plain(rollout, "next.what", "?", text), in);
    }
}

/* Prints the devices of a partly-back rollout that still have its release.
 * Prints below them what the operator can do. */
static void print_remaining(const json_t *rollout)
{
    const json_t *remaining = json_object_get(rollout, "remaining");
    char text[FLO_OUT_PLAIN];
    size_t i;
    json_t *one;

    json_array_foreach(remaining, i, one)
    {
        printf("%s%s", i == 0 ? "not back: " : ", ", flo_out_plain(one, "name", "?", text));
    }
    if (json_array_size(remaining) > 0) {
        printf("\nnext: %s\n", flo_out_plain(rollout, "remedy", "", text));
    }
}

void flo_rollout_print(const struct flo_cli *cli, const json_t *rollout)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) slices = {0};
    char reason[FLO_OUT_PLAIN];

    if (flo_out_is_data(cli)) {
        flo_out_object(cli, rollout, FLO_COLUMNS(rollout));
        return;
    }
    printf("%s  %s  group %s  %s  phase %llu of %zu  %s\n", flo_out_text(rollout, "id", "?"),
           flo_out_text(rollout, "release", "?"), flo_out_text(rollout, "group", "?"),
           flo_out_text(rollout, "state", "?"), (unsigned long long)flo_out_u64(rollout, "phase"),
           json_array_size(json_object_get(rollout, "phases")),
           flo_out_plain(rollout, "reason", "", reason));
    print_why(rollout);
    print_next(rollout);
    print_remaining(rollout);
    flo_rollout_print_overlaps(rollout);
    if (json_array_size(json_object_get(rollout, "causes")) > 0) {
        flo_out_table(cli, json_object_get(rollout, "causes"), FLO_COLUMNS(cause));
    }
    flo_out_table(cli, json_object_get(rollout, "gates"), FLO_COLUMNS(gate));
    flo_view_slices(rollout, &slices);
    flo_view_scans(rollout, false, &slices);
    printf("%s", slices.data != NULL ? slices.data : "");
    flo_rollout_print_devices(cli, rollout);
}

/* Prints the file with which a rollout was started, without the file's
 * comments. */
static void print_file(const json_t *rollout)
{
    char by[FLO_OUT_PLAIN];
    struct flo_buf text = {0};

    flo_yaml_dump(json_object_get(rollout, "spec"), &text);
    printf("# %s, started by %s\n%s", flo_out_text(rollout, "id", "?"),
           flo_out_plain(rollout, "by", "?", by), text.data != NULL ? text.data : "");
    flo_buf_deinit(&text);
}

int flo_cmd_rollout_get(struct flo_cli *cli, struct flo_err *err)
{
    char path[256];
    const char *id = cli->args.words[0];
    FLO_CLEANUP(flo_json_cleanup) json_t *rollout = NULL;
    bool is_file = strcmp(flo_args_text(&cli->args, "output", "table"), "yaml") == 0;
    FLO_TRY(flo_rollout_path(id, is_file ? "?devices=0" : "", path, sizeof(path), err));
    FLO_TRY(flo_api_get(cli, path, &rollout, err));
    if (is_file) {
        print_file(rollout);
        return 0;
    }
    FLO_TRY(flo_rollout_fill(cli, rollout, err));
    flo_rollout_print(cli, rollout);
    return 0;
}

/* Prints the trace of a rollout.  A step's line begins with "[seconds.ms]"
 * since the rollout was created, and is printed with the time of day. */
static void print_trace(const json_t *told)
{
    const json_t *trace = json_object_get(told, "trace");
    char plain[FLO_OUT_PLAIN];
    char at[25] = "";

    for (size_t i = 0; i < json_array_size(trace); i++) {
        json_t *line = json_pack("{s:O}", "line", json_array_get(trace, i));
        const char *text = flo_out_plain(line, "line", "", plain);
        const char *close = text[0] == '[' ? strchr(text, ']') : NULL;
        if (close != NULL) {
            flo_time_text(
                flo_out_u64(told, "created_at_ms") + (uint64_t)(strtod(text + 1, NULL) * 1000), at);
            text = close + 1;
        }
        printf("%-24s  %s%s\n", close != NULL ? at : "", close != NULL ? "" : "  ",
               text + strspn(text, " "));
        json_decref(line);
    }
}

/* Prints a rollout's decisions with the time of day. */
static void print_decisions(const json_t *decisions)
{
    char plain[FLO_OUT_PLAIN];
    char at[25];
    size_t i, k;
    json_t *one, *line;

    json_array_foreach(decisions, i, one)
    {
        flo_time_text(flo_out_u64(one, "at_ms"), at);
        json_array_foreach(json_object_get(one, "lines"), k, line)
        {
            json_t *shown = json_pack("{s:O}", "line", line);
            printf("%-24s  %s%s\n", k == 0 ? at : "", k == 0 ? "" : "  ",
                   flo_out_plain(shown, "line", "", plain));
            json_decref(shown);
        }
    }
    if (json_array_size(decisions) > 0) {
        printf("(the steps of each device: --all)\n");
    }
}

int flo_cmd_rollout_explain(struct flo_cli *cli, struct flo_err *err)
{
    char path[256];
    char plain[FLO_OUT_PLAIN];
    const char *id = cli->args.words[0];
    FLO_CLEANUP(flo_json_cleanup) json_t *told = NULL;
    size_t i;
    json_t *item;

    FLO_TRY(flo_rollout_path(id, "/explain", path, sizeof(path), err));
    if (flo_args_has(&cli->args, "devices")) {
        return flo_rollout_explain_devices(cli, id, err);
    }
    FLO_TRY(flo_api_get(cli, path, &told, err));
    if (flo_out_is_data(cli)) {
        return flo_out_json(cli, told), 0;
    }
    if (flo_out_u64(told, "cut_bytes") > 0) {
        printf("(steps of devices and older lines are in the controller's log)\n");
    }
    if (flo_args_has(&cli->args, "all")) {
        print_trace(told);
    } else {
        print_decisions(json_object_get(told, "decisions"));
    }
    json_array_foreach(json_object_get(told, "gates"), i, item)
    {
        printf("gate %s: %s: %s\n", flo_out_text(item, "gate", "?"),
               flo_out_plain(item, "text", "", plain), flo_out_text(item, "verdict", "?"));
        printf("     %s\n", flo_out_plain(item, "because", "", plain));
        if (flo_out_text(item, "note", NULL) != NULL) {
            printf("     %s\n", flo_out_plain(item, "note", "", plain));
        }
    }
    print_remaining(told);
    return flo_rollout_explain_evidence(cli, id, err);
}

/* ---- actions ---- */

static int ask(struct flo_cli *cli, const char *action, const char *typed, const char *query,
               json_t **rollout, struct flo_err *err)
{
    char rest[64];
    char path[256];
    const char *id = cli->args.words[0];
    FLO_CLEANUP(flo_json_cleanup)
    json_t *body =
        json_pack("{s:s,s:s}", "action", action, "reason", flo_args_text(&cli->args, "reason", ""));
    const char *slice = flo_args_text(&cli->args, "slice", NULL);
    if (typed != NULL) {
        json_object_set_new(body, "confirm", json_string(typed));
    }
    if (slice != NULL) {
        json_object_set_new(body, "slice", json_string(slice));
    }
    snprintf(rest, sizeof(rest), "/actions%s", query);
    FLO_TRY(flo_rollout_path(id, rest, path, sizeof(path), err));
    return flo_api_call(cli, "POST", path, body, rollout, err);
}

static int act(struct flo_cli *cli, const char *action, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *rollout = NULL;

    FLO_TRY(ask(cli, action, NULL, "", &rollout, err));
    flo_rollout_print(cli, rollout);
    return 0;
}

int flo_cmd_rollout_pause(struct flo_cli *cli, struct flo_err *err)
{
    return act(cli, "pause", err);
}

int flo_cmd_rollout_approve(struct flo_cli *cli, struct flo_err *err)
{
    return act(cli, "approve", err);
}

int flo_cmd_rollout_resume(struct flo_cli *cli, struct flo_err *err)
{
    return act(cli, "resume", err);
}

int flo_cmd_rollout_promote(struct flo_cli *cli, struct flo_err *err)
{
    return act(cli, "promote", err);
}

int flo_cmd_rollout_abort(struct flo_cli *cli, struct flo_err *err)
{
    return act(cli, "abort", err);
}

/* ---- going back ---- */

/* Shows the plan to a person, who then types the name. Nothing is shown to a
 * script that gives the name by --confirm. */
static int plan_back(struct flo_cli *cli, const char *release, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *plan = NULL;
    bool is_dry = flo_args_has(&cli->args, "dry-run");

    if (!is_dry && flo_args_has(&cli->args, "confirm")) {
        return 0;
    }
    FLO_TRY(ask(cli, "rollback", release, "?dry_run=true", &plan, err));
    if (is_dry && flo_out_is_data(cli)) {
        flo_out_json(cli, plan);
    } else if (!flo_out_is_data(cli)) {
        flo_order_print_plan(cli, plan);
    }
    return 0;
}

static int refuse_any(const struct flo_args *args, const char *const *flags, const char *why,
                      const char *fix, struct flo_err *err)
{
    for (; *flags != NULL; flags++) {
        if (flo_args_has(args, *flags)) {
            flo_fail(err, FLO_E_USAGE, "--%s: %s; nothing was done", *flags, why);
            return flo_err_fix(err, "%s", fix);
        }
    }
    return 0;
}

/* Refuses flags that this form of the command would ignore, because then
 * another scope than meant would be rolled back. */
static int check_back(const struct flo_args *args, struct flo_err *err)
{
    static const char *const of_release[] = {"group", "device", "everywhere", "where",
                                             "to",    "yank",   "keep",       NULL};
    static const char *const of_whole[] = {"release", "dry-run", "wait", NULL};
    int rv = 0;

    if (flo_args_has(args, "slice")) {
        rv = refuse_any(args, of_whole,
                        "not with --slice, which is of one rollout that goes "
                        "on",
                        "rollout rollback ID --slice LABEL=VALUE", err);
    }
    FLO_TRY(rv);
    return flo_args_has(args, "release")
               ? rv
               : refuse_any(args, of_release,
                            "belongs to --release, a rollout goes back as a "
                            "whole",
                            "--release MODEL@VERSION --group G", err);
}

/* Rolls one rollout back: the whole rollout, or a slice of it. */
static int recall(struct flo_cli *cli, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *rollout = NULL;
    FLO_CLEANUP(flo_json_cleanup) json_t *ended = NULL;
    FLO_CLEANUP(flo_json_cleanup) json_t *before = NULL;
    char path[256];
    const char *id = cli->args.words[0];
    uint64_t timeout_ms;

    if (id == NULL) {
        return flo_fail(err, FLO_E_USAGE, "give a rollout's ID, or --release MODEL@VERSION");
    }
    FLO_TRY(flo_args_ms(&cli->args, "timeout", 60000, &timeout_ms, err));
    FLO_TRY(flo_rollout_path(id, "?devices=0", path, sizeof(path), err));
    FLO_TRY(flo_api_get(cli, path, &before, err));
    const char *release = flo_out_text(before, "release", "");
    bool is_slice = flo_args_has(&cli->args, "slice");
    if (!is_slice) {
        FLO_TRY(plan_back(cli, release, err));
    }
    if (flo_args_has(&cli->args, "dry-run")) {
        return 0;
    }
    FLO_TRY(flo_out_confirm(cli,
                            is_slice ? "Nothing was done yet. The slice's devices that "
                                       "have the release go back to what they ran."
                                     : "Nothing was done yet. Every device that this "
                                       "rollout touched goes back to what it ran "
                                       "before.",
                            release, err));
    FLO_TRY(ask(cli, "rollback", release, "", &rollout, err));
    if (is_slice || !flo_args_has(&cli->args, "wait")) {
        flo_rollout_print(cli, rollout);
        return 0;
    }
    int rv = flo_watch_rollback(cli, flo_out_text(rollout, "id", ""), timeout_ms, &ended, err);
    if (ended != NULL) {
        /* The error is ignored: if not all devices can be read, the first ones
         * are printed. */
        struct flo_err gone = {0};
        (void)!flo_rollout_fill(cli, ended, &gone);
        flo_rollout_print(cli, ended);
    }
    return rv;
}

int flo_cmd_rollout_rollback(struct flo_cli *cli, struct flo_err *err)
{
    FLO_TRY(check_back(&cli->args, err));
    return flo_args_text(&cli->args, "release", NULL) != NULL ? flo_order_recall(cli, err)
                                                              : recall(cli, err);
}
