/* Assets: answers which assets a model's release has, and sends their bytes. */
#ifndef FLOTILLA_SERVE_ASSETS_H
#define FLOTILLA_SERVE_ASSETS_H

#include "agent/serve/state.h"
#include "base/host/httpd.h"

/* Answers /v1/assets/{model} with the list, and /v1/assets/{model}/NAME with the
 * file, for a client with this token (requests/names.h).  The assets are those of
 * the model's route, so they change together with the release that answers. */
void flo_assets_answer(struct flo_serve *serve, struct flo_httpd_request *http, int token);

#endif
