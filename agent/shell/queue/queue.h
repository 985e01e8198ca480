/* Queue: events that wait for the core.
 *
 * Rooms outside the core (an engine ended, the updater wrote a line) post
 * events, and the loop takes one after the other.  So no room calls upward. */
#ifndef FLOTILLA_AGENT_QUEUE_H
#define FLOTILLA_AGENT_QUEUE_H

#include <flotilla/agent.h>

struct event;

#define FLO_QUEUE_EVENTS_MAX 256
/* Part of the queue that senders without a limit of their own may fill. */
#define FLO_QUEUE_OFFERED_MAX 192

struct flo_queue {
    struct flo_agent_event events[FLO_QUEUE_EVENTS_MAX];
    size_t first, count;
    struct event *turn; /* event that runs a turn of the loop; the loop sets it */
};

/* Event, and the memory that it borrows. */
struct flo_intake {
    struct flo_agent_event event;
    struct flo_agent_execution execution;
    struct flo_agent_pauses pauses;
};

/* Appends an event.  Memory that the event borrows must live until it is taken.
 * The core's actions are answered at most once each, so the queue has room; an
 * assertion checks this. */
void flo_queue_post(struct flo_queue *queue, const struct flo_agent_event *event);
/* Appends an event of a sender without a limit (requests that end, a worker's
 * lines). false: the share of such senders is full, and the event is dropped.
 */
FLO_MUST_USE bool flo_queue_offer(struct flo_queue *queue, const struct flo_agent_event *event);
/* Appends the end of a request, under the same limit.  It is merged into an
 * equal one at the end of the queue, because there can be thousands after a
 * long sync. */
FLO_MUST_USE bool flo_queue_offer_request(struct flo_queue *queue,
                                          const struct flo_agent_event *event);
/* Takes the oldest event; false: the queue is empty. */
bool flo_queue_take(struct flo_queue *queue, struct flo_agent_event *out);
/* Tests whether the next event is of that kind. */
bool flo_queue_is_next(const struct flo_queue *queue, enum flo_agent_event_kind kind);
/* Tests whether the loss of that engine is in the queue. */
bool flo_queue_has_lost(const struct flo_queue *queue, uint32_t model, enum flo_agent_role role);
/* Drops the events of a role's previous engine, because a new one begins. */
void flo_queue_forget_engine(struct flo_queue *queue, uint32_t model, enum flo_agent_role role);
/* Moves the events of the second engine to the current role, after that engine
 * became the current one. */
void flo_queue_promote_engine(struct flo_queue *queue, uint32_t model);
/* flo_queue_wake() runs the loop's turn as soon as possible; flo_queue_yield()
 * runs it after all other pending events. */
void flo_queue_wake(struct flo_queue *queue);
void flo_queue_yield(struct flo_queue *queue);
void flo_queue_close(struct flo_queue *queue);

#endif
