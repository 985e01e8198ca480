/* Orders: the list of a group, the time to sign one again, the progress of
 * one.  Pure. */
#ifndef FLOTILLA_SERVER_ORDERS_H
#define FLOTILLA_SERVER_ORDERS_H

#include <flotilla/base.h>
#include <flotilla/proto.h>

#define FLO_GROUP_ORDERS_MAX 8
/* Life of an order; desired carries one that is at most half as old. */
#define FLO_ORDER_LIFE_MS (UINT64_C(72) * 3600 * 1000)

/* How long an order is kept after its end, for people who read what
 * happened. */
#define FLO_ORDER_KEPT_MS (UINT64_C(30) * 24 * 3600 * 1000)

/* The facts of an order on which the selection depends. */
struct flo_order_card {
    enum flo_order_op op;
    uint64_t seq;
    uint64_t expires_at_ms;
    char rollout[FLO_NAME_MAX + 1]; /* pause, resume, abort */
    struct flo_digest release;      /* rollback: the release that goes */
    bool is_over;                   /* the order's epoch is over: devices refuse its key */
};

/* The retained list of a group: indices into `cards` (ascending seq), at most
 * FLO_GROUP_ORDERS_MAX, in ascending order; returns how many.
 *
 * Deploy orders are not in it: they travel in desired, where one replaces
 * another.  Orders of an epoch before are not: each device would refuse them
 * with each connection, and tell it.  Only the newest counts among freezes and
 * unfreezes, among pauses, resumes and aborts of a rollout, and among rollbacks
 * of a release.  When there are too many, the harmless go first, and before
 * those all but four rollbacks. */
size_t flo_group_orders(const struct flo_order_card *cards, size_t count, uint64_t now_ms,
                        size_t *out);

/* The order is older than half of its life: it is signed again while it holds.
 * An order dated in the future counts too: the clock was set back since. */
bool flo_order_is_aged(uint64_t issued_at_ms, uint64_t expires_at_ms, uint64_t now_ms);

/* Outcome of an order on one device, as the device says it. */
enum flo_order_outcome {
    FLO_OUTCOME_PENDING, /* nothing heard */
    FLO_OUTCOME_RUNNING,
    FLO_OUTCOME_DONE,
    FLO_OUTCOME_IGNORED, /* not concerned: as good as done */
    FLO_OUTCOME_REFUSED,
    FLO_OUTCOME_SUPERSEDED /* a newer order about the same holds there */
};
const char *flo_outcome_word(enum flo_order_outcome outcome);
bool flo_outcome_parse(const char *word, enum flo_order_outcome *out);
/* Is `next` news after `now`?  An end stays, but a refused order, or one
 * that did not seem to concern the device, may be done after all. */
bool flo_outcome_is_news(enum flo_order_outcome now, enum flo_order_outcome next);

struct flo_order_progress {
    uint32_t devices;
    uint32_t online;
    uint32_t awaited; /* online, and did not answer yet */
    uint32_t acked;
    uint32_t done;
    uint32_t failed;
    uint32_t pending;
};
void flo_order_progress_add(struct flo_order_progress *progress, enum flo_order_outcome outcome,
                            bool is_online, uint32_t count);
/* "running" while a device is awaited, "done", or "partly" with failures. */
const char *flo_order_progress_word(const struct flo_order_progress *progress);

#endif
