/* Use: which artifacts of a model's releases may a device still fetch?  Pure.
 *
 * A delta is of use while some device may have the file that it begins with:
 * a file of a release in a slot of a device, of one of the newest, or one that
 * a used delta makes on the way (updater/plan/chain.h).  Whole files and lists
 * of chunks are always of use.
 *
 *   hold each release that devices may have, then judge every release, then ask
 *
 * Zero-initialise; deinit frees.  One thread. */
#ifndef FLOTILLA_SERVER_USE_H
#define FLOTILLA_SERVER_USE_H

#include <flotilla/base.h>
#include <flotilla/proto.h>

/* Newest published releases of a model whose files count as held: devices that
 * come next have them, and rollbacks lead to them.  As many as `release create`
 * makes deltas from. */
#define FLO_USE_NEWEST 4

/* Which deltas of a release may be of use? */
enum flo_use_deltas {
    FLO_USE_ALL,  /* a draft, or a young release */
    FLO_USE_HELD, /* those that begin with a file that is held */
    FLO_USE_NONE, /* a yanked release: nobody goes there */
};

struct flo_use {
    struct flo_digest_list held;   /* files that deltas may begin with */
    struct flo_digest_list named;  /* artifacts of any release */
    struct flo_digest_list needed; /* those that stay */
    bool is_sorted;
};

/* Devices may have any file of it, whichever variant they took. */
void flo_use_hold(struct flo_use *use, const struct flo_release *release);
/* After all of hold. */
void flo_use_judge(struct flo_use *use, const struct flo_release *release,
                   enum flo_use_deltas deltas);
/* After all of judge.  FLO_E_MEMORY: something is not in the lists, and
 * nothing may be decided by them. */
FLO_MUST_USE int flo_use_sort(struct flo_use *use, struct flo_err *err);
/* After sort.  An artifact of no release is neither. */
bool flo_use_names(const struct flo_use *use, const struct flo_digest *digest);
bool flo_use_needs(const struct flo_use *use, const struct flo_digest *digest);
void flo_use_deinit(struct flo_use *use);

#endif
