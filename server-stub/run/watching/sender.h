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
    const char *ca_file; /* authority of webhooks; NULL: the system's */
    const char *command; /* a path; NULL: none */
    bool takes_private;  /* allow webhooks in private networks and on loopback */
};
/* Message to deliver; the texts are owned by the sender. */
struct flo_sending {
    struct flo_sending *next;
    char id[24];     /* id shown to receivers */
    uint64_t number; /* number of the delivery; 0: not in the store */
    uint64_t failed; /* attempts before this one */
    char target[FLO_NAME_MAX + 1];
    char url[513]; /* "": the command */
    char secret[65];
    char *body;
    int status;         /* status of the answer; 0: none */
    struct flo_err err; /* code 0: accepted */
};
/* Opens.  `done` is called on `base`; the message is freed after it. */
FLO_MUST_USE int flo_sender_open(const struct flo_sender_options *options, struct event_base *base,
                                 void (*done)(void *context, const struct flo_sending *sent),
                                 void *context, struct flo_sender **out, struct flo_err *err);
/* Closes; attempts in progress end first, within ten seconds. */
void flo_sender_close(struct flo_sender *sender);
/* Tells whether this target has a message in progress, or there is no room. */
bool flo_sender_is_busy(struct flo_sender *sender, const char *target);
/* Sends; takes ownership of the message. */
void flo_sender_send(struct flo_sender *sender, struct flo_sending *sending);

#endif
