/* Request: the numbers of a finished request become measures of its window. */
#ifndef FLOTILLA_AGENT_REPORT_REQUEST_H
#define FLOTILLA_AGENT_REPORT_REQUEST_H

#include "agent/serve/serve.h"
#include "agent/shell/report/measures.h"

/* Latency is that of interactive requests alone.  A batch request may wait for
 * all others, so its latency says nothing about a release; its throughput
 * does. */
void flo_telemetry_request(struct flo_measures *measures,
                           const struct flo_serve_request_stats *stats);

#endif
