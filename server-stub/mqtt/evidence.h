/* Evidence for gates: requests it from the telemetry thread, and passes it to
 * the rollouts. */
#ifndef FLOTILLA_SERVER_MQTT_EVIDENCE_H
#define FLOTILLA_SERVER_MQTT_EVIDENCE_H

#include "server-stub/state/controller.h"

struct flo_rollout_entry;

#define FLO_EVIDENCE_EVERY_MS 5000

/* Requests evidence for each rollout whose gates need it, when it is due.  The
 * answer comes later on the same thread, and steps the rollout. */
void flo_evidence_tick(struct flo_controller *controller, uint64_t now_ms);
/* Builds the request for evidence that flo_evidence_tick sends to the telemetry
 * thread for the rollout `entry`; the caller frees it.  Returns NULL when no
 * gate of `entry` needs evidence now, or without memory. */
struct flo_lane_evidence *flo_evidence_ask(struct flo_controller *controller,
                                           struct flo_rollout_entry *entry);
/* Builds the request for an analysis that flo_evidence_tick sends to the
 * telemetry thread for the rollout `entry`; the caller frees it.  Returns NULL
 * when no analysis is due, or without memory. */
struct flo_observe_analysis *flo_evidence_analysis(struct flo_controller *controller,
                                                   struct flo_rollout_entry *entry);
#endif
