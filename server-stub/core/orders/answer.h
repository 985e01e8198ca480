/* Answers: the effect of a device's answer to an order, and when an answer is
 * asked for.  Pure. */
#ifndef FLOTILLA_SERVER_ANSWER_H
#define FLOTILLA_SERVER_ANSWER_H

#include <flotilla/base.h>
#include <flotilla/proto.h>

#include "server-stub/core/orders/orders.h"

struct flo_answer {
    enum flo_order_op op; /* op of the order that the device names */
    enum flo_order_outcome outcome;
    const char *error; /* id that the device gives as the cause, or NULL */
    bool is_aged;      /* the order, by the controller's clock */
};

enum flo_answer_follows {
    FLO_ANSWER_NOTHING,
    FLO_ANSWER_SEND_AGAIN, /* the order came too late: no answer, sign again */
    FLO_ANSWER_LOOK,       /* nothing was done for it: the report says what serves */
    FLO_ANSWER_BACK,       /* the device has left the release by the order */
    FLO_ANSWER_STAYS,      /* the device refused to go back */
    FLO_ANSWER_ABORTED,    /* executions that are not active yet end */
    FLO_ANSWER_REJECTED,   /* the deploy never becomes an execution */
    FLO_ANSWER_SUPERSEDED, /* the same, after a newer order */
    FLO_ANSWER_REMOVED,    /* the device has the model no more */
    FLO_ANSWER_COUNT
};

struct flo_answer_result {
    enum flo_answer_follows follows;
    bool is_for_good; /* the device would say so again: earlier orders about
                         the same are answered too */
};
struct flo_answer_result flo_answer_decide(const struct flo_answer *answer);

/* An order by what it is about. */
struct flo_answer_order {
    const char *op;
    const char *group;
    const char *rollout;
    const char *model;
    const char *release;
    uint64_t seq;
};
/* The answer to one order is the answer to an earlier one about the same,
 * which was signed again or asked for again with it.  Two requests for a report
 * are never about the same. */
bool flo_answer_covers(const struct flo_answer_order *answered,
                       const struct flo_answer_order *awaited);

/* An answer may have been lost.  Its order is sent once more by name, when the
 * answer cannot be on its way any more and the order still holds.  `is_back`:
 * the device was away, and has perhaps never seen the order. */
#define FLO_ANSWER_ASK_AFTER_MS 10000
/* A device is asked no more often. */
#define FLO_ANSWER_ASK_AGAIN_MS 60000
bool flo_answer_is_missing(uint64_t issued_at_ms, uint64_t expires_at_ms, uint64_t now_ms,
                           bool is_back);

/* An error id about signatures or signed metadata.  A device that distrusts an
 * order cannot refuse it by name. */
bool flo_answer_is_distrust(const char *error);

#endif
