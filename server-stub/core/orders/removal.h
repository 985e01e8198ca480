/* Removal: plans how to remove a model from one device, by its last report.
 * Pure. */
#ifndef FLOTILLA_SERVER_REMOVAL_H
#define FLOTILLA_SERVER_REMOVAL_H

#include <flotilla/base.h>

#include "base/host/json.h"

enum flo_removal {
    /* The device does not have the model, and no order brings it. */
    FLO_REMOVAL_NONE,
    FLO_REMOVAL_SILENT,   /* the device enrolled and has never reported */
    FLO_REMOVAL_ASSIGNED, /* the model is ordered, but no part of it has arrived */
    FLO_REMOVAL_THERE,    /* the device has releases of the model */
    FLO_REMOVAL_COUNT
};
/* Returns "none", "silent", "assigned" or "remove". */
const char *flo_removal_word(enum flo_removal way);

#define FLO_REMOVAL_TITLE (2 * FLO_NAME_MAX + 2)

/* Tells whether the report lists the model as not removed.  `title` receives
 * "model@version" of the serving or current release, or "". */
bool flo_removal_is_there(const json_t *report, const char *model, char *title);
/* Plans the removal.  is_assigned: the device's desired document names the
 * model. */
enum flo_removal flo_removal_plan(const json_t *report, const char *model, bool is_assigned,
                                  char *title);

#endif
