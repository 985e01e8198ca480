/* Commands about tokens. */
#include <string.h>

#include "server-stub/cli/cli.h"

/* Sets role and owner of a new token.  A token without a user is a viewer's by
 * default. */
static void set_access(const struct flo_cli *cli, json_t *body)
{
    const char *user = flo_args_text(&cli->args, "user", NULL);
    const char *role = flo_args_text(&cli->args, "role", user == NULL ? "viewer" : NULL);

    json_object_set_new(
        body, "name",
        json_string(flo_args_text(&cli->args, "name", user != NULL ? user : "unnamed")));
    if (role != NULL) {
        json_object_set_new(body, "role", json_string(role));
    }
    if (user != NULL) {
        json_object_set_new(body, "user", json_string(user));
    }
}

int flo_cmd_token_create(struct flo_cli *cli, struct flo_err *err)
{
    uint64_t uses;
    uint64_t ttl_ms;
    const char *kind = flo_args_text(&cli->args, "kind", "enroll");
    const char *file = flo_args_text(&cli->args, "to", NULL);
    FLO_CLEANUP(flo_json_cleanup) json_t *body = json_object();
    FLO_CLEANUP(flo_json_cleanup) json_t *token = NULL;
    /* The controller itself checks the largest number of uses. */
    FLO_TRY(flo_args_u64(&cli->args, "uses", 1, INT64_MAX, 1, &uses, err));
    FLO_TRY(flo_args_ms(&cli->args, "ttl", 86400000, &ttl_ms, err));
    if (strcmp(kind, "enroll") != 0 && strcmp(kind, "access") != 0) {
        flo_fail(err, FLO_E_USAGE, "--kind `%s` is no kind of token", kind);
        return flo_err_fix(err, "--kind enroll (a device) or --kind access "
                                "(a person or program)");
    }
    json_object_set_new(body, "kind", json_string(kind));
    json_object_set_new(body, "ttl_ms", json_integer((json_int_t)ttl_ms));
    if (strcmp(kind, "enroll") == 0) {
        json_object_set_new(body, "uses", json_integer((json_int_t)uses));
        json_object_set_new(body, "group", json_string(flo_args_text(&cli->args, "group", "all")));
    } else if (flo_args_has(&cli->args, "group") || flo_args_has(&cli->args, "uses")) {
        flo_fail(err, FLO_E_USAGE,
                 "--group and --uses belong to --kind enroll: an access token "
                 "is for its role");
        return flo_err_fix(err, "a role of one group: --role operator:G");
    } else {
        set_access(cli, body);
    }
    int rv = flo_api_call(cli, "POST", "/v1/tokens", body, &token, err);
    FLO_TRY(rv);
    const char *secret = flo_out_text(token, "token", "");
    if (file != NULL) {
        rv = flo_file_write(file, secret, strlen(secret), 0600, err);
        json_object_del(token, "token");
    }
    FLO_TRY(rv);
    if (flo_out_is_data(cli)) {
        flo_out_object(cli, token, FLO_COLUMNS(token));
    } else if (file == NULL) {
        printf("%s\n", secret);
    }
    flo_out_say(cli, "%s token %s (shown once)%s%s", kind, flo_out_text(token, "id", "?"),
                file != NULL ? " in " : "", file != NULL ? file : "");
    if (json_object_get(token, "controller") != NULL) {
        flo_out_say(cli,
                    "on the device: flotilla-agent enroll --controller %s "
                    "--token-file %s",
                    flo_out_text(token, "controller", "?"), file != NULL ? file : "FILE");
    }
    return 0;
}
