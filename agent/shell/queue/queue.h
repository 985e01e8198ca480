/* Queue: events that wait for the core.
 *
 * Modules outside the core post events when, for example, an engine ended or
 * the updater wrote a line.  The loop takes one event after the other.  So no
 * module calls the loop. */
#ifndef FLOTILLA_AGENT_QUEUE_H
#define FLOTILLA_AGENT_QUEUE_H

#include <flotilla/agent.h>

struct event;

#define FLO_QUEUE_EVENTS_MAX 256
/* Number of events that senders without a limit of their own may have in the
 * queue. */
#define FLO_QUEUE_OFFERED_MAX 192

struct flo_queue {
    struct flo_agent_event events[FLO_QUEUE_EVENTS_MAX];
    size_t first, count;
    struct event *turn;      /* libevent event that runs a turn of the loop; the loop sets it */
    struct event *heartbeat; /* timer of the heartbeat, and its period (timers.c) */
    uint64_t heartbeat_ms;
};

/* An event, with the memory that it borrows. */
struct flo_intake {
    struct flo_agent_event event;
    struct flo_agent_execution execution;
    struct flo_agent_pauses pauses;
};

/* Appends an event.  Memory that the event borrows must live until the event is
 * taken.  Each action of the core is answered at most once, so the queue always
 * has room; an assertion checks that. */
void flo_queue_post(struct flo_queue *queue, const struct flo_agent_event *event);
/* Appends an event of a sender without a limit of its own, such as ends of
 * requests or lines of a worker.  Returns false, and drops the event, when the
 * queue has FLO_QUEUE_OFFERED_MAX such events. */
FLO_MUST_USE bool flo_queue_offer(struct flo_queue *queue, const struct flo_agent_event *event);
/* Appends the end of a request, as flo_queue_offer() does.  If the last event
 * of the queue is equal, it counts one more instead, because a long sync may
 * delay thousands of requests. */
FLO_MUST_USE bool flo_queue_offer_request(struct flo_queue *queue,
                                          const struct flo_agent_event *event);
/* Takes the oldest event.  Returns false when the queue is empty. */
bool flo_queue_take(struct flo_queue *queue, struct flo_agent_event *out);
/* Tells whether the oldest event is of this kind. */
bool flo_queue_is_next(const struct flo_queue *queue, enum flo_agent_event_kind kind);
/* Tells whether the loss of this engine is in the queue. */
bool flo_queue_has_lost(const struct flo_queue *queue, uint32_t model, enum flo_agent_role role);
/* Drops the events of the previous engine of a role, because a new engine
 * begins. */
void flo_queue_forget_engine(struct flo_queue *queue, uint32_t model, enum flo_agent_role role);
/* Moves the events of the second engine to the current role, because that
 * engine is the current one now. */
void flo_queue_promote_engine(struct flo_queue *queue, uint32_t model);
/* Runs the loop's turn as soon as possible. */
void flo_queue_wake(struct flo_queue *queue);
/* Runs the loop's turn after all other pending events. */
void flo_queue_yield(struct flo_queue *queue);
void flo_queue_close(struct flo_queue *queue);

#endif
