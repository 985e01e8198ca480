/* Metrics: gathers the samples of /metrics and of alert rules.
 *
 * Runs on the control thread, from memory.  Only the fleet's freeze and its
 * newest order about prompts are read from the store, and certificate files
 * once a minute. */
#ifndef FLOTILLA_SERVER_REST_METRICS_H
#define FLOTILLA_SERVER_REST_METRICS_H

#include "server-stub/core/exposition/exposition.h"
#include "server-stub/rest/rest.h"

/* Largest number of series by release and hardware class.  Most are pairs of
 * both.  A release for which no pair is left gets one series of class "other",
 * which is possible for 128 releases; all others share the release "other". */
#define FLO_METRICS_PAIRS_MAX 384

/* Gathers all samples into an empty `samples`. */
void flo_metrics_gather(struct flo_rest *rest, struct flo_samples *samples);

/* The functions that gather parts of the samples, each in a file of its own. */
void flo_metrics_devices(struct flo_controller *controller, struct flo_samples *samples);
void flo_metrics_telemetry(const struct flo_controller *controller, struct flo_samples *samples);
void flo_metrics_rollouts(const struct flo_controller *controller, struct flo_samples *samples);
void flo_metrics_controller(struct flo_rest *rest, struct flo_samples *samples);

#endif
