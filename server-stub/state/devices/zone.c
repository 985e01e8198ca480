/* Zone: checks the time zone in the labels of a device. */
#include "base/zone.h"

#include "server-stub/core/select/labels.h"
#include "server-stub/state/devices/devices.h"

int flo_devices_zone_check(const json_t *labels, struct flo_err *err)
{
    const char *name = json_string_value(json_object_get(labels, FLO_ZONE_LABEL));
    struct flo_zone *zone = NULL;
    int rv = name == NULL ? 0 : flo_zone_open(name, &zone, err);

    flo_zone_close(zone);
    if (rv == FLO_E_ABSENT || rv == FLO_E_META_SCHEMA) {
        flo_fail(err, FLO_E_REST_MEANING, "label %s: `%.64s` is no time zone", FLO_ZONE_LABEL,
                 name);
        return flo_err_fix(err,
                           "a name of the IANA database (Europe/Paris), or an offset (+02:00)");
    }
    return rv;
}
