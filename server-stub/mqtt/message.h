/* Message: a received message, and functions that process it.  Private to this
 * folder. */
#ifndef FLOTILLA_SERVER_MQTT_MESSAGE_H
#define FLOTILLA_SERVER_MQTT_MESSAGE_H

#include "server-stub/mqtt/ingest.h"
#include "server-stub/state/rollouts/rollouts.h"

#define WALL_MS_MAX (INT64_C(1) << 53)

struct flo_message {
    struct flo_ingest *ingest;
    struct flo_controller *controller;
    const char *device;
    json_t *json;
    const char *text; /* text from which `json` was parsed */
    size_t bytes;
    uint64_t now_ms; /* wall clock */
    bool retained;
};

/* Appends the whole message as one line of text.  Fails without memory. */
FLO_MUST_USE int flo_ingest_text(const struct flo_message *message, struct flo_buf *out,
                                 struct flo_err *err);
/* Appends the JSON value as text, unless it is missing or null. */
void flo_ingest_dump(const json_t *json, struct flo_buf *out);
/* Tells whether the error is one of the store or of a rollout's step, and not
 * one of the message.  After such an error the batch cannot continue. */
bool flo_ingest_is_ours(int code);
/* Steps a rollout.  A step that fails midway has already changed the rollout in
 * memory, so the batch must be rolled back for any failure (FLO_E_INTERNAL). */
FLO_MUST_USE int flo_ingest_step(const struct flo_message *message, struct flo_rollout_entry *entry,
                                 struct flo_rollout_event event, struct flo_err *err);
/* Finds the rollout that a device names.  *out is NULL if there is no such
 * rollout. */
FLO_MUST_USE int flo_ingest_rollout(struct flo_controller *controller, const char *id,
                                    struct flo_rollout_entry **out, struct flo_err *err);
/* Ends those executions that a device's report does not mention, if the device
 * has no more events to send. */
FLO_MUST_USE int flo_ingest_forgotten(const struct flo_message *message, const json_t *models,
                                      struct flo_err *err);
/* Checks whether the report shows that the device left a release as it was
 * ordered to.  The report counts only if the device knows `rev`, its newest
 * desired document. */
FLO_MUST_USE int flo_ingest_back_by_report(const struct flo_message *message, uint64_t rev,
                                           struct flo_err *err);
/* Requests answers that may have been lost.  An answer that is awaited for some
 * time is requested by its order, at most once a minute.  After an outage of
 * the device, all awaited answers are requested. */
FLO_MUST_USE int flo_ingest_ask(const struct flo_message *message, struct flo_err *err);
/* Handles a security problem, such as a rejected signature, that a device
 * reports. */
FLO_MUST_USE int flo_ingest_distrusted(const struct flo_message *message, struct flo_err *err);
/* Notes the end of an update that people ordered for this device, by `rollback
 * --to` or by a pin. */
FLO_MUST_USE int flo_ingest_sent(const struct flo_message *message, const char *order, bool is_good,
                                 struct flo_err *err);
FLO_MUST_USE int flo_ingest_ack(const struct flo_message *message, struct flo_err *err);

#endif
