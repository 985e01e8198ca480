/* A message that is taken in, and what is done with it; not for others. */
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
    const char *text; /* text of which `json` was made */
    size_t bytes;
    uint64_t now_ms; /* wall */
    bool retained;
};

/* The whole message as one line of text; < 0 without memory. */
FLO_MUST_USE int flo_ingest_text(const struct flo_message *message, struct flo_buf *out,
                                 struct flo_err *err);
/* Append as text, unless it is missing or null. */
void flo_ingest_dump(const json_t *json, struct flo_buf *out);
/* true: the store failed or a step did, the batch cannot go on. */
bool flo_ingest_is_ours(int code);
/* A step that fails half way has changed the rollout in memory: whatever the
 * reason, the batch has to be taken back (FLO_E_INTERNAL). */
FLO_MUST_USE int flo_ingest_step(const struct flo_message *message, struct flo_rollout_entry *entry,
                                 struct flo_rollout_event event, struct flo_err *err);
/* The rollout that a device speaks of; NULL in *out when there is none. */
FLO_MUST_USE int flo_ingest_rollout(struct flo_controller *controller, const char *id,
                                    struct flo_rollout_entry **out, struct flo_err *err);
/* Executions that the report of a device does not know, though it has nothing
 * more to tell, are over. */
FLO_MUST_USE int flo_ingest_forgotten(const struct flo_message *message, const json_t *models,
                                      struct flo_err *err);
/* Does the report say that the device left a release that it was told to leave?
 * It counts when the device knows its newest desired release, `rev`. */
FLO_MUST_USE int flo_ingest_back_by_report(const struct flo_message *message, uint64_t rev,
                                           struct flo_err *err);
/* The device's answer may have been lost.  An answer that is awaited for some
 * time is asked for by name, once a minute at most.  When the device was away,
 * all that is awaited of it is asked for. */
FLO_MUST_USE int flo_ingest_ask(const struct flo_message *message, struct flo_err *err);
/* A device reported something about security. */
FLO_MUST_USE int flo_ingest_distrusted(const struct flo_message *message, struct flo_err *err);
/* A release that people sent to a device, by a rollback --to or by a pin, ended
 * there. */
FLO_MUST_USE int flo_ingest_sent(const struct flo_message *message, const char *order, bool is_good,
                                 struct flo_err *err);
FLO_MUST_USE int flo_ingest_ack(const struct flo_message *message, struct flo_err *err);

#endif
