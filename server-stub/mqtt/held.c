/* Held messages: each message waits, in order, until its commit is durable. */
#include <stdlib.h>
#include <string.h>

#include "server-stub/mqtt/held.h"

void flo_held_init(struct flo_held_messages *held)
{
    held->first = NULL;
    held->last = &held->first;
}

void flo_held_clear(struct flo_held_messages *held)
{
    struct flo_held_message *message;

    while ((message = flo_held_take(held, UINT64_MAX)) != NULL) {
        free(message);
    }
}

bool flo_held_add(struct flo_held_messages *held, uint64_t number, enum flo_topic topic,
                  const char *key, const void *data, size_t bytes)
{
    struct flo_held_message *message = malloc(sizeof(*message) + bytes + 1);

    if (message == NULL) {
        return false;
    }
    message->next = NULL;
    message->number = number;
    message->topic = topic;
    message->bytes = bytes;
    snprintf(message->key, sizeof(message->key), "%s", key);
    if (bytes > 0) {
        memcpy(message->data, data, bytes);
    }
    *held->last = message;
    held->last = &message->next;
    return true;
}

struct flo_held_message *flo_held_take(struct flo_held_messages *held, uint64_t number)
{
    struct flo_held_message *message = held->first;

    if (message == NULL || message->number > number) {
        return NULL;
    }
    held->first = message->next;
    if (held->first == NULL) {
        held->last = &held->first;
    }
    return message;
}
