/* `flotilla experiment`: compares two releases, by device or by request.
 *
 * An experiment is a rollout with a phase that lasts until a person promotes
 * it.  By device, that phase is one arm; the devices of later phases, with
 * their old release, are the other.  By request, the release shares the
 * requests of another model (`split_of`) on each device of the phase.  The
 * controller has no separate mechanism for experiments. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/rollout.h>

#include "server-stub/cli/live/live.h"
#include "server-stub/cli/rollout/rollout.h"
#include "server-stub/core/spec/spec.h"

#define EXPERIMENTS_SHOWN 56 /* largest page size that the controller allows */

/* Finds the phase that lasts until a person promotes the rollout; NULL: there
 * is none. */
static json_t *lasting(const json_t *spec)
{
    json_t *phase;
    size_t i;

    json_array_foreach(json_object_get(spec, "phases"), i, phase)
    {
        if (strcmp(flo_out_text(phase, "until", ""), "promoted") == 0) {
            return phase;
        }
    }
    return NULL;
}

/* ---- start ---- */

/* Parses a size such as "50%" or "20"; NULL: the text is neither. */
static json_t *size_of(const char *text)
{
    struct flo_spec_size size;
    size_t digits = strspn(text, "0123456789");
    bool is_count =
        digits > 0 && digits < 10 && text[digits] == '\0' && strtoul(text, NULL, 10) > 0;

    return is_count                           ? json_integer(atoi(text))
           : flo_spec_size_parse(text, &size) ? json_string(text)
                                              : NULL;
}

/* Finds out from the controller whether the release shares the requests of
 * another model. */
static int ask_split(struct flo_cli *cli, const json_t *spec, bool *out, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *release = NULL;
    const char *title = flo_out_text(spec, "release", "");
    char path[256], text[FLO_OUT_PLAIN];

    snprintf(path, sizeof(path), "/v1/releases/%.130s", title);
    FLO_TRY(flo_api_get(cli, path, &release, err));
    *out = flo_out_plain(release, "document.serve.split_of.model", "", text)[0] != '\0';
    return 0;
}

/* Adds the phases of an experiment: a share of the group, spread over the
 * hardware classes, then all devices.  When requests are split, no device has
 * to wait, and the share is 100 % by default. */
static int add_phases(struct flo_cli *cli, json_t *spec, struct flo_err *err)
{
    bool is_split = false;
    int rv = ask_split(cli, spec, &is_split, err);
    const char *share = flo_args_text(&cli->args, "share", is_split ? "100%" : "50%");
    json_t *size = rv == 0 ? size_of(share) : NULL;

    FLO_TRY(rv);
    if (size == NULL) {
        return flo_fail(err, FLO_E_USAGE,
                        "--share `%.40s` is neither a number of devices nor a "
                        "share as 20%%",
                        share);
    }
    json_t *phases = json_pack("[{s:s,s:o,s:s,s:[s]}]", "name", "experiment", "size", size, "until",
                               "promoted", "spread", "hw");
    if (!is_split || strcmp(share, "100%") != 0) {
        json_array_append_new(phases, json_pack("{s:s,s:s}", "name", "all", "size", "100%"));
    }
    json_object_set_new(spec, "phases", phases);
    if (json_object_get(spec, "gates") == NULL) {
        json_object_set_new(spec, "gates", json_pack("{s:s}", "preset", "normal"));
    }
    return 0;
}

int flo_cmd_experiment_start(struct flo_cli *cli, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *spec = NULL;

    FLO_TRY(flo_rollout_spec(cli, &spec, err));
    if (json_object_get(spec, "phases") == NULL) {
        FLO_TRY(add_phases(cli, spec, err));
    } else if (flo_args_has(&cli->args, "share")) {
        return flo_fail(err, FLO_E_USAGE, "--share: the file has phases of its own");
    }
    if (lasting(spec) == NULL) {
        flo_fail(err, FLO_E_USAGE, "no phase of the file stays until a person promotes it");
        return flo_err_fix(err, "give one phase `until: promoted`");
    }
    return flo_rollout_send(cli, spec, err);
}

/* ---- list ---- */

static int show_list(struct flo_cli *cli, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *items = NULL;
    FLO_CLEANUP(flo_json_cleanup) json_t *list = json_array();
    json_t *rollout;
    size_t i;

    FLO_TRY(flo_api_some(cli, "/v1/rollouts", EXPERIMENTS_SHOWN, &items, err));
    json_array_foreach(items, i, rollout)
    {
        if (lasting(json_object_get(rollout, "spec")) != NULL) {
            json_array_append(list, rollout);
        }
    }
    flo_out_table(cli, list, FLO_COLUMNS(rollout));
    return 0;
}

int flo_cmd_experiment_list(struct flo_cli *cli, struct flo_err *err)
{
    return flo_follow(cli, "rollout", show_list, err);
}

/* ---- get ---- */

static json_t *arm(const char *name, const char *release, uint64_t devices, uint64_t have_it)
{
    return json_pack("{s:s,s:s,s:I,s:I}", "arm", name, "release", release, "devices",
                     (json_int_t)devices, "have_it", (json_int_t)have_it);
}

/* Counts the devices of each arm.  Devices of earlier phases have the release,
 * too. */
