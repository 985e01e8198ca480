/* Format: reads the form in which a client wants the answer. */
#ifndef FLOTILLA_SERVE_FORMAT_H
#define FLOTILLA_SERVE_FORMAT_H

#include "agent/serve/params/params.h"

/* Sets the addresses of token ids and biases in params->message.generate again,
 * because params->parts, which contains them, may have moved. */
void flo_format_parts(struct serve_params *params);
/* Reads `response_format` (OpenAI), `json_schema` and `grammar` (llama.cpp's
 * server) into params->message.generate.  The engine compiles them.
 * FLO_E_INFER_PARAM  a field is invalid; params->param names it */
FLO_MUST_USE int flo_format_read(const json_t *body, struct serve_params *params,
                                 struct flo_err *err);
/* Returns the parameter that an engine's error about the answer's form is
 * about; NULL: the error is about something else. */
const char *flo_format_param(const struct serve_params *params, const struct flo_err *err);

#endif
