/* Sender: brings messages about alerts out, on threads of its own.
 *
 * A receiver that hangs holds one thread for ten seconds, and never the
 * controller's.  A target has one message at a time under way. */
#ifndef FLOTILLA_SERVER_RUN_SENDER_H
#define FLOTILLA_SERVER_RUN_SENDER_H

#include <flotilla/base.h>

struct event_base;
struct flo_sender;

struct flo_sender_options {
    const char *ca_file; /* authority of webhooks; NULL: the system's */
    const char *command; /* a path; NULL: none */
    bool takes_private;  /* webhooks in private networks, on loopback */
};
/* A message; texts are the sender's. */
struct flo_sending {
    struct flo_sending *next;
    char id[24];     /* as receivers know it */
    uint64_t number; /* number of the delivery; 0: it is not in the store */
    uint64_t failed; /* attempts before this one */
    char target[FLO_NAME_MAX + 1];
    char url[513]; /* "": the command */
    char secret[65];
    char *body;
    int status;         /* status of the answer; 0: none came */
    struct flo_err err; /* code 0: it was taken */
};
/* `done` is called on `base`, which frees the message after it. */
FLO_MUST_USE int flo_sender_open(const struct flo_sender_options *options, struct event_base *base,
                                 void (*done)(void *context, const struct flo_sending *sent),
                                 void *context, struct flo_sender **out, struct flo_err *err);
/* Attempts under way end first, within ten seconds. */
void flo_sender_close(struct flo_sender *sender);
/* Has this target one under way, or is there no room? */
bool flo_sender_is_busy(struct flo_sender *sender, const char *target);
/* Takes it. */
void flo_sender_send(struct flo_sender *sender, struct flo_sending *sending);

#endif
