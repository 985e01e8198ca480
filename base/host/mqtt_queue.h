/* From paho's threads to the event loop: a bounded queue with an event
 * descriptor.  push is called on any thread, take on one. */
#ifndef FLOTILLA_HOST_MQTT_QUEUE_H
#define FLOTILLA_HOST_MQTT_QUEUE_H

#include <pthread.h>

#include <flotilla/base.h>

enum flo_mqtt_item_kind {
    FLO_MQTT_CONNECTED, /* flag: session present */
    FLO_MQTT_FAILED,    /* text, code: paho's, reason: MQTT 5's */
    FLO_MQTT_LOST,      /* text, reason: of the server's DISCONNECT or 0 */
    FLO_MQTT_LEFT,      /* as we wished */
    FLO_MQTT_MESSAGE,   /* text: topic, flag: retained, data */
    FLO_MQTT_DELIVERED, /* token, flag: delivered, reason */
    FLO_MQTT_REFUSED,   /* text: topic, reason */
};

struct flo_mqtt_item {
    struct flo_mqtt_item *next;
    enum flo_mqtt_item_kind kind;
    bool flag;
    int code;
    int reason;
    uint64_t token;
    size_t bytes;
    char *text; /* both point into this block */
    char *data;
    char block[];
};

#define FLO_MQTT_ROOM_BYTES_MAX (64u << 20)
#define FLO_MQTT_SENDERS 4096

/* Room for messages that wait: so many of all, FLO_MQTT_ROOM_BYTES_MAX of
 * topics and payloads, and so many of each sender (a topic but for its last
 * word): one that floods loses its own, not those of others.  Senders are told
 * apart by a hash of 12 bits, so two may share. */
struct flo_mqtt_room {
    size_t messages_max;
    size_t sender_max;
    size_t messages;
    size_t bytes;
    uint32_t senders[FLO_MQTT_SENDERS];
};

/* false: there is none for it. */
bool flo_mqtt_room_enter(struct flo_mqtt_room *room, const char *topic, size_t bytes);
/* With what it came in. */
void flo_mqtt_room_leave(struct flo_mqtt_room *room, const char *topic, size_t bytes);

/* Messages in there of its sender, and of those with the same hash. */
size_t flo_mqtt_room_waiting(const struct flo_mqtt_room *room, const char *topic);

struct flo_mqtt_queue {
    pthread_mutex_t mutex;
    struct flo_mqtt_item *first;
    struct flo_mqtt_item **last;
    /* Rooms of kind MESSAGE; the rest is dropped. */
    struct flo_mqtt_room rooms[2];
    const char *apart; /* last word of topics that have the second one */
    size_t bytes_max;  /* size of one message */
    uint64_t dropped;
    bool is_dropping; /* since the last connection */
    int wake_fd;      /* readable while something waits */
};

/* Each room is of `messages_max` and `sender_max`.  `apart` is borrowed; NULL:
 * no topics have a room of their own. */
FLO_MUST_USE int flo_mqtt_queue_init(struct flo_mqtt_queue *queue, size_t messages_max,
                                     size_t sender_max, size_t bytes_max, const char *apart,
                                     struct flo_err *err);
void flo_mqtt_queue_deinit(struct flo_mqtt_queue *queue);

/* Copies text and data; a message that is too large, one too many or without
 * memory is dropped and counted, the first of a connection also said.  `item`
 * carries kind, flag, code, reason, token. */
void flo_mqtt_queue_push(struct flo_mqtt_queue *queue, const struct flo_mqtt_item *item,
                         const char *text, size_t text_bytes, const void *data, size_t bytes);
/* The oldest item or NULL; the caller frees it. */
struct flo_mqtt_item *flo_mqtt_queue_take(struct flo_mqtt_queue *queue);
/* Clear the event descriptor; call it before taking.  Who stops before NULL
 * comes sets it again. */
void flo_mqtt_queue_calm(struct flo_mqtt_queue *queue);
/* Set it again: more is left than one turn of the loop should do. */
void flo_mqtt_queue_wake(struct flo_mqtt_queue *queue);
uint64_t flo_mqtt_queue_dropped(struct flo_mqtt_queue *queue);

#endif
