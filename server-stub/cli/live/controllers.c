/* Command controller: shows the leader, standbys and former leaders, and
 * decides which controllers may hold the fleet's keys. */
#include <string.h>

#include "base/host/crypto.h"
#include "server-stub/cli/cli.h"

static void print_controllers(struct flo_cli *cli, const json_t *answer)
{
    const json_t *changes = json_object_get(answer, "changes");

    flo_out_table(cli, json_object_get(answer, "items"), FLO_COLUMNS(controller));
    if (!json_is_true(json_object_get(answer, "shared"))) {
        printf("\nThe only controller: its data are in files of its own, and "
               "none stands by (docs/install.md, Two controllers).\n");
        return;
    }
    printf("\nepoch %llu · changes of leader within an hour: %llu\n\n",
           (unsigned long long)flo_out_u64(answer, "epoch"),
           (unsigned long long)flo_out_u64(answer, "changes_hour"));
    flo_out_table(cli, changes, FLO_COLUMNS(lead));
}

int flo_cmd_controller_list(struct flo_cli *cli, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *answer = NULL;
    int rv = flo_api_get(cli, "/v1/controllers", &answer, err);

    if (rv == 0 && flo_out_is_data(cli)) {
        flo_out_json(cli, answer);
    } else if (rv == 0) {
        print_controllers(cli, answer);
    }
    return rv;
}

static int tell_key(struct flo_cli *cli, const char *verb, const char *done, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *answer = NULL;
    const char *key = cli->args.words[0];
    char path[160];

    if (strlen(key) != FLO_KEYID_TEXT - 1 || strspn(key, "0123456789abcdef") != strlen(key)) {
        flo_fail(err, FLO_E_USAGE, "`%.80s` is no key id of %d digits", key, FLO_KEYID_TEXT - 1);
        return flo_err_fix(err, "flotilla controller list -o wide; compare it "
                                "with that controller's own log");
    }
    snprintf(path, sizeof(path), "/v1/controllers/%s/%s", key, verb);
    FLO_TRY(flo_api_send(cli, path, "{}", 2, &answer, err));
    flo_out_done(cli, json_incref(answer), "%s %.16s…  %s\n",
                 flo_out_text(answer, "name", "controller"), key, done);
    return 0;
}

int flo_cmd_controller_admit(struct flo_cli *cli, struct flo_err *err)
{
    return tell_key(cli, "admit", "may take the fleet's keys, and lead", err);
}

int flo_cmd_controller_dismiss(struct flo_cli *cli, struct flo_err *err)
{
    return tell_key(cli, "dismiss",
                    "gets no further keys; those it has it keeps: rotate them "
                    "where it is in other hands",
                    err);
}
