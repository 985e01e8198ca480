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
    FLO_INTENT_RECALL, /* The rollback is for this rollout's group.  The rollout
                          rolls its devices back and waits for them. */
    /* The rollback is for another group, but this rollout's release is yanked,
     * so the rollout ends.  A device on which the release is active keeps it.
     * Other updates are cancelled. */
    FLO_INTENT_ABORT,
};
/* Decides the effect of a rollback or a yank on a rollout in this state.
 * is_covered: the rollback is for the rollout's group.  A stopped or completed
 * rollout is recalled too, because devices may still have the release.  A
 * completed one keeps its state. */
enum flo_intent_stop flo_intent_stop(enum flo_rollout_state state, bool is_covered, bool is_yanked);

/* ---- the newest intent for a device and a model wins ---- */

/* Tells whether rollout `id` is older than `other`.  Ids are numbers of at
 * least four digits: r-9999 is older than r-10000. */
bool flo_intent_is_older(const char *id, const char *other);

/* Tells whether a person ordered the deploy: it then has the name of an order,
 * or "", in place of its rollout. */
bool flo_intent_is_of_people(const char *rollout);

/* Tells whether `rollout` may write an order about its model into a device's
 * desired document.  `held` is the rollout whose order is there now; "": none.
 * A deploy may replace an order of an older rollout.  A pause, an abort or a
 * rollback may only replace an order of its own rollout. */
bool flo_intent_may_write(enum flo_order_op op, const char *rollout, const char *held);

/* Tells whether a rollout in this state may still give orders although a newer
 * rollout of the same model exists.  A completed rollout may, because devices
 * that were offline return. */
bool flo_intent_may_order(enum flo_rollout_state state);

/* ---- numbers ---- */

/* Returns the order number up to which devices remove the release from their
 * list of blocked releases.  It is `newest` if a person asked for it, or if the
 * release was recalled before; else 0.  A release that failed by its own fault
 * stays blocked. */
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
