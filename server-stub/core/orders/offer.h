/* Offers: lists the artifacts that a release brings to a device.  Pure. */
#ifndef FLOTILLA_SERVER_OFFER_H
#define FLOTILLA_SERVER_OFFER_H

#include <flotilla/base.h>
#include <flotilla/proto.h>

/* Callback for each artifact.  `digest` is borrowed for the call.  A result
 * other than 0 ends the listing and is returned. */
typedef int (*flo_offer_fn)(void *context, const struct flo_digest *digest, struct flo_err *err);
/* Lists each file of the release, its list of chunks, its compressed forms and
 * its deltas.  The base of each delta is listed too, because a device may have
 * to repair it.  An artifact that the document names twice is listed twice. */
FLO_MUST_USE int flo_offer_each(const struct flo_release *release, flo_offer_fn fn, void *context,
                                struct flo_err *err);
/* Returns the artifact's size as the release states it.  If it states several,
 * the largest counts; 0: none is stated, as for the base of a delta. */
uint64_t flo_offer_bytes(const struct flo_release *release, const struct flo_digest *digest);

#endif
