/* Store: alert rules, alerts and webhooks, and deliveries of their messages.
 *
 * As in store.h, one thread calls, and all changes happen between begin and
 * commit.  Rules, alerts and webhooks are few and are in memory (state/watch);
 * here they are stored as documents by name.  Records (core/records) are such
 * documents, too.  A delivery is kept across restarts until its receiver took
 * it. */
#ifndef FLOTILLA_SERVER_STORE_WATCH_H
#define FLOTILLA_SERVER_STORE_WATCH_H

#include "server-stub/store/store.h"

enum flo_watch_kind {
    FLO_WATCH_RULE,
    FLO_WATCH_ALERT,
    FLO_WATCH_WEBHOOK,
#define FLO_RECORD(noun, ...) FLO_WATCH_##noun,
#include "server-stub/core/records/records.def"
#undef FLO_RECORD
    FLO_WATCH_KINDS
};
FLO_MUST_USE int flo_fleet_watch_put(struct flo_fleet_store *store, enum flo_watch_kind kind,
                                     const char *id, const char *body, struct flo_err *err);
FLO_MUST_USE int flo_fleet_watch_delete(struct flo_fleet_store *store, enum flo_watch_kind kind,
                                        const char *id, struct flo_err *err);
typedef int (*flo_fleet_watch_fn)(void *context, const char *id, const char *body);
/* Gets a document by its id.  *known is false when there is none. */
FLO_MUST_USE int flo_fleet_watch_get(struct flo_fleet_store *store, enum flo_watch_kind kind,
                                     const char *id, flo_fleet_watch_fn fn, void *context,
                                     bool *known, struct flo_err *err);
/* Lists at most `limit` documents (0: all) with ids above `after`, in the order
 * of ids. */
FLO_MUST_USE int flo_fleet_watch_page(struct flo_fleet_store *store, enum flo_watch_kind kind,
                                      const char *after, uint64_t limit, flo_fleet_watch_fn fn,
                                      void *context, struct flo_err *err);
FLO_MUST_USE int flo_fleet_watch_count(struct flo_fleet_store *store, enum flo_watch_kind kind,
                                       uint64_t *out, struct flo_err *err);
/* Lists all documents of a kind, in the order of ids. */
FLO_MUST_USE int flo_fleet_watch_each(struct flo_fleet_store *store, enum flo_watch_kind kind,
                                      flo_fleet_watch_fn fn, void *context, struct flo_err *err);

#define FLO_DELIVERY_WAITING "waiting"
#define FLO_DELIVERY_SENT "sent"
/* state of a delivery that was given up; a replay sends the message again */
#define FLO_DELIVERY_DEAD "dead"
/* state of a delivery that is not sent, because a later message of its alert is */
#define FLO_DELIVERY_PASSED "passed"
struct flo_fleet_delivery {
    uint64_t number; /* number by which the receiver knows the message, equal in each attempt */
    const char *target;
    const char *state;
    const char *body;
    const char *error;   /* error of the last attempt to deliver; "": none */
    uint64_t failed;     /* attempts */
    uint64_t next_at_ms; /* wall clock before which no further attempt is made */
    uint64_t at_ms;      /* time of creation */
};
typedef int (*flo_fleet_delivery_fn)(void *context, const struct flo_fleet_delivery *delivery);
FLO_MUST_USE int flo_fleet_delivery_add(struct flo_fleet_store *store,
                                        const struct flo_fleet_delivery *delivery,
                                        struct flo_err *err);
/* Stores the result of an attempt to deliver: the fields number, state, error,
 * failed and next_at_ms.  A failed attempt of a delivery that was passed meanwhile
 * changes nothing. */
FLO_MUST_USE int flo_fleet_delivery_tried(struct flo_fleet_store *store,
                                          const struct flo_fleet_delivery *delivery,
                                          struct flo_err *err);
/* Passes the deliveries with these numbers that were not sent: they are neither sent
 * nor played again.  *count: how many. */
FLO_MUST_USE int flo_fleet_delivery_pass(struct flo_fleet_store *store, uint64_t first,
                                         uint64_t last, uint64_t *count, struct flo_err *err);
/* Finds the oldest waiting delivery of a target whose next attempt is due. */
FLO_MUST_USE int flo_fleet_delivery_due(struct flo_fleet_store *store, const char *target,
                                        uint64_t now_ms, flo_fleet_delivery_fn fn, void *context,
                                        struct flo_err *err);
/* Lists a target's deliveries with numbers below this one, the newest first. */
FLO_MUST_USE int flo_fleet_delivery_list(struct flo_fleet_store *store, const char *target,
                                         uint64_t below, uint64_t limit, flo_fleet_delivery_fn fn,
                                         void *context, struct flo_err *err);
/* Queues those deliveries of a target again that were given up. */
FLO_MUST_USE int flo_fleet_delivery_replay(struct flo_fleet_store *store, const char *target,
                                           uint64_t now_ms, uint64_t *count, struct flo_err *err);
/* Deletes the deliveries made before `before_ms`, and all deliveries of the
 * target, unless it is NULL. */
FLO_MUST_USE int flo_fleet_delivery_prune(struct flo_fleet_store *store, uint64_t before_ms,
                                          const char *target_or_null, struct flo_err *err);

#endif
