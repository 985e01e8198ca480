/* Labels: checks the labels of a device, and merges changes into them.
 * Pure. */
#ifndef FLOTILLA_SERVER_LABELS_H
#define FLOTILLA_SERVER_LABELS_H

#include <flotilla/base.h>

#include "base/host/json.h"

#define FLO_LABELS_MAX 64
#define FLO_LABEL_BYTES_MAX 1024 /* limit of a value in bytes; it has at most 256 characters */

#define FLO_ZONE_LABEL "tz" /* key of the label with a device's time zone */

/* Checks the labels that a device gives when it enrols: an object of texts
 * whose keys are names.  FLO_E_REST_SCHEMA names the label; FLO_E_REST_MEANING:
 * there are too many. */
FLO_MUST_USE int flo_labels_check(const json_t *labels, struct flo_err *err);
/* Merges `patch` into `labels`; null removes a label.  *is_news: something
 * changed.  Fails like flo_labels_check; after FLO_E_REST_MEANING, `labels` may
 * be changed in part. */
FLO_MUST_USE int flo_labels_merge(json_t *labels, const json_t *patch, bool *is_news,
                                  struct flo_err *err);

#endif
