/* Commands that pin a release on one or many devices, or remove pins. */
#include <string.h>

#include <flotilla/errors/device.h>
#include <flotilla/plural.h>
#include <flotilla/proto.h>

#include "server-stub/cli/fleet/fleet.h"

/* {"tiny":"tiny@3"}, or {"tiny":null}. */
static int read_pins(const char *word, bool is_pin, json_t **out, struct flo_err *err)
{
    char model[FLO_NAME_MAX + 1];
    char version[FLO_NAME_MAX + 1];

    if (is_pin) {
        FLO_TRY(flo_release_title_parse(word, model, version, err));
    } else if (!flo_name_is_valid(word)) {
        return flo_fail(err, FLO_E_USAGE, "`%.80s` is no model", word);
    }
    *out = json_pack("{s:{s:o}}", "pins", is_pin ? model : word,
                     is_pin ? json_string(word) : json_null());
    return 0;
}

static void print_refused(struct flo_cli *cli, const json_t *answer)
{
    size_t i;
    json_t *row;

    json_array_foreach(json_object_get(answer, "refused"), i, row)
    {
        char what[FLO_OUT_PLAIN];
        flo_out_say(cli, "%s: %s: %s", flo_out_text(row, "device", "?"),
                    flo_out_text(row, "id", "?"), flo_out_plain(row, "what", "", what));
    }
}

/* Sends requests, one after another, until all devices have the pin.  Names the
 * devices that cannot have it, and counts them at the end. */
static int pin_where(struct flo_cli *cli, const char *where, json_t *body, struct flo_err *err)
{
    json_int_t devices = 0, changed = 0, refused = 0;
    json_t *next;

    json_object_set_new(body, "where", json_string(where));
    do {
        FLO_CLEANUP(flo_json_cleanup) json_t *answer = NULL;
        FLO_TRY(flo_api_call(cli, "POST", "/v1/pins", body, &answer, err));
        devices += (json_int_t)flo_out_u64(answer, "devices");
        changed += (json_int_t)flo_out_u64(answer, "changed");
        refused += (json_int_t)json_array_size(json_object_get(answer, "refused"));
        print_refused(cli, answer);
        next = json_object_get(answer, "next");
        json_object_set(body, "cursor", next);
    } while (json_is_string(next));
    flo_out_done(
        cli, json_pack("{s:I,s:I,s:I}", "devices", devices, "changed", changed, "refused", refused),
        "%lld of %lld device%s changed, %lld cannot\n", (long long)changed, (long long)devices,
        flo_s((uint64_t)devices), (long long)refused);
    return 0;
}

static int pin_one(struct flo_cli *cli, const char *name, json_t *body, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *answer = NULL;
    char path[160];

    if (!flo_name_is_valid(name)) {
        return flo_fail(err, FLO_E_DEVICE_ABSENT, "no device `%.80s`", name);
    }
    snprintf(path, sizeof(path), "/v1/devices/%s", name);
    FLO_TRY(flo_api_call(cli, "PATCH", path, body, &answer, err));
    flo_out_done(cli, json_incref(answer),
                 "%s is changed; flotilla device get %s shows how far it "
                 "is\n",
                 flo_out_text(answer, "name", name), name);
    return 0;
}

static int pin(struct flo_cli *cli, bool is_pin, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *body = NULL;
    const char *where = flo_args_text(&cli->args, "where", NULL);
    size_t count = where != NULL ? 1 : 2;

    if (cli->args.word_count != count) {
        return flo_fail(err, FLO_E_USAGE, "%s and a %s belong here",
                        where != NULL ? "--where" : "a device",
                        is_pin ? "release model@version" : "model");
    }
    FLO_TRY(read_pins(cli->args.words[count - 1], is_pin, &body, err));
    return where != NULL ? pin_where(cli, where, body, err)
                         : pin_one(cli, cli->args.words[0], body, err);
}

int flo_cmd_device_pin(struct flo_cli *cli, struct flo_err *err)
{
    return pin(cli, true, err);
}

int flo_cmd_device_unpin(struct flo_cli *cli, struct flo_err *err)
{
    return pin(cli, false, err);
}
