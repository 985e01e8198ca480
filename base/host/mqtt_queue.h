/* MQTT queue: bounded, with an event descriptor, from paho's threads to the
 * event loop.
 *
 * Any thread may push; only one may take. */
#ifndef FLOTILLA_HOST_MQTT_QUEUE_H
#define FLOTILLA_HOST_MQTT_QUEUE_H

#include <pthread.h>

#include <flotilla/base.h>

enum flo_mqtt_item_kind {
    FLO_MQTT_CONNECTED, /* the client is connected; `flag`: the broker still has the session */
    /* an attempt to connect failed; `text`: message; `code`: paho's code;
     * `reason`: reason code of MQTT 5 */
    FLO_MQTT_FAILED,
    /* the connection was lost; `text`: message; `reason`: code of the server's
     * DISCONNECT, or 0 */
    FLO_MQTT_LOST,
    FLO_MQTT_LEFT, /* the connection was closed at our request */
    /* a message arrived; `text`: its topic; `flag`: it was retained; `data`:
     * its payload */
    FLO_MQTT_MESSAGE,
    /* a publish has ended; `token`: its token; `flag`: it was delivered;
     * `reason`: the broker's code */
    FLO_MQTT_DELIVERED,
    /* the broker refused a subscription; `text`: its topic filter; `reason`:
     * the broker's code */
    FLO_MQTT_REFUSED,
};

struct flo_mqtt_item {
    struct flo_mqtt_item *next;
    enum flo_mqtt_item_kind kind;
    bool flag;
    int code;
    int reason;
    uint64_t token;
    size_t bytes;
    char *text; /* text of the item; it points into `block`, as `data` does */
    char *data;
    char block[];
};

#define FLO_MQTT_ROOM_BYTES_MAX (64u << 20)
#define FLO_MQTT_SENDERS 4096

/* Limits for messages that wait: their number, FLO_MQTT_ROOM_BYTES_MAX of
 * topics and payloads, and their number per sender (a topic without its last
 * word).  So a sender that floods loses its own messages, not those of other
 * senders.  Senders are distinguished by a 12-bit hash; two with the same hash
 * share one limit. */
struct flo_mqtt_room {
    size_t messages_max;
    size_t sender_max;
    size_t messages;
    size_t bytes;
    uint32_t senders[FLO_MQTT_SENDERS];
};

/* Counts a message that comes in.  Returns false when a limit is reached. */
bool flo_mqtt_room_enter(struct flo_mqtt_room *room, const char *topic, size_t bytes);
/* Removes a message from the counts.  Topic and bytes must be those given to
 * flo_mqtt_room_enter(). */
void flo_mqtt_room_leave(struct flo_mqtt_room *room, const char *topic, size_t bytes);

/* Returns the number of waiting messages of the topic's sender, and of senders
 * with the same hash. */
size_t flo_mqtt_room_waiting(const struct flo_mqtt_room *room, const char *topic);

struct flo_mqtt_queue {
    pthread_mutex_t mutex;
    struct flo_mqtt_item *first;
    struct flo_mqtt_item **last;
    /* Limits of two kinds of topics, each with its own counts.  A message above
     * them is dropped. */
    struct flo_mqtt_room rooms[2];
    const char *apart; /* last word of the topics that rooms[1] limits */
    size_t bytes_max;  /* most bytes of one message */
    uint64_t dropped;
    bool is_dropping; /* true: a drop was logged since the last connection */
    int wake_fd;      /* event descriptor, which is readable while an item waits */
};

/* Initialises the queue.  Both sets of limits in `rooms` get `messages_max` and
 * `sender_max`.  `apart` is the last word of the topics that the second set
 * limits; it is borrowed.  NULL: the first set limits all topics. */
FLO_MUST_USE int flo_mqtt_queue_init(struct flo_mqtt_queue *queue, size_t messages_max,
                                     size_t sender_max, size_t bytes_max, const char *apart,
                                     struct flo_err *err);
void flo_mqtt_queue_deinit(struct flo_mqtt_queue *queue);

/* Adds a copy of text and data.  `item` has kind, flag, code, reason and token.
 * A message is dropped and counted when it is too large, above the limits, or
 * memory is out.  The first drop of a connection is logged. */
void flo_mqtt_queue_push(struct flo_mqtt_queue *queue, const struct flo_mqtt_item *item,
                         const char *text, size_t text_bytes, const void *data, size_t bytes);
/* Takes the oldest item, which the caller frees, or returns NULL. */
struct flo_mqtt_item *flo_mqtt_queue_take(struct flo_mqtt_queue *queue);
/* Clears the event descriptor; called before taking items.  A caller that stops
 * before flo_mqtt_queue_take() returns NULL must call flo_mqtt_queue_wake(). */
void flo_mqtt_queue_calm(struct flo_mqtt_queue *queue);
/* Sets the event descriptor again, when items are left for the next turn of the
 * event loop. */
void flo_mqtt_queue_wake(struct flo_mqtt_queue *queue);
uint64_t flo_mqtt_queue_dropped(struct flo_mqtt_queue *queue);

#endif
