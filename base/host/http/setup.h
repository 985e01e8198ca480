/* Setup of libcurl's handles, common to the blocking client (client.c) and the
 * one on an event loop (async.c): options, TLS, heads of answers, errors. */
#ifndef FLOTILLA_HOST_HTTP_SETUP_H
#define FLOTILLA_HOST_HTTP_SETUP_H

#include <curl/curl.h>

#include "base/host/http_client.h"

/* Starts libcurl, once in a process. */
void flo_http_start(void);

/* Copies the options with their strings.  The caller frees the copy in any
 * case.
 * FLO_E_NET_TLS  the fingerprint is invalid
 * FLO_E_MEMORY  no memory */
FLO_MUST_USE int flo_http_options_copy(const struct flo_http_options *options,
                                       struct flo_http_options *out, struct flo_err *err);
void flo_http_options_free(struct flo_http_options *options);

/* Sets what any call needs: protocols, no redirects, proxies, timeouts, TLS.
 * The options must live as long as the handle. */
void flo_http_setup(CURL *curl, const struct flo_http_options *options);

/* Seconds of a time limit, rounded up; at most a day. */
long flo_http_seconds(uint64_t ms);

/* Appends a line to the request's head.  FLO_E_USAGE: it is too long, or has a
 * line break. */
FLO_MUST_USE int flo_http_header_add(struct curl_slist **list, struct flo_err *err,
                                     const char *format, ...) FLO_PRINTF(3, 4);

/* Takes a line of an answer's head.  A status line clears what came before: an
 * interim answer. */
void flo_http_head_line(CURL *curl, const char *line, size_t bytes, struct flo_http_answer *answer);

/* Turns libcurl's result into an error.  `reason` is its error text. */
int flo_http_fail_curl(CURL *curl, CURLcode result, const char *url, const char *reason,
                       struct flo_err *err);

#endif
