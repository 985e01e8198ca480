/* Labels of a device: what they may be, and a change of some.  Pure. */
#ifndef FLOTILLA_SERVER_LABELS_H
#define FLOTILLA_SERVER_LABELS_H

#include <flotilla/base.h>

#include "base/host/json.h"

#define FLO_LABELS_MAX 64
#define FLO_LABEL_BYTES_MAX 1024 /* a value: 256 characters */

/* Labels that a device brings at its enrolment: an object of texts; keys are
 * names.  FLO_E_REST_SCHEMA names the label, FLO_E_REST_MEANING says that there
 * are too many. */
FLO_MUST_USE int flo_labels_check(const json_t *labels, struct flo_err *err);
/* Change `labels`: null takes one away.  *is_news: something is another than
 * before.  The same errors; with the second one it is changed. */
FLO_MUST_USE int flo_labels_merge(json_t *labels, const json_t *patch, bool *is_news,
                                  struct flo_err *err);

#endif
