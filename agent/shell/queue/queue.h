/* Events that wait for the core.
 *
 * Events outside the core (an engine ended, the updater wrote a line) are
 * posted.  The loop takes one event after the other.  No room calls upward. */
#ifndef FLOTILLA_AGENT_QUEUE_H
#define FLOTILLA_AGENT_QUEUE_H

#include <flotilla/agent.h>

struct event;

#define FLO_QUEUE_EVENTS_MAX 256
/* The share of senders without a limit of their own. */
#define FLO_QUEUE_OFFERED_MAX 192

struct flo_queue {
    struct flo_agent_event events[FLO_QUEUE_EVENTS_MAX];
    size_t first, count;
    struct event *turn; /* the loop's, and set by it */
};

/* An event and the memory that it borrows. */
struct flo_intake {
    struct flo_agent_event event;
    struct flo_agent_execution execution;
    struct flo_agent_pauses pauses;
};

/* Memory that the event borrows must live until it is taken.  Each action of
 * the core is answered at most once, so there is room: an assertion. */
void flo_queue_post(struct flo_queue *queue, const struct flo_agent_event *event);
/* For senders without a limit (requests that end, a worker's lines). false:
 * their share is used, the event is left out. */
FLO_MUST_USE bool flo_queue_offer(struct flo_queue *queue, const struct flo_agent_event *event);
/* The same for the end of a request.  Those that wait behind all other events
 * and are alike are one: after a long sync there are thousands. */
FLO_MUST_USE bool flo_queue_offer_request(struct flo_queue *queue,
                                          const struct flo_agent_event *event);
/* false: nothing waits. */
bool flo_queue_take(struct flo_queue *queue, struct flo_agent_event *out);
/* Is the next one of that kind? */
bool flo_queue_is_next(const struct flo_queue *queue, enum flo_agent_event_kind kind);
/* Does the loss of that engine wait? */
bool flo_queue_has_lost(const struct flo_queue *queue, uint32_t model, enum flo_agent_role role);
/* A new engine begins in the role: events of the one before are dropped. */
void flo_queue_forget_engine(struct flo_queue *queue, uint32_t model, enum flo_agent_role role);
/* The second engine becomes the current one, and so do its events. */
void flo_queue_promote_engine(struct flo_queue *queue, uint32_t model);
/* The loop's next turn: as soon as it may, or when all others had theirs. */
void flo_queue_wake(struct flo_queue *queue);
void flo_queue_yield(struct flo_queue *queue);
void flo_queue_close(struct flo_queue *queue);

#endif
