/* Request measures: adds the numbers of a finished request to the measures of
 * its window. */
#ifndef FLOTILLA_AGENT_REPORT_REQUEST_H
#define FLOTILLA_AGENT_REPORT_REQUEST_H

#include "agent/serve/serve.h"
#include "agent/shell/report/measures.h"

/* Adds a finished request.  Latency is measured for interactive requests only.
 * A batch request may wait for all others, so only its throughput tells
 * something about a release. */
void flo_telemetry_request(struct flo_measures *measures,
                           const struct flo_serve_request_stats *stats);

#endif
