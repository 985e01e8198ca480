/* Newest: the statement by which devices know that nothing newer is withheld
 * from them, and each device's path to its root (<flotilla/newest.h>).
 *
 * The tree has each device that was sent its desired document since the start
 * of the controller.  It is made again with a statement, if a document changed
 * meanwhile. */
#ifndef FLOTILLA_SERVER_STATE_TRUST_NEWEST_H
#define FLOTILLA_SERVER_STATE_TRUST_NEWEST_H

#include <flotilla/newest.h>

struct flo_controller;
struct flo_newests;

struct flo_newests *flo_newests_new(void);
void flo_newests_free(struct flo_newests *newests);
/* Tells whether a device was not sent its path yet, and the tree has the document
 * that it was sent last. */
bool flo_newests_owes(const struct flo_newests *newests, const char *device);
/* Takes the desired document that a device is sent; "": it is retired.  Returns
 * true when the tree has the document, so that the device can use its path. */
bool flo_newests_told(struct flo_newests *newests, const char *device, const char *text,
                      size_t bytes);
/* Tells whether the next statement is due. */
bool flo_newests_are_due(const struct flo_controller *controller);
/* Signs the next statement, and stores its number in a transaction of its own. */
FLO_MUST_USE int flo_newests_sign(struct flo_controller *controller, struct flo_err *err);
/* Signs the statement of a bundle with these releases (their ids), in the
 * caller's transaction.  *out is what was signed. */
FLO_MUST_USE int flo_newests_bundle(struct flo_controller *controller,
                                    const struct json_t *releases, uint64_t days,
                                    struct flo_newest *out, struct flo_buf *envelope,
                                    struct flo_err *err);
/* Returns a device that is to be sent its path now; NULL: none.  Each has its
 * turn within half an interval after a statement with another tree, or after
 * each statement if the broker keeps none. */
const char *flo_newests_next(const struct flo_controller *controller);
/* Appends `,"newest":<envelope>` with has_word, and `,"path":{...}` of a device.
 * Returns false without a path: the last statement's tree does not have the
 * device's document. */
bool flo_newests_add(const struct flo_newests *newests, bool has_word, const char *device_or_null,
                     struct flo_buf *out);

#endif
