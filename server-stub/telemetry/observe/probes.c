/* Observe: sites with one or two updated devices, all far slower than the
 * others there. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "server-stub/core/gate/slices/probe.h"
#include "server-stub/telemetry/observe/inside.h"

_Static_assert(FLO_STUDY_PROBES_MAX == FLO_SCAN_PROBES_MAX, "one look's");

static size_t gather_devices(const struct flo_observer *observer,
                             uint32_t roster, enum flo_observed_reading reading,
                             struct flo_probe_device *out)
{
    size_t count = 0;

    for (size_t i = 0; i < observer->count; i++) {
        const struct flo_observer_entry *entry = &observer->entries[i];
        bool is_updated = entry->observed.arm == FLO_ARM_TREATED;
        if (entry->roster == roster && entry->site != 0 &&
            (is_updated || entry->observed.arm == FLO_ARM_CONTROL) &&
            flo_observed_difference(&entry->observed, reading, &out[count].d) &&
            isfinite(out[count].d)) { /* stored sums are any */
            out[count].site = entry->site;
            out[count].device = (uint32_t)i;
            out[count].is_updated = is_updated;
            count++;
        }
    }
    return count;
}

/* A site that asks by several readings asks once. */
static bool is_asked(const struct flo_study_evidence *evidence,
                     const char *device)
{
    for (uint32_t i = 0; i < evidence->probe_count; i++) {
        if (strcmp(evidence->probes[i].device, device) == 0) {
            return true;
        }
    }
    return false;
}

int flo_observer_probes(const struct flo_observer *observer, uint32_t roster,
                        struct flo_study_evidence *evidence,
                        struct flo_err *err)
{
    struct flo_probe_device *devices =
        calloc(observer->count + 1, sizeof(*devices));
    struct flo_probe_wish found[FLO_SCAN_PROBES_MAX];

    evidence->probe_count = 0;
    if (devices == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "evidence");
    }
    for (size_t k = 0; k < flo_slow_reading_count; k++) {
        size_t count = flo_probe_find(
            devices,
            gather_devices(observer, roster, flo_slow_readings[k], devices),
            found);
        for (size_t i = 0;
             i < count && evidence->probe_count < FLO_STUDY_PROBES_MAX; i++) {
            const char *device =
                observer->ids.items[observer->entries[found[i].device].device];
            struct flo_study_probe *probe =
                &evidence->probes[evidence->probe_count];
            if (!is_asked(evidence, device)) {
                snprintf(probe->device, sizeof(probe->device), "%s", device);
                probe->is_count = false;
                probe->least = found[i].least;
                evidence->probe_count++;
            }
        }
    }
    free(devices);
    return 0;
}
