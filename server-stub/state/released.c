/* Released: reads published releases for the cores, and shows them for the
 * API. */
#include "server-stub/state/released.h"

#include <string.h>

#include "server-stub/state/controller.h"
#include "server-stub/state/sayings.h"

static int take_release(void *context, const struct flo_fleet_release *row)
{
    return flo_release_new(row->body, strlen(row->body), NULL, (struct flo_release **)context,
                           NULL);
}

struct flo_release *flo_controller_release(struct flo_controller *controller, const char *model,
                                           const char *version)
{
    struct flo_release *release = NULL;

    return flo_fleet_release_get(controller->store, model, version, take_release, &release, NULL) ==
                   0
               ? release
               : NULL;
}

json_t *flo_object_release(const struct flo_fleet_release *release, bool with_document)
{
    json_t *json = json_pack(
        "{s:s,s:s,s:I,s:s,s:s,s:I,s:I}", "model", release->model, "version", release->version,
        "number", (json_int_t)release->number, "digest", release->digest, "state", release->state,
        "bytes", (json_int_t)release->bytes, "created_at_ms", (json_int_t)release->created_at_ms);
    char title[2 * FLO_NAME_MAX + 2];

    snprintf(title, sizeof(title), "%s@%s", release->model, release->version);
    json_object_set_new(json, "name", json_string(title));
    if (with_document) {
        json_object_set_new(json, "document", flo_saying_parsed(release->body, json_null()));
    }
    return json;
}
