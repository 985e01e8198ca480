/* Intent: whose order stands in a device's desired document, the effect of a
 * yank or a rollback on rollouts, and the newest number.  Pure. */
#ifndef FLOTILLA_SERVER_INTENT_H
#define FLOTILLA_SERVER_INTENT_H

#include <flotilla/base.h>
#include <flotilla/proto.h>

#include "server-stub/core/rollout/rollout.h"

/* ---- rollouts of a release that goes back ---- */

/* The rollout orders devices to the release, now or after a pause. */
bool flo_intent_goes_on(enum flo_rollout_state state);

enum flo_intent_stop {
    FLO_INTENT_STAYS,     /* nothing changes */
    FLO_INTENT_TAKE_BACK, /* the rollback covers it: it waits for devices */
    FLO_INTENT_ABORT,     /* not covered, but the release is yanked: what is
                             not yet active ends, what is active stays */
};
/* is_covered: the rollback is for its group.  A rollout that gives no orders
 * any more, but whose devices may have the release, is taken back too.  A
 * completed one keeps its state and says what became of its release. */
enum flo_intent_stop flo_intent_stop(enum flo_rollout_state state, bool is_covered, bool is_yanked);

/* ---- the newest intent for a device and a model wins ---- */

/* Ids are numbers of at least four digits: r-9999 is older than r-10000. */
bool flo_intent_is_older(const char *id, const char *other);

/* Is it the name of an order?  A deploy that people asked for bears one in the
 * place of its rollout. */
bool flo_intent_is_of_people(const char *rollout);

/* May `rollout` write an order about its model into a desired document?  The
 * document holds an order about that model of the rollout `held` ("" an order
 * of none).  A deploy is written unless a newer rollout stands there.  A pause,
 * an abort or a rollback is written only over the rollout's own order: a device
 * that got a newer order since must keep that one. */
bool flo_intent_may_write(enum flo_order_op op, const char *rollout, const char *held);

/* An older rollout meets a newer one of the same model: may the older still
 * order devices?  A completed one brings those that come back. */
bool flo_intent_may_order(enum flo_rollout_state state);

/* ---- numbers ---- */

/* Number of the order up to which devices lift their denials of a release that
 * a rollout brings.  It is the newest order if a person asked for it or the
 * release was taken back before; else 0.  Faults of the release stay denied. */
uint64_t flo_intent_lift(bool is_asked, uint64_t taken_back, uint64_t newest);

enum flo_intent_top {
    FLO_INTENT_TOP_OURS,
    FLO_INTENT_TOP_SKIP,  /* give higher numbers, sign again what holds */
    FLO_INTENT_TOP_ALARM, /* the data may be older than the devices */
};
/* A restored controller skips so far at most: a device may be stolen. */
#define FLO_INTENT_TOP_JUMP_MAX UINT64_C(1000000)
/* top: the highest number of an order that a device took; newest: given by us.
 * is_restored: the controller was started for a backup. */
enum flo_intent_top flo_intent_top(uint64_t top, uint64_t newest, bool is_restored);

#endif
