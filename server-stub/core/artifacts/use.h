/* Use: which artifacts of a model's releases may a device still fetch?  Pure.
 *
 * A delta is of use while some device may have its base.  A base is a file of a
 * release that a device has, or of one of the newest releases.  It may also be
 * made by another useful delta in a chain (updater/plan/chain.h).  Whole files
 * and lists of chunks are always of use.
 *
 * The caller first calls flo_use_hold for each release that devices may have.
 * Then it calls flo_use_judge for every release, and at last asks about
 * artifacts.
 *
 * Zero-initialise; deinit frees.  One thread. */
#ifndef FLOTILLA_SERVER_USE_H
#define FLOTILLA_SERVER_USE_H

#include <flotilla/base.h>
#include <flotilla/proto.h>

/* Number of newest published releases of a model whose files always count as
 * held, because new devices and rollbacks use them.  `release create` makes
 * deltas from the same number of releases. */
#define FLO_USE_NEWEST 4

/* Deltas of a release that are needed. */
enum flo_use_deltas {
    FLO_USE_ALL,  /* all deltas are needed, because the release is a draft or young */
    FLO_USE_HELD, /* only deltas are needed whose base some device can have */
    FLO_USE_NONE, /* no delta is needed, because no device installs a yanked release */
};

struct flo_use {
    /* artifacts that devices may hold, so deltas from them are possible */
    struct flo_digest_list held;
    struct flo_digest_list named;  /* artifacts that any release names */
    struct flo_digest_list needed; /* artifacts that stay */
    bool is_sorted;
};

/* Marks all files of a release as held.  A device may have any of them,
 * whichever variant it took. */
void flo_use_hold(struct flo_use *use, const struct flo_release *release);
/* Adds the artifacts of a release to the list of artifacts that releases name.
 * Those that a device may still fetch are added to the list of needed artifacts
 * as well.  Call it after all flo_use_hold calls. */
void flo_use_judge(struct flo_use *use, const struct flo_release *release,
                   enum flo_use_deltas deltas);
/* Sorts the lists.  Call after all flo_use_judge calls.  FLO_E_MEMORY: the
 * lists are incomplete, so nothing may be decided by them. */
FLO_MUST_USE int flo_use_sort(struct flo_use *use, struct flo_err *err);
/* Tells whether some release names the artifact.  Call it after
 * flo_use_sort. */
bool flo_use_names(const struct flo_use *use, const struct flo_digest *digest);
/* Tells whether a device may still need the artifact.  Call it after
 * flo_use_sort. */
bool flo_use_needs(const struct flo_use *use, const struct flo_digest *digest);
void flo_use_deinit(struct flo_use *use);

#endif
