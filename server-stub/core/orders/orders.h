/* Orders: selects the list of a group, tells when an order is signed again, and
 * counts the answers of devices.  Pure. */
#ifndef FLOTILLA_SERVER_ORDERS_H
#define FLOTILLA_SERVER_ORDERS_H

#include <flotilla/base.h>
#include <flotilla/proto.h>

#define FLO_GROUP_ORDERS_MAX 8
/* Lifetime of an order.  Orders in desired documents are at most half as
 * old. */
#define FLO_ORDER_LIFE_MS (UINT64_C(72) * 3600 * 1000)

/* Time for which an expired order is stored for people to read. */
#define FLO_ORDER_KEPT_MS (UINT64_C(30) * 24 * 3600 * 1000)

/* Facts of an order that decide whether a list includes it. */
struct flo_order_card {
    enum flo_order_op op;
    uint64_t seq;
    uint64_t expires_at_ms;
    char rollout[FLO_NAME_MAX + 1]; /* pause, resume, abort */
    struct flo_digest release;      /* for a rollback: the release to leave */
    bool is_over;                   /* devices refuse the order's key, because its epoch is over */
};

/* Selects the retained list of a group: indices into `cards` (sorted by seq),
 * at most FLO_GROUP_ORDERS_MAX, ascending.  Returns how many.
 *
 * Deploy orders are left out: they travel in desired documents, where one
 * replaces another.  Orders of an earlier epoch are left out, because each
 * device would refuse them at every connection, and report it.  Only the newest
 * counts among freezes and unfreezes, among pauses, resumes and aborts of a
 * rollout, and among rollbacks of a release.  If there are too many, all but
 * the newest four rollbacks are dropped first, then the harmless orders. */
size_t flo_group_orders(const struct flo_order_card *cards, size_t count, uint64_t now_ms,
                        size_t *out);

/* Returns true when more than half of the order's lifetime is over, so that it
 * is signed again while it is valid.  Returns true also for an order dated in
 * the future, because the clock was set back. */
bool flo_order_is_aged(uint64_t issued_at_ms, uint64_t expires_at_ms, uint64_t now_ms);

/* Outcome of an order, as reported by the device. */
enum flo_order_outcome {
    FLO_OUTCOME_PENDING, /* nothing heard */
    FLO_OUTCOME_RUNNING,
    FLO_OUTCOME_DONE,
    FLO_OUTCOME_IGNORED, /* the order does not concern the device: counts as done */
    FLO_OUTCOME_REFUSED,
    FLO_OUTCOME_SUPERSEDED /* the device has a newer order about the same subject */
};
const char *flo_outcome_word(enum flo_order_outcome outcome);
bool flo_outcome_parse(const char *word, enum flo_order_outcome *out);
/* Tells whether outcome `next` replaces outcome `now`.  A final outcome stays,
 * but a refused or ignored order may still be done later. */
bool flo_outcome_is_news(enum flo_order_outcome now, enum flo_order_outcome next);

struct flo_order_progress {
    uint32_t devices;
    uint32_t online;
    uint32_t awaited; /* number of devices that are online and have not answered yet */
    uint32_t acked;
    uint32_t done;
    uint32_t failed;
    uint32_t pending;
};
void flo_order_progress_add(struct flo_order_progress *progress, enum flo_order_outcome outcome,
                            bool is_online, uint32_t count);
/* Returns "running" while the answer of a device is missing.  Returns "partly"
 * if all answered but some failed, else "done". */
const char *flo_order_progress_word(const struct flo_order_progress *progress);

#endif
