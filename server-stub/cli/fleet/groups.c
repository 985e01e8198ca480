/* Commands about groups: create them, list them, and fill them from names,
 * selectors and files. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/group.h>
#include <flotilla/plural.h>
#include <flotilla/proto.h>

#include "server-stub/cli/fleet/fleet.h"

#define MOVED_MAX 1000 /* devices per request */
#define SHOWN "10"     /* number of the group's devices that `group get` shows */

static int group_path(const char *name, const char *rest, char *out, size_t bytes,
                      struct flo_err *err)
{
    if (!flo_name_is_valid(name)) {
        return flo_fail(err, FLO_E_GROUP_ABSENT, "no group `%.80s`", name);
    }
    snprintf(out, bytes, "/v1/groups/%s%s", name, rest);
    return 0;
}

static const char *where_of(const struct flo_cli *cli)
{
    return flo_args_text(&cli->args, "where", flo_args_text(&cli->args, "selector", NULL));
}

/* ---- one ---- */

static void show(const struct flo_cli *cli, const json_t *group)
{
    char text[FLO_OUT_PLAIN];
    bool is_live = json_is_string(json_object_get(group, "selector"));

    if (flo_out_is_data(cli)) {
        flo_out_object(cli, group, FLO_COLUMNS(group));
        return;
    }
    printf("%s: %llu device%s, %llu online, priority %llu%s\n", flo_out_text(group, "name", "?"),
           (unsigned long long)flo_out_u64(group, "devices"), flo_s(flo_out_u64(group, "devices")),
           (unsigned long long)flo_out_u64(group, "online"),
           (unsigned long long)flo_out_u64(group, "priority"),
           json_is_true(json_object_get(group, "ends")) ? ", it ends" : "");
    printf("members: %s\n",
           is_live ? flo_out_plain(group, "selector", "", text) : "named one by one");
    if (flo_out_text(group, "note", "")[0] != '\0') {
        printf("note: %s\n", flo_out_plain(group, "note", "", text));
    }
}

static void show_assignments(struct flo_cli *cli, const json_t *group)
{
    const json_t *list = json_object_get(group, "assignments");

    if (json_array_size(list) > 0) {
        flo_out_table(cli, list, FLO_COLUMNS(group_assignment));
    }
}

static int show_members(struct flo_cli *cli, const char *name, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *page = NULL;
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) path = {0};

    flo_buf_text(&path, "/v1/devices?limit=" SHOWN "&sort=name");
    flo_api_query_add(&path, "group", name);
    FLO_TRY(path.failed ? flo_fail(err, FLO_E_MEMORY, "path")
                        : flo_api_get(cli, path.data, &page, err));
    const json_t *items = json_object_get(page, "items");
    if (json_array_size(items) > 0) {
        flo_out_table(cli, items, FLO_COLUMNS(group_device));
    }
    if (json_is_string(json_object_get(page, "next"))) {
        flo_out_say(cli, "all of them: flotilla device list --group %s", name);
    }
    return 0;
}

int flo_cmd_group_get(struct flo_cli *cli, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *group = NULL;
    const char *name = cli->args.words[0];
    char path[160];

    FLO_TRY(group_path(name, "", path, sizeof(path), err));
    FLO_TRY(flo_api_get(cli, path, &group, err));
    show(cli, group);
    if (!flo_out_is_data(cli)) {
        show_assignments(cli, group);
    }
    return flo_out_is_data(cli) ? 0 : show_members(cli, name, err);
}

/* ---- make, change, delete ---- */

static int read_said(struct flo_cli *cli, json_t *body, struct flo_err *err)
{
    static const char *const texts[] = {"note", "reason"};
    const char *priority = flo_args_text(&cli->args, "priority", NULL);
    uint64_t number = 0;

    if (where_of(cli) != NULL) {
        json_object_set_new(body, "selector", json_string(where_of(cli)));
    }
    for (size_t i = 0; i < FLO_COUNT(texts); i++) {
        const char *text = flo_args_text(&cli->args, texts[i], NULL);
        if (text != NULL) {
            json_object_set_new(body, texts[i], json_string(text));
        }
    }
    if (priority == NULL) {
        return 0;
    }
    int rv = flo_args_u64(&cli->args, "priority", 0, 1000, 0, &number, err);
    json_object_set_new(body, "priority", json_integer((json_int_t)number));
    return rv;
}

int flo_cmd_group_create(struct flo_cli *cli, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *group = NULL;
    FLO_CLEANUP(flo_json_cleanup)
    json_t *body = json_pack("{s:s}", "name", cli->args.words[0]);
    FLO_TRY(read_said(cli, body, err));
    FLO_TRY(flo_api_call(cli, "POST", "/v1/groups", body, &group, err));
    flo_out_done(cli, json_incref(group), "group %s is made%s\n", cli->args.words[0],
                 where_of(cli) != NULL ? ", devices that fit join now"
                                       : "; devices: flotilla group add");
    return 0;
}

int flo_cmd_group_set(struct flo_cli *cli, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *group = NULL;
    FLO_CLEANUP(flo_json_cleanup) json_t *body = json_object();
    char path[160];

    FLO_TRY(group_path(cli->args.words[0], "", path, sizeof(path), err));
    FLO_TRY(read_said(cli, body, err));
    if (json_object_size(body) == 0) {
        return flo_fail(err, FLO_E_USAGE, "--where, --priority or --note says what to change");
    }
    FLO_TRY(flo_api_call(cli, "PATCH", path, body, &group, err));
    show(cli, group);
    return 0;
}

