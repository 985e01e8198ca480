/* Defaults: what a release says about answers whose request does not say it
 * itself. */
#ifndef FLOTILLA_SERVE_DEFAULTS_H
#define FLOTILLA_SERVE_DEFAULTS_H

#include "agent/serve/params/params.h"
#include "agent/serve/serve.h"

/* Puts the defaults into the message of a generating request; NULL: the API's
 * own.  It replaces those of an earlier call.  The message's texts point to
 * `defaults` afterwards, until the next call.
 * FLO_E_INFER_PARAM  the conversation has no room for a system prompt */
FLO_MUST_USE int flo_defaults_put(struct serve_params *params,
                                  const struct flo_serve_defaults *defaults, struct flo_err *err);

#endif
