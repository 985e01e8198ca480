/* MQTT queue: a linked list under a mutex, with an eventfd, between paho's
 * threads and the event loop.
 *
 * Only messages are bounded.  The other kinds of items are results of our own
 * requests. */
#include "base/host/mqtt_queue.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* ---- room ---- */

static uint32_t *sender_of(struct flo_mqtt_room *room, const char *topic)
{
    const char *end = strrchr(topic, '/');
    uint32_t hash = 2166136261u; /* FNV-1a */

    for (const char *at = topic; at != end && *at != '\0'; at++) {
        hash = (hash ^ (unsigned char)*at) * 16777619u;
    }
    return &room->senders[hash % FLO_MQTT_SENDERS];
}

bool flo_mqtt_room_enter(struct flo_mqtt_room *room, const char *topic, size_t bytes)
{
    uint32_t *sender = sender_of(room, topic);
    size_t cost = strlen(topic) + bytes;

    if (room->messages >= room->messages_max || *sender >= room->sender_max ||
        cost > FLO_MQTT_ROOM_BYTES_MAX - room->bytes) {
        return false;
    }
    room->messages++;
    room->bytes += cost;
    (*sender)++;
    return true;
}

void flo_mqtt_room_leave(struct flo_mqtt_room *room, const char *topic, size_t bytes)
{
    room->messages--;
    room->bytes -= strlen(topic) + bytes;
    (*sender_of(room, topic))--;
}

size_t flo_mqtt_room_waiting(const struct flo_mqtt_room *room, const char *topic)
{
    return *sender_of((struct flo_mqtt_room *)(uintptr_t)room, topic);
}

/* ---- queue ---- */

int flo_mqtt_queue_init(struct flo_mqtt_queue *queue, size_t messages_max, size_t sender_max,
                        size_t bytes_max, const char *apart, struct flo_err *err)
{
    memset(queue, 0, sizeof(*queue));
    queue->last = &queue->first;
    for (size_t i = 0; i < FLO_COUNT(queue->rooms); i++) {
        queue->rooms[i].messages_max = messages_max;
        queue->rooms[i].sender_max = sender_max;
    }
    queue->apart = apart;
    queue->bytes_max = bytes_max;
    queue->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (queue->wake_fd < 0) {
        return flo_fail_errno(err, FLO_E_IO_OPEN, "event descriptor");
    }
    pthread_mutex_init(&queue->mutex, NULL);
    return 0;
}

void flo_mqtt_queue_deinit(struct flo_mqtt_queue *queue)
{
    struct flo_mqtt_item *item;

    if (queue->last == NULL) {
        return; /* the queue was never initialised */
    }
    while ((item = flo_mqtt_queue_take(queue)) != NULL) {
        free(item);
    }
    if (queue->wake_fd >= 0) {
        close(queue->wake_fd);
        pthread_mutex_destroy(&queue->mutex);
    }
    queue->last = NULL;
}

static struct flo_mqtt_item *item_copy(const struct flo_mqtt_item *from, const char *text,
                                       size_t text_bytes, const void *data, size_t bytes)
{
    struct flo_mqtt_item *item = malloc(sizeof(*item) + text_bytes + 1 + bytes + 1);

    if (item == NULL) {
        return NULL;
    }
    memcpy(item, from, sizeof(*item));
    item->next = NULL;
    item->text = item->block;
    item->data = item->block + text_bytes + 1;
    item->bytes = bytes;
    if (text_bytes > 0) {
        memcpy(item->text, text, text_bytes);
    }
    item->text[text_bytes] = '\0';
    if (bytes > 0) {
        memcpy(item->data, data, bytes);
    }
    item->data[bytes] = '\0';
    return item;
}

static struct flo_mqtt_room *room_of(struct flo_mqtt_queue *queue, const char *topic)
{
    const char *end = strrchr(topic, '/');
    bool is_apart = queue->apart != NULL && end != NULL && strcmp(end + 1, queue->apart) == 0;

    return &queue->rooms[is_apart];
}

void flo_mqtt_queue_push(struct flo_mqtt_queue *queue, const struct flo_mqtt_item *from,
                         const char *text, size_t text_bytes, const void *data, size_t bytes)
{
    bool is_message = from->kind == FLO_MQTT_MESSAGE;
    struct flo_mqtt_item *item = NULL;
    bool is_first = false;
    bool was_empty;

    if (!is_message || bytes <= queue->bytes_max) {
        item = item_copy(from, text, text_bytes, data, bytes);
    }
    pthread_mutex_lock(&queue->mutex);
    was_empty = queue->first == NULL;
    if (from->kind == FLO_MQTT_CONNECTED) {
        queue->is_dropping = false;
    }
    if (item == NULL ||
        (is_message && !flo_mqtt_room_enter(room_of(queue, item->text), item->text, bytes))) {
        is_first = !queue->is_dropping;
        queue->is_dropping = true;
        queue->dropped++;
    } else {
        *queue->last = item;
        queue->last = &item->next;
        item = NULL;
    }
    pthread_mutex_unlock(&queue->mutex);
    free(item);
    if (is_first) {
        flo_log(FLO_LOG_WARN, "mqtt", "no room for a message on %.*s; more are only counted",
                (int)(text_bytes < 120 ? text_bytes : 120), text != NULL ? text : "");
    }
    if (was_empty) { /* a queue that was not empty has woken the loop already */
        flo_mqtt_queue_wake(queue);
    }
}

struct flo_mqtt_item *flo_mqtt_queue_take(struct flo_mqtt_queue *queue)
{
    struct flo_mqtt_item *item;

    pthread_mutex_lock(&queue->mutex);
    item = queue->first;
    if (item != NULL) {
        queue->first = item->next;
        if (queue->first == NULL) {
            queue->last = &queue->first;
        }
        if (item->kind == FLO_MQTT_MESSAGE) {
            flo_mqtt_room_leave(room_of(queue, item->text), item->text, item->bytes);
        }
    }
    pthread_mutex_unlock(&queue->mutex);
    return item;
}

void flo_mqtt_queue_calm(struct flo_mqtt_queue *queue)
{
    uint64_t count;
    ssize_t got = read(queue->wake_fd, &count, sizeof(count));

    (void)got; /* EAGAIN is no error: no wake was pending */
}

void flo_mqtt_queue_wake(struct flo_mqtt_queue *queue)
{
    uint64_t one = 1;
    ssize_t put = write(queue->wake_fd, &one, sizeof(one));

    (void)put; /* EAGAIN is no error: 2^64-2 wakes are pending */
}

uint64_t flo_mqtt_queue_dropped(struct flo_mqtt_queue *queue)
{
    uint64_t dropped;

    pthread_mutex_lock(&queue->mutex);
    dropped = queue->dropped;
    pthread_mutex_unlock(&queue->mutex);
    return dropped;
}
