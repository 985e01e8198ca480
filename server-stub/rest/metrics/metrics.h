/* Metrics: gathering the samples of /metrics and of alert rules.
 *
 * On the control thread, from memory; only the fleet's freeze is read from the
 * store, and once a minute the files of certificates. */
#ifndef FLOTILLA_SERVER_REST_METRICS_H
#define FLOTILLA_SERVER_REST_METRICS_H

#include "server-stub/core/exposition/exposition.h"
#include "server-stub/rest/rest.h"

/* Pairs of release and hardware class that are kept apart, and 128 releases
 * more with the class "other"; the others count as "other". */
#define FLO_METRICS_PAIRS_MAX 384

/* All samples, into an empty `samples`. */
void flo_metrics_gather(struct flo_rest *rest, struct flo_samples *samples);

/* Parts of the samples, a file each. */
void flo_metrics_devices(struct flo_controller *controller, struct flo_samples *samples);
void flo_metrics_telemetry(const struct flo_controller *controller, struct flo_samples *samples);
void flo_metrics_rollouts(const struct flo_controller *controller, struct flo_samples *samples);
void flo_metrics_controller(struct flo_rest *rest, struct flo_samples *samples);

#endif
