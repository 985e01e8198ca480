/* Fill: gets all devices of a rollout when an answer contains only the first
 * ones. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server-stub/cli/rollout/rollout.h"

static int by_name(const void *a, const void *b)
{
    const char *left = flo_out_text(*(json_t *const *)a, "name", "");
    const char *right = flo_out_text(*(json_t *const *)b, "name", "");

    return flo_natural_compare(left, strlen(left), right, strlen(right));
}

/* Sorts devices by name, because pages come in the order of ids, but people
 * look for names. */
static json_t *sorted(const json_t *items)
{
    size_t count = json_array_size(items);
    json_t **views = calloc(count + 1, sizeof(*views));
    json_t *list = json_array();

    if (views == NULL) {
        json_decref(list);
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        views[i] = json_array_get(items, i);
    }
    qsort(views, count, sizeof(views[0]), by_name);
    for (size_t i = 0; i < count; i++) {
        json_array_append(list, views[i]);
    }
    free(views);
    return list;
}

int flo_rollout_fill(struct flo_cli *cli, json_t *rollout, struct flo_err *err)
{
    FLO_CLEANUP(flo_json_cleanup) json_t *items = NULL;
    char path[256];

    if ((!flo_out_is_data(cli) && flo_out_form(cli) != FLO_OUT_WIDE) ||
        flo_out_u64(rollout, "members") <= json_array_size(json_object_get(rollout, "devices"))) {
        return 0;
    }
    snprintf(path, sizeof(path), "/v1/rollouts/%.100s/devices", flo_out_text(rollout, "id", ""));
    FLO_TRY(flo_api_list(cli, path, &items, err));
    json_t *devices = sorted(items);
    return devices == NULL || json_object_set_new(rollout, "devices", devices) != 0
               ? flo_fail(err, FLO_E_MEMORY, "devices of a rollout")
               : 0;
}
