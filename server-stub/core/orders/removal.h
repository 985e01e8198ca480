/* Taking a model off one device: the plan by the device's last report.  Pure.
 */
#ifndef FLOTILLA_SERVER_REMOVAL_H
#define FLOTILLA_SERVER_REMOVAL_H

#include <flotilla/base.h>

#include "base/host/json.h"

enum flo_removal {
    /* The device does not have the model, and is told of none. */
    FLO_REMOVAL_NONE,
    FLO_REMOVAL_SILENT,   /* enrolled, and never reported */
    FLO_REMOVAL_ASSIGNED, /* told of it, but it has nothing of it yet */
    FLO_REMOVAL_THERE,    /* the device has releases of the model */
    FLO_REMOVAL_COUNT
};
/* "none", "silent", "assigned", "remove". */
const char *flo_removal_word(enum flo_removal way);

#define FLO_REMOVAL_TITLE (2 * FLO_NAME_MAX + 2)

/* Does the report say that the device has the model?  `title` receives
 * "model@version" of the release that serves or is current, "" for none. */
bool flo_removal_is_there(const json_t *report, const char *model, char *title);
/* is_assigned: its desired document names the model. */
enum flo_removal flo_removal_plan(const json_t *report, const char *model, bool is_assigned,
                                  char *title);

#endif
