/* Queue: events that wait for the core, in a ring. */
#undef NDEBUG /* too many events are a bug of the agent, which every build must find */
#include "agent/shell/queue/queue.h"
#include "base/host/event.h"

#include <assert.h>
#include <event2/event.h>

void flo_queue_wake(struct flo_queue *queue)
{
    if (queue->turn != NULL && !evtimer_pending(queue->turn, NULL)) {
        event_active(queue->turn, EV_TIMEOUT, 0);
    }
}

void flo_queue_yield(struct flo_queue *queue)
{
    static const struct timeval now = {0};

    evtimer_add(queue->turn, &now);
}

void flo_queue_post(struct flo_queue *queue, const struct flo_agent_event *event)
{
    assert(queue->count < FLO_QUEUE_EVENTS_MAX);
    queue->events[(queue->first + queue->count) % FLO_QUEUE_EVENTS_MAX] = *event;
    queue->count++;
    flo_queue_wake(queue);
}

bool flo_queue_offer(struct flo_queue *queue, const struct flo_agent_event *event)
{
    if (queue->count >= FLO_QUEUE_OFFERED_MAX) {
        return false;
    }
    flo_queue_post(queue, event);
    return true;
}

static struct flo_agent_event *event_at(struct flo_queue *queue, size_t i)
{
    return &queue->events[(queue->first + i) % FLO_QUEUE_EVENTS_MAX];
}

bool flo_queue_offer_request(struct flo_queue *queue, const struct flo_agent_event *event)
{
    for (size_t i = queue->count; i > 0; i--) {
        struct flo_agent_event *before = event_at(queue, i - 1);
        if (before->kind != FLO_AGENT_REQUEST) {
            break;
        }
        if (before->model == event->model && before->error.code == event->error.code &&
            flo_digest_equal(&before->release, &event->release)) {
            before->more++;
            return true;
        }
    }
    return flo_queue_offer(queue, event);
}

bool flo_queue_take(struct flo_queue *queue, struct flo_agent_event *out)
{
    if (queue->count == 0) {
        return false;
    }
    *out = queue->events[queue->first];
    queue->first = (queue->first + 1) % FLO_QUEUE_EVENTS_MAX;
    if (--queue->count == 0) {
        queue->first = 0; /* the queue is empty, so its memory is used from the start again */
    }
    return true;
}

bool flo_queue_is_next(const struct flo_queue *queue, enum flo_agent_event_kind kind)
{
    return queue->count > 0 && queue->events[queue->first].kind == kind;
}

static bool is_of_engine(const struct flo_agent_event *event, uint32_t model,
                         enum flo_agent_role role)
{
    return event->model == model && event->role == role &&
           (event->kind == FLO_AGENT_LOADING || event->kind == FLO_AGENT_LOADED ||
            event->kind == FLO_AGENT_LOST);
}

void flo_queue_forget_engine(struct flo_queue *queue, uint32_t model, enum flo_agent_role role)
{
    size_t kept = 0;

    for (size_t i = 0; i < queue->count; i++) {
        if (!is_of_engine(event_at(queue, i), model, role)) {
            *event_at(queue, kept++) = *event_at(queue, i);
        }
    }
    queue->count = kept;
}

void flo_queue_promote_engine(struct flo_queue *queue, uint32_t model)
{
    flo_queue_forget_engine(queue, model, FLO_AGENT_CURRENT);
    for (size_t i = 0; i < queue->count; i++) {
        if (is_of_engine(event_at(queue, i), model, FLO_AGENT_BESIDE)) {
            event_at(queue, i)->role = FLO_AGENT_CURRENT;
        }
    }
}

bool flo_queue_has_lost(const struct flo_queue *queue, uint32_t model, enum flo_agent_role role)
{
    for (size_t i = 0; i < queue->count; i++) {
        const struct flo_agent_event *event =
            &queue->events[(queue->first + i) % FLO_QUEUE_EVENTS_MAX];
        if (event->kind == FLO_AGENT_LOST && event->model == model && event->role == role) {
            return true;
        }
    }
    return false;
}

void flo_queue_close(struct flo_queue *queue)
{
    flo_event_drop(&queue->turn);
}
