/* Flotilla metrics: names for the indices of proto/metrics.def.
 *
 * The header is separate from proto.h, so that a new metric recompiles only
 * files that name one or count them.  No header includes this one. */
#ifndef FLOTILLA_METRICS_H
#define FLOTILLA_METRICS_H

enum {
#define FLO_METRIC(name, word, kind, unit, least, meaning) FLO_METRIC_NAME_##name,
#include "proto/metrics.def"
#undef FLO_METRIC
    FLO_METRIC_COUNT
};

#endif
