/* Start: sends the specification of a rollout, or shows its plan. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/proto.h>

#include "server-stub/cli/rollout/rollout.h"
#include "server-stub/cli/view/view.h"

/* Prints the figures that the publisher signed into the release, if any.  A
 * release that cannot be read is the plan's own matter. */
static void show_quality(struct flo_cli *cli, const json_t *rollout)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *release = NULL;
    char path[256], quality[FLO_OUT_PLAIN];
    struct flo_err err;

    snprintf(path, sizeof(path), "/v1/releases/%.130s", flo_out_text(rollout, "release", ""));
    if (flo_api_get(cli, path, &release, &err) == 0 &&
        flo_out_plain(release, "document.quality", "", quality)[0] != '\0') {
        printf("  quality    %s\n", quality);
    }
}

int flo_rollout_send(struct flo_cli *cli, const json_t *spec, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *rollout = NULL;
    uint64_t timeout_ms;
    bool dry = flo_args_has(&cli->args, "dry-run");

    FLO_TRY(flo_args_ms(&cli->args, "timeout", UINT64_MAX, &timeout_ms, err));
    FLO_TRY(flo_api_call(cli, "POST", "/v1/rollouts", spec, &rollout, err));
    if (flo_out_is_data(cli)) {
        flo_out_object(cli, rollout, FLO_COLUMNS(rollout));
    } else if (dry) {
        struct flo_buf FLO_CLEANUP(flo_buf_deinit) scans = {0};
        flo_rollout_print_plan(cli, rollout);
        show_quality(cli, rollout);
        flo_view_scans(rollout, true, &scans);
        printf("%s", scans.data != NULL ? scans.data : "");
    } else {
        const char *state = flo_out_text(rollout, "state", "?");
        bool has_begun = strcmp(state, "running") == 0;
        char next[FLO_OUT_PLAIN];
        printf("rollout %s started: %s on %s%s%s%s%s\n", flo_out_text(rollout, "id", "?"),
               flo_out_text(rollout, "release", "?"), flo_out_text(rollout, "group", "?"),
               has_begun ? "" : ", ", has_begun ? "" : state, has_begun ? "" : ": waits for ",
               has_begun ? "" : flo_out_plain(rollout, "next.what", "?", next));
        flo_rollout_print_overlaps(rollout);
    }
    if (dry || !flo_args_has(&cli->args, "wait")) {
        return 0;
    }
    return flo_watch_rollout(cli, flo_out_text(rollout, "id", ""), "completed", timeout_ms, err);
}

int flo_cmd_rollout_start(struct flo_cli *cli, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *spec = NULL;

    FLO_TRY(flo_rollout_spec(cli, &spec, err));
    return flo_rollout_send(cli, spec, err);
}
