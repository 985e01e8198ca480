/* REST: checks whether a device may fetch an artifact. */
#ifndef FLOTILLA_SERVER_REST_OFFERS_H
#define FLOTILLA_SERVER_REST_OFFERS_H

#include "server-stub/rest/rest.h"

/* Checks whether the caller may fetch a file.  People may read all artifacts
 * and envelopes; a device may fetch only those of releases offered to it.
 * FLO_E_BLOB_OFFER: the device may not, and an audit record says so. */
FLO_MUST_USE int flo_rest_may_fetch(struct flo_rest *rest, struct flo_httpd_request *request,
                                    const struct flo_digest *digest, bool is_envelope,
                                    struct flo_err *err);

#endif
