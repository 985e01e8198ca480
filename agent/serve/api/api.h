/* Declares the local API: its HTTP routes, and its metrics. */
#ifndef FLOTILLA_SERVE_API_H
#define FLOTILLA_SERVE_API_H

#include "agent/serve/state.h"

FLO_MUST_USE int flo_api_open(struct flo_serve *serve, const struct flo_serve_options *options,
                              struct flo_err *err);
void flo_api_metrics(const struct flo_serve *serve, struct flo_buf *out);

#endif
