/* Offers: which artifacts a release brings to a device.  Pure. */
#ifndef FLOTILLA_SERVER_OFFER_H
#define FLOTILLA_SERVER_OFFER_H

#include <flotilla/base.h>
#include <flotilla/proto.h>

/* `digest` is borrowed for the call; an answer other than 0 ends the listing
 * and is its result. */
typedef int (*flo_offer_fn)(void *context, const struct flo_digest *digest, struct flo_err *err);
/* Each file of the release, its list of chunks, each way to it, and the base
 * of a delta: a device that keeps the base may have to repair it.  One that
 * stands in the document twice comes twice. */
FLO_MUST_USE int flo_offer_each(const struct flo_release *release, flo_offer_fn fn, void *context,
                                struct flo_err *err);
/* Bytes of that artifact, as the release states them; 0: it does not, which is
 * so for the base of a delta.  The most of several. */
uint64_t flo_offer_bytes(const struct flo_release *release, const struct flo_digest *digest);

#endif
