/* Sender: delivers messages about alerts, on threads of its own.
 *
 * A hanging receiver blocks one thread for ten seconds, never the controller's.
 * A target gets one message at a time. */
#ifndef FLOTILLA_SERVER_RUN_SENDER_H
#define FLOTILLA_SERVER_RUN_SENDER_H

#include <flotilla/base.h>

struct event_base;
struct flo_sender;

struct flo_sender_options {
    const char *ca_file; /* certificate authority of webhooks; NULL: the system's */
    const char *command; /* path of the alert command; NULL: none */
    bool takes_private;  /* webhooks may lie in private networks and on loopback */
};
/* A message that is delivered to a target; the sender owns its texts. */
struct flo_sending {
    struct flo_sending *next;
    char id[24];     /* id of the message, which receivers see */
    uint64_t number; /* number of the delivery; 0: the delivery is not in the store */
    uint64_t failed; /* number of failed attempts before this one */
    char target[FLO_NAME_MAX + 1];
    char url[513]; /* "": the command */
    char secret[65];
    char *body;
    int status;              /* status of the receiver's answer; 0: it gave none */
    uint64_t retry_after_ms; /* pause that the receiver asked for; 0: none */
    struct flo_err err;      /* code 0: accepted */
};
/* Opens the sender.  `done` is called on `base` for each message, which is
 * freed afterwards. */
FLO_MUST_USE int flo_sender_open(const struct flo_sender_options *options, struct event_base *base,
                                 void (*done)(void *context, const struct flo_sending *sent),
                                 void *context, struct flo_sender **out, struct flo_err *err);
/* Closes the sender.  Attempts in progress end before, within ten seconds. */
void flo_sender_close(struct flo_sender *sender);
/* Tells whether a message to this target is in progress, or there is no room
 * for another message. */
bool flo_sender_is_busy(struct flo_sender *sender, const char *target);
/* Sends a message to its target, and takes ownership of it. */
void flo_sender_send(struct flo_sender *sender, struct flo_sending *sending);

#endif