int flo_cmd_group_delete(struct flo_cli *cli, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *group = NULL;
    FLO_CLEANUP(flo_json_cleanup) json_t *answer = NULL;
    const char *name = cli->args.words[0];
    char what[200];
    char path[160];

    FLO_TRY(group_path(name, "", path, sizeof(path), err));
    FLO_TRY(flo_api_get(cli, path, &group, err));
    snprintf(what, sizeof(what), "%llu device%s %s group %s, then it is gone",
             (unsigned long long)flo_out_u64(group, "devices"),
             flo_s(flo_out_u64(group, "devices")),
             flo_plural(flo_out_u64(group, "devices"), "leaves", "leave"), name);
    FLO_TRY(flo_out_confirm(cli, what, name, err));
    FLO_TRY(flo_api_call(cli, "DELETE", path, NULL, &answer, err));
    flo_out_done(cli, json_incref(answer), "group %s ends\n", name);
    return 0;
}

/* ---- members ---- */

/* Adds the words of the command, which are names or ids of devices, as
 * texts. */
static int list_words(const struct flo_cli *cli, json_t *out)
{
    for (size_t i = 1; i < cli->args.word_count; i++) {
        json_array_append_new(out, json_string(cli->args.words[i]));
    }
    return 0;
}

static int list_where(struct flo_cli *cli, json_t *out, struct flo_err *err)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) path = {0};
    FLO_CLEANUP(flo_json_cleanup) json_t *items = NULL;
    json_t *item;
    size_t i;

    flo_buf_text(&path, "/v1/devices?limit=1000&fields=id");
    flo_api_query_add(&path, "where", where_of(cli));
    int rv = path.failed ? flo_fail(err, FLO_E_MEMORY, "path")
                         : flo_api_list(cli, path.data, &items, err);
    json_array_foreach(items, i, item)
    {
        json_array_append(out, json_object_get(item, "id"));
    }
    return rv;
}

static int list_file(const char *path, json_t *out, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *rows = NULL;
    int rv = flo_csv_read(path, &rows, err);
    json_t *row;
    size_t i;

    json_array_foreach(rows, i, row)
    {
        json_t *name = json_object_get(row, "name");
        if (name == NULL) {
            return flo_fail(err, FLO_E_USAGE, "the head line has no column `name`");
        }
        json_array_append(out, name);
    }
    return rv;
}

static int list_devices(struct flo_cli *cli, json_t *out, struct flo_err *err)
{
    const char *file = flo_args_text(&cli->args, "file", NULL);
    int ways = (file != NULL) + (where_of(cli) != NULL) + (cli->args.word_count > 1);

    if (ways != 1) {
        return flo_fail(err, FLO_E_USAGE, "devices, --where or --file: one of them belongs here");
    }
    return file != NULL            ? list_file(file, out, err)
           : where_of(cli) != NULL ? list_where(cli, out, err)
                                   : list_words(cli, out);
}

/* Builds a request for the devices from index `from` on, with as many devices
 * as one request may have. */
static json_t *body_of(const struct flo_cli *cli, const char *word, const json_t *devices,
                       size_t from)
{
    const char *reason = flo_args_text(&cli->args, "reason", NULL);
    json_t *body = json_pack("{s:[]}", word);
    json_t *list = json_object_get(body, word);

    for (size_t i = from; i < json_array_size(devices) && i < from + MOVED_MAX; i++) {
        json_array_append(list, json_array_get(devices, i));
    }
    if (reason != NULL) {
        json_object_set_new(body, "reason", json_string(reason));
    }
    return body;
}

static int move(struct flo_cli *cli, const char *word, struct flo_err *err)
{
    static const char *const ways[2][2] = {{"left", "joined"}, {"would leave", "would join"}};
    FLO_CLEANUP(flo_json_cleanup) json_t *devices = json_array();
    const char *name = cli->args.words[0];
    bool is_dry = flo_args_has(&cli->args, "dry-run");
    unsigned long long changed = 0;
    char path[160];

    FLO_TRY(group_path(name, "/members", path, sizeof(path), err));
    FLO_TRY(list_devices(cli, devices, err));
    unsigned long long count = json_array_size(devices);
    for (size_t from = 0; from < count; from += MOVED_MAX) {
        FLO_CLEANUP(flo_json_cleanup)
        json_t *body = body_of(cli, word, devices, from);
        FLO_CLEANUP(flo_json_cleanup) json_t *answer = NULL;
        FLO_TRY(flo_api_call(cli, "POST", path, body, &answer, err));
        changed += flo_out_u64(answer, "changed");
    }
    flo_out_done(cli,
                 json_pack("{s:s,s:I,s:I}", "group", name, "devices", (json_int_t)count, "changed",
                           (json_int_t)changed),
                 "%llu of %llu device%s %s %s%s\n", changed, count, flo_s(count),
                 ways[is_dry][strcmp(word, "add") == 0], name, is_dry ? "; nothing was done" : "");
    return 0;
}

int flo_cmd_group_add(struct flo_cli *cli, struct flo_err *err)
{
    return move(cli, "add", err);
}

int flo_cmd_group_remove(struct flo_cli *cli, struct flo_err *err)
{
    return move(cli, "remove", err);
}
