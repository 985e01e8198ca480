/* Commands about the tool itself: context, token, audit, explain, version. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/host/crypto.h"
#include "server-stub/cli/live/live.h"

int flo_cmd_context_view(struct flo_cli *cli, struct flo_err *err)
{
    const char *from = flo_args_has(&cli->args, "controller") ? "flag"
                       : flo_context_variable(cli, "FLOTILLA_CONTROLLER") != NULL
                           ? "FLOTILLA_CONTROLLER"
                           : "remembered context";
    (void)err;
    const char *known = cli->fingerprint[0] != '\0' ? cli->fingerprint
                        : cli->ca_file[0] != '\0'   ? cli->ca_file
                                                    : "the system's";
    flo_out_done(
        cli,
        json_pack("{s:s,s:s,s:s}", "controller", cli->controller, "from", from, "authority", known),
        "controller  %s  (%s)\nauthority   %s\n", cli->controller, from, known);
    return 0;
}

static int show_audit_list(struct flo_cli *cli, struct flo_err *err)
{
    char path[128];
    uint64_t limit;
    const bool all = flo_args_has(&cli->args, "all");
    FLO_CLEANUP(flo_json_cleanup) json_t *page = NULL;
    FLO_CLEANUP(flo_json_cleanup) json_t *items = NULL;

    FLO_TRY(flo_args_u64(&cli->args, "limit", 1, 1000, 50, &limit, err));
    snprintf(path, sizeof(path), "/v1/audit?order=newest&limit=%llu", (unsigned long long)limit);
    FLO_TRY(all ? flo_api_list(cli, "/v1/audit?limit=1000", &items, err)
                : flo_api_get(cli, path, &page, err));
    flo_out_table(cli, all ? items : json_object_get(page, "items"), FLO_COLUMNS(audit));
    if (!all && cli->is_tty && json_is_string(json_object_get(page, "next"))) {
        flo_out_say(cli, "the newest %llu; --limit N or --all for more", (unsigned long long)limit);
    }
    return 0;
}

int flo_cmd_audit_list(struct flo_cli *cli, struct flo_err *err)
{
    return flo_follow(cli, "audit", show_audit_list, err);
}

int flo_cmd_explain(struct flo_cli *cli, struct flo_err *err)
{
    const char *id = cli->args.words[0];
    int code = flo_error_code(id);

    if (code == 0) {
        const char *ids[FLO_ERRORS_MAX];
        size_t count = 0;
        while ((code = flo_error_at(count)) != 0) {
            ids[count++] = flo_error_id(code);
        }
        const char *near = flo_nearest(id, ids, count);
        flo_fail(err, FLO_E_ABSENT, "no error has the id `%.80s`", id);
        if (near != NULL) {
            flo_err_fix(err, "did you mean %s?", near);
        }
        return FLO_E_ABSENT;
    }
    flo_out_done(cli,
                 json_pack("{s:s,s:i,s:s,s:s}", "id", id, "exit", (int)flo_error_exit(code),
                           "means", flo_error_meaning(code), "fix", flo_error_fix(code)),
                 "%s  (exit %d)\n  means: %s\n  fix:   %s\n", id, (int)flo_error_exit(code),
                 flo_error_meaning(code), flo_error_fix(code));
    return 0;
}

int flo_cmd_version(struct flo_cli *cli, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *version = NULL;

    (void)err;
    bool is_there =
        flo_context_load(cli, NULL) == 0 && flo_api_get(cli, "/v1/version", &version, NULL) == 0;
    json_t *both = json_pack("{s:s}", "flotilla", FLO_VERSION);
    if (is_there) {
        json_object_set(both, "controller", version);
    }
    flo_out_done(cli, both, "flotilla %s\n", FLO_VERSION);
    if (is_there && !flo_out_is_data(cli)) {
        printf("controller %s at %s\nfleet %s%s%s\n", flo_out_text(version, "version", "?"),
               cli->controller, flo_out_text(version, "fleet", "?"),
               json_is_true(json_object_get(version, "frozen"))
                   ? ", frozen: flotilla rollout unfreeze ends it"
                   : "",
               json_is_true(json_object_get(version, "prompts_stay"))
                   ? ", prompts stay on the devices: flotilla prompts go ends it"
                   : "");
    }
    return 0;
}