static json_t *arms_of(const json_t *rollout)
{
    const json_t *phases = json_object_get(rollout, "phases");
    const json_t *specified = json_object_get(json_object_get(rollout, "spec"), "phases");
    uint64_t updated = 0, good = 0, others = 0;
    bool is_past = false;
    json_t *phase;
    size_t i;

    json_array_foreach(phases, i, phase)
    {
        uint64_t devices = flo_out_u64(phase, "devices");
        if (is_past) {
            others += devices;
            continue;
        }
        updated += devices;
        good += flo_out_u64(phase, "counts.succeeded");
        is_past = strcmp(flo_out_text(json_array_get(specified, i), "until", ""), "promoted") == 0;
    }
    json_t *list = json_array();
    const char *split_of = flo_out_text(rollout, "split_of", "");
    bool is_split = split_of[0] != '\0';
    json_array_append_new(list, arm("b", flo_out_text(rollout, "release", "?"), updated, good));
    json_array_append_new(list, is_split ? arm("a", split_of, updated, updated)
                                         : arm("a", "what they have", others, others));
    return list;
}

/* Formats the change from A to B, such as "+2.7 %". */
static void change_text(const json_t *gate, double value, char out[32])
{
    bool is_share = strcmp(flo_out_text(gate, "unit", ""), "%") == 0;

    snprintf(out, 32, is_share ? "%+.1f %%" : "%.2f times", value);
}

/* Returns a statistical gate as a row of the table; a new reference. */
static json_t *measure_of(const json_t *gate)
{
    const json_t *interval = json_object_get(gate, "interval");
    const json_t *value = json_object_get(gate, "value");
    char change[32] = "", low[32], high[32], range[80] = "";

    if (json_is_number(value)) {
        change_text(gate, json_number_value(value), change);
    }
    if (json_array_size(interval) == 2) {
        change_text(gate, json_number_value(json_array_get(interval, 0)), low);
        change_text(gate, json_number_value(json_array_get(interval, 1)), high);
        snprintf(range, sizeof(range), "%s to %s", low, high);
    }
    return json_pack("{s:s,s:s,s:s,s:O,s:O,s:s,s:s,s:s}", "measure",
                     flo_out_text(gate, "name", "?"), "change", change, "interval", range, "limit",
                     json_object_get(gate, "limit"), "unit", json_object_get(gate, "unit"),
                     "verdict", flo_out_text(gate, "verdict", "?"), "text",
                     flo_out_text(gate, "text", ""), "because", flo_out_text(gate, "because", ""));
}

static json_t *measures_of(const json_t *rollout)
{
    json_t *list = json_array();
    json_t *gate;
    size_t i;

    json_array_foreach(json_object_get(rollout, "gates"), i, gate)
    {
        if (json_is_true(json_object_get(gate, "statistical"))) {
            json_array_append_new(list, measure_of(gate));
        }
    }
    return list;
}

static void print_experiment(const struct flo_cli *cli, const json_t *rollout)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *arms = arms_of(rollout);
    FLO_CLEANUP(flo_json_cleanup) json_t *measures = measures_of(rollout);
    const char *id = flo_out_text(rollout, "id", "?");
    char text[FLO_OUT_PLAIN];

    printf("%s  %s  group %s  %s  %s\n", id, flo_out_text(rollout, "release", "?"),
           flo_out_text(rollout, "group", "?"), flo_out_text(rollout, "state", "?"),
           flo_out_plain(rollout, "reason", "", text));
    flo_out_table(cli, arms, FLO_COLUMNS(experiment_arm));
    if (json_array_size(measures) > 0) {
        flo_out_table(cli, measures, FLO_COLUMNS(experiment_measure));
    }
    if (json_object_get(rollout, "next") != NULL) {
        printf("waits for: %s\n", flo_out_plain(rollout, "next.what", "?", text));
    }
    if (strcmp(flo_out_text(rollout, "state", ""), "running") == 0) {
        printf("b for all: flotilla experiment promote %s; a for all: flotilla "
               "experiment stop %s\n",
               id, id);
    }
}

int flo_cmd_experiment_get(struct flo_cli *cli, struct flo_err *err)
{
    const char *id = cli->args.words[0];
    FLO_CLEANUP(flo_json_cleanup) json_t *rollout = NULL;
    char path[256];

    if (!flo_name_is_valid(id)) {
        return flo_fail(err, FLO_E_ROLLOUT_ABSENT, "no experiment `%.80s`", id);
    }
    snprintf(path, sizeof(path), "/v1/rollouts/%s?devices=0", id);
    FLO_TRY(flo_api_get(cli, path, &rollout, err));
    if (lasting(json_object_get(rollout, "spec")) == NULL) {
        flo_fail(err, FLO_E_STATE,
                 "%s is no experiment: none of its phases stays until a person "
                 "promotes it",
                 id);
        return flo_err_fix(err, "flotilla rollout get %s", id);
    }
    if (flo_out_is_data(cli)) {
        flo_out_object(cli, rollout, FLO_COLUMNS(rollout));
    } else {
        print_experiment(cli, rollout);
    }
    return 0;
}

/* ---- the end ---- */

int flo_cmd_experiment_promote(struct flo_cli *cli, struct flo_err *err)
{
    return flo_cmd_rollout_promote(cli, err);
}

int flo_cmd_experiment_stop(struct flo_cli *cli, struct flo_err *err)
{
    return flo_cmd_rollout_rollback(cli, err);
}
