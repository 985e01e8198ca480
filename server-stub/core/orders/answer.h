/* Answers: the consequence of a device's answer to an order, and when the
 * controller requests an answer again.  Pure. */
#ifndef FLOTILLA_SERVER_ANSWER_H
#define FLOTILLA_SERVER_ANSWER_H

#include <flotilla/base.h>
#include <flotilla/proto.h>

#include "server-stub/core/orders/orders.h"

struct flo_answer {
    enum flo_order_op op; /* operation of the order that the device names */
    enum flo_order_outcome outcome;
    const char *error; /* error id that the device gives as cause, or NULL */
    bool is_aged;      /* more than half of the order's lifetime is over, by the
                          controller's clock */
};

enum flo_answer_follows {
    FLO_ANSWER_NOTHING,
    FLO_ANSWER_SEND_AGAIN, /* the order arrived too late: this is no answer, so the order is signed
                              again */
    FLO_ANSWER_LOOK,       /* The order had no effect on the device.  Its report tells
                              which release serves. */
    FLO_ANSWER_BACK,       /* the device left the release by this order */
    FLO_ANSWER_STAYS,      /* the device refused to go back */
    FLO_ANSWER_ABORTED,    /* inactive executions end */
    FLO_ANSWER_REJECTED,   /* the deploy has no execution, because the device rejected it */
    /* the deploy has no execution, because a newer order replaced it */
    FLO_ANSWER_SUPERSEDED,
    FLO_ANSWER_REMOVED, /* the device no longer has the model */
    FLO_ANSWER_COUNT
};

struct flo_answer_result {
    enum flo_answer_follows follows;
    bool is_for_good; /* the answer is final: a repeated one would be the same, so this one also
                         answers earlier orders about the same subject */
};
struct flo_answer_result flo_answer_decide(const struct flo_answer *answer);

/* Order, identified by its subject. */
struct flo_answer_order {
    const char *op;
    const char *group;
    const char *rollout;
    const char *model;
    const char *release;
    uint64_t seq;
};
/* Tells whether the answer to one order also answers an earlier one.  It does
 * if the later order repeats the earlier one: both have the same operation and
 * subject.  Requests for reports are answered one by one. */
bool flo_answer_covers(const struct flo_answer_order *answered,
                       const struct flo_answer_order *awaited);

/* Time that an answer may take before the order is sent once more. */
#define FLO_ANSWER_ASK_AFTER_MS 10000
/* Minimum time between two requests for an answer to one device. */
#define FLO_ANSWER_ASK_AGAIN_MS 60000
/* Tells whether an answer is missing, so that its order is sent to the device
 * once more.  This is after FLO_ANSWER_ASK_AFTER_MS, as long as the order is
 * valid.  `is_back`: the device was offline and may never have seen the order,
 * so its answer is missing at once. */
bool flo_answer_is_missing(uint64_t issued_at_ms, uint64_t expires_at_ms, uint64_t now_ms,
                           bool is_back);

/* Tells whether the error id is about signatures or signed metadata.  A device
 * that does not trust an order cannot name it in its refusal. */
bool flo_answer_is_distrust(const char *error);
/* Tells whether the error id refuses a rollback because the release runs on the
 * device, and no other release may take its place. */
bool flo_answer_has_nothing(const char *error);

#endif
