/* REST: what a device may fetch. */
#ifndef FLOTILLA_SERVER_REST_OFFERS_H
#define FLOTILLA_SERVER_REST_OFFERS_H

#include "server-stub/rest/rest.h"

/* People read all artifacts and envelopes; a device reads those of releases
 * that it was offered.  FLO_E_BLOB_OFFER, with a record in the audit. */
FLO_MUST_USE int flo_rest_may_fetch(struct flo_rest *rest, struct flo_httpd_request *request,
                                    const struct flo_digest *digest, bool is_envelope,
                                    struct flo_err *err);

#endif
