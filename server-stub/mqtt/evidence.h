/* Evidence for gates: asked of the telemetry lane, given to the rollouts. */
#ifndef FLOTILLA_SERVER_MQTT_EVIDENCE_H
#define FLOTILLA_SERVER_MQTT_EVIDENCE_H

#include "server-stub/state/controller.h"

struct flo_rollout_entry;

#define FLO_EVIDENCE_EVERY_MS 5000

/* Ask for each rollout whose gates want evidence, when it is due.  The answer
 * comes on this thread and steps the rollout. */
void flo_evidence_tick(struct flo_controller *controller, uint64_t now_ms);
/* The tick's request for evidence for `entry`.  NULL when its gates want none
 * now or there is no memory; the caller frees it. */
struct flo_lane_evidence *flo_evidence_ask(struct flo_controller *controller,
                                           struct flo_rollout_entry *entry);
/* The tick's request for a study of `entry`; NULL when it has none now or there
 * is no memory; the caller frees it. */
struct flo_observe_study *flo_evidence_study(struct flo_controller *controller,
                                             struct flo_rollout_entry *entry);
#endif
