/* flotilla controller list: who leads, who stands by, and who led before. */
#include "server-stub/cli/cli.h"

static void print_controllers(struct flo_cli *cli, const json_t *answer)
{
    const json_t *changes = json_object_get(answer, "changes");

    flo_out_table(cli, json_object_get(answer, "items"),
                  FLO_COLUMNS(controller));
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
