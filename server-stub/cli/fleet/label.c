/* Commands that set labels, notes, pins and maintenance of devices. */
#include <string.h>

#include <flotilla/errors/device.h>
#include <flotilla/plural.h>
#include <flotilla/proto.h>

#include "server-stub/cli/fleet/fleet.h"

#define ITEMS_MAX 1000 /* items per request */

/* ---- which ---- */

static const char *where_of(const struct flo_cli *cli)
{
    return flo_args_text(&cli->args, "where", flo_args_text(&cli->args, "selector", NULL));
}

/* ---- labels ---- */

/* Reads a change of a label: "key=value" sets it, and "key-" removes it. */
static int read_change(const char *word, json_t *labels, struct flo_err *err)
{
    const char *equals = strchr(word, '=');
    size_t chars = strlen(word);
    char key[FLO_NAME_MAX + 1];
    size_t key_chars = equals != NULL                        ? (size_t)(equals - word)
                       : chars > 0 && word[chars - 1] == '-' ? chars - 1
                                                             : 0;

    if (key_chars == 0 || key_chars > FLO_NAME_MAX) {
        return flo_fail(err, FLO_E_USAGE, "`%.80s` is neither key=value nor key-", word);
    }
    memcpy(key, word, key_chars);
    key[key_chars] = '\0';
    json_object_set_new(labels, key, equals != NULL ? json_string(equals + 1) : json_null());
    return json_object_get(labels, key) != NULL
               ? 0
               : flo_fail(err, FLO_E_USAGE, "`%.80s` is no UTF-8", word);
}

static int read_changes(const struct flo_cli *cli, size_t from, json_t *labels, struct flo_err *err)
{
    for (size_t i = from; i < cli->args.word_count; i++) {
        FLO_TRY(read_change(cli->args.words[i], labels, err));
    }
    if (json_object_size(labels) == 0) {
        return flo_fail(err, FLO_E_USAGE, "no label: key=value or key- belongs here");
    }
    return 0;
}

static void done(struct flo_cli *cli, json_int_t devices, json_int_t changed)
{
    bool is_dry = flo_args_has(&cli->args, "dry-run");

    flo_out_done(cli, json_pack("{s:I,s:I}", "devices", devices, "changed", changed),
                 "%lld of %lld device%s %s\n", (long long)changed, (long long)devices,
                 flo_s((uint64_t)devices), is_dry ? "would change; nothing was done" : "changed");
}

/* Sends the request again with the next cursor, until the controller gives
 * none. */
static int send_pages(struct flo_cli *cli, const char *path, json_t *body, json_int_t *devices,
                      json_int_t *changed, struct flo_err *err)
{
    for (;;) {
        FLO_CLEANUP(flo_json_cleanup) json_t *answer = NULL;
        FLO_TRY(flo_api_call(cli, "POST", path, body, &answer, err));
        *devices += (json_int_t)flo_out_u64(answer, "devices");
        *changed += (json_int_t)flo_out_u64(answer, "changed");
        json_t *next = json_object_get(answer, "next");
        if (!json_is_string(next)) {
            return 0;
        }
        flo_out_say(cli, "%lld device%s …", (long long)*devices, flo_s((uint64_t)*devices));
        json_object_set(body, "cursor", next);
    }
}

static int label_where(struct flo_cli *cli, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *labels = json_object();
    json_int_t devices = 0;
    json_int_t changed = 0;

    FLO_TRY(read_changes(cli, 0, labels, err));
    FLO_CLEANUP(flo_json_cleanup)
    json_t *body = json_pack("{s:s,s:O}", "where", where_of(cli), "labels", labels);
    FLO_TRY(send_pages(cli, "/v1/labels", body, &devices, &changed, err));
    done(cli, devices, changed);
    return 0;
}

/* Builds an item from a row with the device and its labels.  An empty cell
 * leaves a label unchanged, and `-` removes it. */
static json_t *item_of(const json_t *row, struct flo_err *err)
{
    json_t *labels = json_object();
    const char *device = flo_out_text(row, "name", NULL);
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)row, key, value)
    {
        const char *text = json_string_value(value);
        if (strcmp(key, "name") == 0 || text[0] == '\0') {
            continue;
        }
        json_object_set_new(labels, key, strcmp(text, "-") == 0 ? json_null() : json_incref(value));
    }
    if (device == NULL) {
        json_decref(labels);
        flo_fail(err, FLO_E_USAGE, "the head line has no column `name`");
        return NULL;
    }
    return json_pack("{s:s,s:o}", "device", device, "labels", labels);
}

