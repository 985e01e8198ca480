/* Format: the form that a request requires of its answer. */
#ifndef FLOTILLA_SERVE_FORMAT_H
#define FLOTILLA_SERVE_FORMAT_H

#include "agent/serve/params/params.h"

/* Points the texts of params->message.generate that are in params->parts, token
 * ids and biases, to its new address. */
void flo_format_parts(struct serve_params *params);
/* Reads `response_format` (OpenAI), `json_schema` and `grammar` (llama.cpp's
 * server) into params->message.generate.  The engine compiles them.
 * FLO_E_INFER_PARAM with params->param. */
FLO_MUST_USE int flo_format_read(const json_t *body, struct serve_params *params,
                                 struct flo_err *err);
/* Returns the parameter that an engine's error about a form refers to; NULL:
 * the error is about something else. */
const char *flo_format_param(const struct serve_params *params, const struct flo_err *err);

#endif
