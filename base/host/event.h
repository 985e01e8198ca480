/* Event: frees events of libevent. */
#ifndef FLOTILLA_HOST_EVENT_H
#define FLOTILLA_HOST_EVENT_H

#include <stddef.h>

#include <event2/event.h>

/* Frees an event, and forgets it.  NULL: does nothing. */
static inline void flo_event_drop(struct event **event)
{
    if (*event != NULL) {
        event_free(*event);
        *event = NULL;
    }
}

#endif
