/* Published releases as the cores read them. */
#include <string.h>

#include "server-stub/state/controller.h"

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
