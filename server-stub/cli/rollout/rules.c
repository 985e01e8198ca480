/* Commands about who must approve a rollout, and when nothing starts. */
#include <string.h>

#include "server-stub/cli/rollout/rollout.h"

static int path_of(const char *noun, const char *name, char *out, size_t bytes,
                   struct flo_err *err)
{
    if (!flo_name_is_valid(name)) {
        return flo_fail(err, FLO_E_USAGE, "`%.80s` is no name", name);
    }
    snprintf(out, bytes, "/v1/%s/%s", noun, name);
    return 0;
}

static int list(struct flo_cli *cli, const char *path,
                const struct flo_column *columns, size_t count,
                struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *items = NULL;
    int rv = flo_api_list(cli, path, &items, err);

    if (rv == 0) {
        flo_out_table(cli, items, columns, count);
    }
    return rv;
}

/* ---- approvals ---- */

int flo_cmd_approval_list(struct flo_cli *cli, struct flo_err *err)
{
    return list(cli, "/v1/approvals", FLO_COLUMNS(approval), err);
}

int flo_cmd_approval_set(struct flo_cli *cli, struct flo_err *err)
{
    const char *group = cli->args.words[0];
    json_t *answer = NULL;
    char path[128];
    uint64_t people;
    int rv = flo_args_u64(&cli->args, "people", 1, 5, 1, &people, err);

    rv = rv < 0 ? rv : path_of("approvals", group, path, sizeof(path), err);
    FLO_CLEANUP(flo_json_cleanup)
    json_t *body = json_pack("{s:I}", "people", (json_int_t)people);
    rv = rv < 0 ? rv : flo_api_call(cli, "PUT", path, body, &answer, err);
    if (rv == 0) {
        flo_out_done(cli, answer,
                     "rollouts that touch group %s need the approval of %llu "
                     "%s who did not start them\n",
                     group, (unsigned long long)people,
                     people == 1 ? "person" : "people");
    }
    return rv;
}

int flo_cmd_approval_delete(struct flo_cli *cli, struct flo_err *err)
{
    const char *group = cli->args.words[0];
    json_t *answer = NULL;
    char path[128];
    int rv = path_of("approvals", group, path, sizeof(path), err);

    rv = rv < 0 ? rv : flo_api_call(cli, "DELETE", path, NULL, &answer, err);
    if (rv == 0) {
        flo_out_done(cli, answer, "rollouts of group %s need no approval\n",
                     group);
    }
    return rv;
}

/* ---- change freezes ---- */

int flo_cmd_freeze_list(struct flo_cli *cli, struct flo_err *err)
{
    return list(cli, "/v1/change-freezes", FLO_COLUMNS(change_freeze), err);
}

static int add_time(const struct flo_args *args, const char *flag,
                    const char *key, json_t *body, struct flo_err *err)
{
    const char *text = flo_args_text(args, flag, NULL);
    uint64_t ms;

    if (text == NULL) {
        return 0;
    }
    if (!flo_time_parse(text, &ms)) {
        return flo_fail(err, FLO_E_USAGE,
                        "--%s `%.40s` is no time by UTC as "
                        "2027-12-20T18:00:00Z",
                        flag, text);
    }
    json_object_set_new(body, key, json_integer((json_int_t)ms));
    return 0;
}

int flo_cmd_freeze_create(struct flo_cli *cli, struct flo_err *err)
{
    static const char *const texts[] = {"group", "window", "reason"};
    const char *name = cli->args.words[0];
    FLO_CLEANUP(flo_json_cleanup) json_t *body = json_object();
    json_t *answer = NULL;
    char path[128];
    int rv = path_of("change-freezes", name, path, sizeof(path), err);

    for (size_t i = 0; i < FLO_COUNT(texts); i++) {
        const char *text = flo_args_text(&cli->args, texts[i], NULL);
        if (text != NULL) {
            json_object_set_new(body, texts[i], json_string(text));
        }
    }
    rv = rv < 0 ? rv : add_time(&cli->args, "from", "from_ms", body, err);
    rv = rv < 0 ? rv : add_time(&cli->args, "until", "until_ms", body, err);
    if (rv == 0 && json_object_get(body, "window") == NULL &&
        json_object_get(body, "from_ms") == NULL) {
        rv = flo_fail(err, FLO_E_USAGE, "give --from and --until, or --window");
    }
    rv = rv < 0 ? rv : flo_api_call(cli, "PUT", path, body, &answer, err);
    if (rv == 0) {
        flo_out_done(cli, answer,
                     "change freeze %s: nothing starts in it but emergencies\n",
                     name);
    }
    return rv;
}

int flo_cmd_freeze_delete(struct flo_cli *cli, struct flo_err *err)
{
    const char *name = cli->args.words[0];
    json_t *answer = NULL;
    char path[128];
    int rv = path_of("change-freezes", name, path, sizeof(path), err);

    rv = rv < 0 ? rv : flo_api_call(cli, "DELETE", path, NULL, &answer, err);
    if (rv == 0) {
        flo_out_done(cli, answer, "change freeze %s ended\n", name);
    }
    return rv;
}
