/* The form of an answer that a request asks for. */
#ifndef FLOTILLA_SERVE_FORMAT_H
#define FLOTILLA_SERVE_FORMAT_H

#include "agent/serve/params/params.h"

/* Texts of params->message.generate that stand in params->parts, which moved:
 * token ids, then biases. */
void flo_format_parts(struct serve_params *params);
/* `response_format` (OpenAI), `json_schema` and `grammar` (as llama.cpp's
 * server has them) into params->message.generate.  The engine compiles it.
 * FLO_E_INFER_PARAM with params->param. */
FLO_MUST_USE int flo_format_read(const json_t *body, struct serve_params *params,
                                 struct flo_err *err);
/* The parameter that the engine's refusal of a form is about; NULL: it is
 * about something else. */
const char *flo_format_param(const struct serve_params *params, const struct flo_err *err);

#endif
