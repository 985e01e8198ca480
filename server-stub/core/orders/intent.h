/* Intent: which rollout's order is in a device's desired document, the effect
 * of a yank or a rollback on rollouts, and the newest order number.  Pure. */
#ifndef FLOTILLA_SERVER_INTENT_H
#define FLOTILLA_SERVER_INTENT_H

#include <flotilla/base.h>
#include <flotilla/proto.h>

#include "server-stub/core/rollout/rollout.h"

/* ---- rollouts of a release that goes back ---- */

/* Tells whether the rollout orders devices to the release, now or after a
 * pause. */
bool flo_intent_goes_on(enum flo_rollout_state state);

enum flo_intent_stop {
    FLO_INTENT_STAYS,  /* nothing changes */
    FLO_INTENT_RECALL, /* the rollback covers this rollout: it rolls back and waits for its devices
                        */
    /* the rollout is not covered, but its release is yanked, so the rollout
     * ends.  A device on which the release is active keeps it; other updates
     * are cancelled */
    FLO_INTENT_ABORT,
};
/* Decides the effect of a rollback or a yank on a rollout.  is_covered: the
 * rollback is for the rollout's group.  A stopped rollout is recalled too, if
 * devices may still have the release.  A completed one keeps its state and
 * reports the result. */
enum flo_intent_stop flo_intent_stop(enum flo_rollout_state state, bool is_covered, bool is_yanked);

/* ---- the newest intent for a device and a model wins ---- */

/* Tells whether rollout `id` is older than `other`.  Ids are numbers of at
 * least four digits: r-9999 is older than r-10000. */
bool flo_intent_is_older(const char *id, const char *other);

/* Tells whether a person ordered the deploy: it then has the name of an order,
 * or "", in place of its rollout. */
bool flo_intent_is_of_people(const char *rollout);

/* Tells whether `rollout` may write an order about its model into a desired
 * document that holds an order of rollout `held` ("": of none).  A deploy is
 * written unless `held` is newer.  A pause, an abort or a rollback only
 * replaces the rollout's own order, because a device with a newer order must
 * keep it. */
bool flo_intent_may_write(enum flo_order_op op, const char *rollout, const char *held);

/* Tells whether a rollout in this state may still give orders although a newer
 * one of the same model exists.  A completed rollout may, for devices that
 * return. */
bool flo_intent_may_order(enum flo_rollout_state state);

/* ---- numbers ---- */

/* Returns the order number up to which devices unblock the release.  It is the
 * newest number if a person asked for it or the release was recalled before,
 * else 0.  A release that failed by its own fault stays blocked. */
uint64_t flo_intent_lift(bool is_asked, uint64_t taken_back, uint64_t newest);

enum flo_intent_top {
    FLO_INTENT_TOP_OURS,
    FLO_INTENT_TOP_SKIP,  /* continue with higher numbers, and sign valid orders again */
    FLO_INTENT_TOP_ALARM, /* raise an alarm: the controller's data may be older than the devices' */
};
/* Largest jump of a restored controller's order numbers.  It is limited because
 * a stolen device may report any number. */
#define FLO_INTENT_TOP_JUMP_MAX UINT64_C(1000000)
/* Compares order numbers.  `top` is the highest number that a device accepted,
 * `newest` the highest that this controller gave.  is_restored: the controller
 * was started from a backup. */
enum flo_intent_top flo_intent_top(uint64_t top, uint64_t newest, bool is_restored);

#endif