static int label_file(struct flo_cli *cli, const char *path, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *rows = NULL;
    json_int_t devices = 0;
    json_int_t changed = 0;

    FLO_TRY(flo_csv_read(path, &rows, err));
    for (size_t from = 0; from < json_array_size(rows); from += ITEMS_MAX) {
        FLO_CLEANUP(flo_json_cleanup)
        json_t *body = json_pack("{s:[]}", "items");
        for (size_t i = from; i < json_array_size(rows) && i < from + ITEMS_MAX; i++) {
            json_t *item = item_of(json_array_get(rows, i), err);
            FLO_TRY(item == NULL ? FLO_E_USAGE : 0);
            json_array_append_new(json_object_get(body, "items"), item);
        }
        FLO_TRY(send_pages(cli, "/v1/labels/batch", body, &devices, &changed, err));
    }
    done(cli, devices, changed);
    return 0;
}

static int label_one(struct flo_cli *cli, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *labels = json_object();
    FLO_CLEANUP(flo_json_cleanup) json_t *answer = NULL;
    const char *name = cli->args.words[0];
    char path[160];

    FLO_TRY(cli->args.word_count == 0 || !flo_name_is_valid(name)
                ? flo_fail(err, FLO_E_USAGE, "a device's name, --where or --file belongs here")
                : read_changes(cli, 1, labels, err));
    FLO_CLEANUP(flo_json_cleanup)
    json_t *body = json_pack("{s:O}", "labels", labels);
    snprintf(path, sizeof(path), "/v1/devices/%.64s", name);
    FLO_TRY(flo_api_call(cli, "PATCH", path, body, &answer, err));
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    flo_json_dump(json_object_get(answer, "labels"), &text);
    bool is_dry = flo_args_has(&cli->args, "dry-run");
    flo_out_done(cli, json_incref(answer), "%s %s the labels %s%s\n", name,
                 is_dry ? "would have" : "has", text.data != NULL ? text.data : "",
                 is_dry ? "; nothing was done" : "");
    return 0;
}

int flo_cmd_device_label(struct flo_cli *cli, struct flo_err *err)
{
    const char *file = flo_args_text(&cli->args, "file", NULL);

    if (file != NULL && where_of(cli) != NULL) {
        return flo_fail(err, FLO_E_USAGE, "--file and --where: one of both");
    }
    return file != NULL            ? label_file(cli, file, err)
           : where_of(cli) != NULL ? label_where(cli, err)
                                   : label_one(cli, err);
}

/* ---- notes, maintenance, pins ---- */

static void add_pin(json_t *pins, const char *title, bool is_pinned)
{
    size_t chars = strcspn(title, "@");
    char model[FLO_NAME_MAX + 1];

    snprintf(model, sizeof(model), "%.*s", (int)chars, title);
    json_object_set_new(pins, model, is_pinned ? json_string(title) : json_null());
}

static json_t *changes_of(const struct flo_cli *cli)
{
    static const char *const texts[] = {"name", "note"};
    const char *maintenance = flo_args_text(&cli->args, "maintenance", NULL);
    json_t *body = json_object();
    json_t *pins = json_object();

    for (size_t i = 0; i < FLO_COUNT(texts); i++) {
        const char *text = flo_args_text(&cli->args, texts[i], NULL);
        if (text != NULL) {
            json_object_set_new(body, texts[i], json_string(text));
        }
    }
    if (maintenance != NULL) {
        json_object_set_new(body, "maintenance",
                            json_string(strcmp(maintenance, "off") == 0  ? ""
                                        : strcmp(maintenance, "on") == 0 ? "maintenance"
                                                                         : maintenance));
    }
    for (size_t i = 0; i < cli->args.flag_count; i++) {
        const char *flag = cli->args.flags[i]->name;
        bool is_pin = strcmp(flag, "pin") == 0;
        if (is_pin || strcmp(flag, "unpin") == 0) {
            add_pin(pins, cli->args.values[i], is_pin);
        }
    }
    flo_json_put_parts(body, "pins", pins);
    return body;
}

int flo_cmd_device_set(struct flo_cli *cli, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *body = changes_of(cli);
    FLO_CLEANUP(flo_json_cleanup) json_t *answer = NULL;
    const char *name = cli->args.words[0];
    char path[160];

    if (!flo_name_is_valid(name)) {
        return flo_fail(err, FLO_E_DEVICE_ABSENT, "no device `%.80s`", name);
    }
    if (json_object_size(body) == 0) {
        return flo_fail(err, FLO_E_USAGE,
                        "--name, --note, --maintenance, --pin or --unpin "
                        "belongs here");
    }
    snprintf(path, sizeof(path), "/v1/devices/%s", name);
    FLO_TRY(flo_api_call(cli, "PATCH", path, body, &answer, err));
    flo_out_done(cli, json_incref(answer), "%s is changed\n", flo_out_text(answer, "name", name));
    return 0;
}
