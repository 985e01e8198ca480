/* Page: the chat page of the local API, made of static files for browsers. */
#ifndef FLOTILLA_SERVE_PAGE_H
#define FLOTILLA_SERVE_PAGE_H

#include "agent/serve/state.h"
#include "base/host/httpd.h"

/* Advice in an error about an unknown path: names the page that lists the API's
 * paths. */
#define FLO_API_PATHS_FIX                                                                          \
    "these are OpenAI's, Ollama's and Anthropic's APIs, where agent.yaml "                         \
    "does "                                                                                        \
    "not switch them off; docs/reference/local-api.md lists their paths"

/* Tells whether the request is for a file of the page.  Such a request needs no
 * token. */
bool flo_page_is_asked(const struct flo_serve *serve, const struct flo_httpd_request *http);
/* Adds the page's routes, unless the page is turned off. */
FLO_MUST_USE int flo_page_open(struct flo_serve *serve, struct flo_err *err);

#endif
