/* Edit: implements the command `rollout edit`. */
#include <string.h>

#include <flotilla/errors/rest.h>

#include "server-stub/cli/rollout/rollout.h"

/* Returns those members of an object that the edit changes; a removed one is
 * null. */
static json_t *difference_of_members(const json_t *before, const json_t *wanted)
{
    json_t *change = json_object();
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)before, name, value)
    {
        if (json_object_get(wanted, name) == NULL) {
            json_object_set_new(change, name, json_null());
        }
    }
    json_object_foreach((json_t *)(uintptr_t)wanted, name, value)
    {
        if (!flo_json_equal(json_object_get(before, name), value)) {
            json_object_set(change, name, value);
        }
    }
    return change;
}

static json_t *difference(const json_t *before, const json_t *wanted)
{
    json_t *change = difference_of_members(before, wanted);
    const char *name;
    json_t *was;

    json_object_foreach((json_t *)(uintptr_t)before, name, was)
    {
        const json_t *value = json_object_get(change, name);
        if (flo_rollout_has_members(name) && json_is_object(was) && json_is_object(value)) {
            json_object_set_new(change, name, difference_of_members(was, value));
        }
    }
    return change;
}

static void print_edit(struct flo_cli *cli, const json_t *rollout)
{
    const char *changed = flo_out_text(rollout, "changed", "");
    bool dry = flo_args_has(&cli->args, "dry-run");

    if (!flo_out_is_data(cli)) {
        printf("%s%s\n",
               changed[0] == '\0' ? "nothing changes: it is so already"
               : dry              ? "would change: "
                                  : "changed: ",
               changed);
    }
    flo_rollout_print(cli, rollout);
}

int flo_cmd_rollout_edit(struct flo_cli *cli, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *before = NULL;
    FLO_CLEANUP(flo_json_cleanup) json_t *wanted = NULL;
    FLO_CLEANUP(flo_json_cleanup) json_t *rollout = NULL;
    FLO_CLEANUP(flo_json_cleanup) json_t *body = NULL;
    char path[256];
    const char *id = cli->args.words[0];

    FLO_TRY(flo_rollout_path(id, "?devices=0", path, sizeof(path), err));
    if (!flo_rollout_edit_is_asked(&cli->args)) {
        flo_fail(err, FLO_E_USAGE, "say what shall change");
        return flo_err_fix(err, "give a flag, as --pace 60/min, or --file; "
                                "flotilla rollout edit --help lists them");
    }
    FLO_TRY(flo_api_get(cli, path, &before, err));
    FLO_TRY(flo_rollout_edit_spec(cli, json_object_get(before, "spec"), &wanted, err));
    body = json_pack("{s:o,s:s}", "change", difference(json_object_get(before, "spec"), wanted),
                     "reason", flo_args_text(&cli->args, "reason", ""));
    FLO_TRY(flo_rollout_path(id, "", path, sizeof(path), err));
    int rv =
        flo_api_change(cli, "PATCH", path, flo_out_text(before, "etag", NULL), body, &rollout, err);
    if (rv == FLO_E_REST_STALE) {
        return flo_err_fix(err,
                           "somebody changed it meanwhile: look with "
                           "flotilla rollout get %.64s, then edit again",
                           id);
    }
    FLO_TRY(rv);
    print_edit(cli, rollout);
    return 0;
}
