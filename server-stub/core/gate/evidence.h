/* Evidence: samples of a metric on the two arms of a rollout, by hardware
 * class.
 *
 * *Updated* are windows of the rollout's release, *waiting* are windows of
 * other releases of the same model.  Both come from devices of the rollout, in
 * the time of the present phase.  A percentile needs the sketches only, so
 * stored evidence gives the same verdict again.  Pure. */
#ifndef FLOTILLA_SERVER_EVIDENCE_H
#define FLOTILLA_SERVER_EVIDENCE_H

#include <flotilla/base.h>
#include <flotilla/proto.h>

#include "base/host/json.h"

#include "server-stub/core/telemetry/telemetry.h"

/* Largest number of hardware classes that are compared; devices of further
 * classes are left out. */
#define FLO_EVIDENCE_CLASSES_MAX 16

struct flo_evidence_arm {
    uint32_t devices; /* devices that have at least one sample */
    struct flo_histogram values;
};
struct flo_evidence_class {
    char hardware[FLO_HARDWARE_TEXT];
    struct flo_evidence_arm updated;
    struct flo_evidence_arm waiting;
};
struct flo_comparison {
    int metric;
    uint32_t phase;   /* phase in which the evidence was collected, from 0 */
    bool is_last;     /* after this phase no device has the old release */
    bool is_cut;      /* only the newest rows of evidence were read */
    uint64_t from_ms; /* times of the first and the last telemetry window, by
                         the controller's clock */
    uint64_t to_ms;
    uint32_t class_count;
    struct flo_evidence_class classes[FLO_EVIDENCE_CLASSES_MAX];
};

/* Returns the class of that name, or a new one if there is room; else NULL. */
struct flo_evidence_class *flo_evidence_class(struct flo_comparison *evidence,
                                              const char *hardware);
/* Builds the evidence as JSON, a new reference; NULL without memory:
 *
 *   {"metric","phase","last","cut","from_ms","to_ms","classes":[{"hardware",
 *    "updated":{"devices","values"},"waiting":{…}}]}
 *
 * `values` is flo_histogram_encode's text. */
json_t *flo_evidence_json(const struct flo_comparison *evidence);
/* Reads what flo_evidence_json writes.  FLO_E_REST_SCHEMA or FLO_E_MQTT_SCHEMA
 * on anything else; `out` may then be partly filled. */
FLO_MUST_USE int flo_evidence_parse(const json_t *json, struct flo_comparison *out,
                                    struct flo_err *err);

#endif
