/* Commands about users: people with a name, who own tokens. */
#include <string.h>

#include "server-stub/cli/cli.h"

static int user_path(const struct flo_cli *cli, char *out, size_t bytes, struct flo_err *err)
{
    const char *name = cli->args.words[0];

    if (!flo_name_is_valid(name)) {
        return flo_fail(err, FLO_E_ABSENT, "no user `%.80s`", name);
    }
    snprintf(out, bytes, "/v1/users/%s", name);
    return 0;
}

static void show(const struct flo_cli *cli, const json_t *user)
{

    if (flo_out_is_data(cli)) {
        flo_out_object(cli, user, FLO_COLUMNS(user));
        return;
    }
    printf("%s: %s%s\n", flo_out_text(user, "name", "?"), flo_out_text(user, "role", "?"),
           json_is_true(json_object_get(user, "disabled")) ? " (disabled)" : "");
    if (json_array_size(json_object_get(user, "tokens")) > 0) {
        flo_out_table(cli, json_object_get(user, "tokens"), FLO_COLUMNS(user_token));
    }
}

int flo_cmd_user_get(struct flo_cli *cli, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *user = NULL;
    char path[128];

    FLO_TRY(user_path(cli, path, sizeof(path), err));
    FLO_TRY(flo_api_get(cli, path, &user, err));
    show(cli, user);
    return 0;
}

int flo_cmd_user_create(struct flo_cli *cli, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *user = NULL;
    FLO_CLEANUP(flo_json_cleanup)
    json_t *body = json_pack("{s:s,s:s}", "name", cli->args.words[0], "role",
                             flo_args_text(&cli->args, "role", "viewer"));
    FLO_TRY(flo_api_call(cli, "POST", "/v1/users", body, &user, err));
    show(cli, user);
    flo_out_say(cli,
                "a token for it: flotilla token create --kind access "
                "--user %s",
                cli->args.words[0]);
    return 0;
}

int flo_cmd_user_set(struct flo_cli *cli, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *user = NULL;
    FLO_CLEANUP(flo_json_cleanup) json_t *body = json_object();
    const char *role = flo_args_text(&cli->args, "role", NULL);
    bool disable = flo_args_has(&cli->args, "disable");
    bool enable = flo_args_has(&cli->args, "enable");
    char path[128];

    FLO_TRY(user_path(cli, path, sizeof(path), err));
    if (disable && enable) {
        return flo_fail(err, FLO_E_USAGE,
                        "--disable and --enable exclude each "
                        "other");
    }
    if (role == NULL && !disable && !enable) {
        return flo_fail(err, FLO_E_USAGE, "--role, --disable or --enable says what to change");
    }
    if (role != NULL) {
        json_object_set_new(body, "role", json_string(role));
    }
    if (disable || enable) {
        json_object_set_new(body, "disabled", json_boolean(disable));
    }
    FLO_TRY(flo_api_call(cli, "PATCH", path, body, &user, err));
    show(cli, user);
    return 0;
}
