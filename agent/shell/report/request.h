/* Request measures: adds the numbers of a finished request to its telemetry
 * window. */
#ifndef FLOTILLA_AGENT_REPORT_REQUEST_H
#define FLOTILLA_AGENT_REPORT_REQUEST_H

#include "agent/serve/serve.h"
#include "agent/shell/report/measures.h"

/* Adds a finished request.  Latency is measured only for interactive requests.
 * A batch request may wait for all others, so only its throughput says
 * something about a release. */
void flo_telemetry_request(struct flo_measures *measures,
                           const struct flo_serve_request_stats *stats);

#endif
