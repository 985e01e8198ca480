/* Commands on the prepared list of serial numbers. */
#include <string.h>

#include <flotilla/proto.h>

#include "server-stub/cli/fleet/fleet.h"
#include "server-stub/core/member/serial.h"

#define ITEMS_MAX 1000 /* items per request */

/* Reads the groups in a cell, which are separated by blanks. */
static json_t *groups_of(const char *cell)
{
    json_t *groups = json_array();

    while (*(cell += strspn(cell, " ")) != '\0') {
        size_t chars = strcspn(cell, " ");
        json_array_append_new(groups, json_stringn(cell, chars));
        cell += chars;
    }
    return groups;
}

/* Builds an item from a row, which has the serial, and perhaps name, note and
 * groups.  Any other column is a label. */
static json_t *item_of(const json_t *row, struct flo_err *err)
{
    json_t *labels = json_object();
    json_t *item = json_object();
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)row, key, value)
    {
        const char *text = json_string_value(value);
        if (text[0] == '\0') {
            continue;
        }
        if (strcmp(key, "group") == 0) {
            json_object_set_new(item, "groups", groups_of(text));
        } else if (strcmp(key, "serial") == 0 || strcmp(key, "name") == 0 ||
                   strcmp(key, "note") == 0) {
            json_object_set(item, key, value);
        } else {
            json_object_set(labels, key, value);
        }
    }
    json_object_set_new(item, "labels", labels);
    if (json_object_get(item, "serial") == NULL) {
        json_decref(item);
        flo_fail(err, FLO_E_USAGE, "each row needs a value in `serial`");
        return NULL;
    }
    return item;
}

int flo_cmd_claim_import(struct flo_cli *cli, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *rows = NULL;
    json_int_t claims = 0;

    FLO_TRY(flo_csv_read(cli->args.words[0], &rows, err));
    for (size_t from = 0; from < json_array_size(rows); from += ITEMS_MAX) {
        FLO_CLEANUP(flo_json_cleanup) json_t *answer = NULL;
        FLO_CLEANUP(flo_json_cleanup)
        json_t *body = json_pack("{s:[]}", "items");
        for (size_t i = from; i < json_array_size(rows) && i < from + ITEMS_MAX; i++) {
            json_t *item = item_of(json_array_get(rows, i), err);
            FLO_TRY(item == NULL ? FLO_E_USAGE : 0);
            json_array_append_new(json_object_get(body, "items"), item);
        }
        FLO_TRY(flo_api_call(cli, "POST", "/v1/claims", body, &answer, err));
        claims += (json_int_t)flo_out_u64(answer, "claims");
    }
    flo_out_done(cli, json_pack("{s:I}", "claims", claims), "%lld serial numbers are prepared\n",
                 (long long)claims);
    return 0;
}
