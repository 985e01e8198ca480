/* Command alert silence: stops the notifications of a rule for some time. */
#include "server-stub/cli/cli.h"

int flo_cmd_alert_silence(struct flo_cli *cli, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *body = NULL;
    const char *name = cli->args.words[0];
    json_t *rule = NULL;
    bool ends = flo_args_has(&cli->args, "end");
    uint64_t for_ms = 0;
    char path[160];

    if (!flo_name_is_valid(name)) {
        flo_fail(err, FLO_E_ABSENT, "no alert-rule `%.80s`", name);
        return flo_err_fix(err, "flotilla alert-rule list");
    }
    if (!ends) {
        FLO_TRY(flo_args_ms(&cli->args, "for", 7200000, &for_ms, err));
    }
    snprintf(path, sizeof(path), "/v1/alert-rules/%s/silence", name);
    body = json_pack("{s:I,s:s}", "silence_ms", (json_int_t)for_ms, "reason",
                     flo_args_text(&cli->args, "reason", ""));
    FLO_TRY(flo_api_call(cli, "POST", path, body, &rule, err));
    flo_out_done(cli, rule, ends ? "%s tells again\n" : "%s is silenced\n", name);
    return 0;
}
