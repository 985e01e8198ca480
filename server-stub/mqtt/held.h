/* Held messages: keeps messages in order, each until its commit is durable. */
#ifndef FLOTILLA_SERVER_MQTT_HELD_H
#define FLOTILLA_SERVER_MQTT_HELD_H

#include <flotilla/base.h>
#include <flotilla/proto.h>

struct flo_held_message {
    struct flo_held_message *next;
    uint64_t number; /* number of the commit for which the message waits */
    enum flo_topic topic;
    char key[FLO_NAME_MAX + 1];
    size_t bytes;
    char data[];
};

struct flo_held_messages {
    struct flo_held_message *first;
    struct flo_held_message **last;
};

void flo_held_init(struct flo_held_messages *held);
void flo_held_clear(struct flo_held_messages *held);
/* Adds a message at the end.  Returns false without memory. */
bool flo_held_add(struct flo_held_messages *held, uint64_t number, enum flo_topic topic,
                  const char *key, const void *data, size_t bytes);
/* Removes and returns the first message if its commit is at most `number`; the
 * caller frees it.  Returns NULL if no message may be sent yet. */
struct flo_held_message *flo_held_take(struct flo_held_messages *held, uint64_t number);

#endif
