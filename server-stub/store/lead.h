/* Lead: this controller's part in the lease of a database, on a thread of its
 * own (core/lease/, postgresql/lead.c).
 *
 * The thread reads, takes and renews the lease; other threads ask whether it
 * leads.  A build without libpq has no lease. */
#ifndef FLOTILLA_SERVER_LEAD_H
#define FLOTILLA_SERVER_LEAD_H

#include <flotilla/base.h>

#include "server-stub/core/lease/lease.h"

struct flo_lead;
struct flo_postgresql_limits;

#define FLO_LEAD_ADDRESS 320
#define FLO_LEAD_NAME 65
#define FLO_LEAD_KEY 256
#define FLO_LEAD_LACKS 256 /* an error id, then its sentence */
struct flo_lead_row {
    struct flo_lease_row lease;
    char holder[FLO_NAME_MAX + 1]; /* controller that took the lead */
    char people[FLO_LEAD_ADDRESS]; /* HOST:PORT of its listener; "": none */
    char devices[FLO_LEAD_ADDRESS];
    char needs[65]; /* digest of the keyring that a leader must have; "": none */
    uint64_t at_ms; /* time by the database's wall clock */
};
/* Maximum difference to the database's clock.  Beyond it this wall clock counts
 * as wrong and other controllers lead first, because a leader's certificates
 * begin only one hour before its clock. */
#define FLO_LEAD_CLOCK_MS 300000

/* Controller that opened the database within the last day. */
struct flo_lead_member {
    char holder[FLO_NAME_MAX + 1];
    char name[FLO_LEAD_NAME];
    char people[FLO_LEAD_ADDRESS]; /* address that the controller gave; "": none */
    char devices[FLO_LEAD_ADDRESS];
    char version[32];
    char key[FLO_LEAD_KEY];     /* public key, PEM; "": an older version */
    char lacks[FLO_LEAD_LACKS]; /* why the controller cannot lead; "": it can */
    /* Start of standing by or of leading, by the reader's wall clock. */
    uint64_t since_at_ms;
    uint64_t heard_at_ms; /* time of its newest row */
    bool is_holder;       /* owner of the newest epoch */
};
struct flo_lead_change {
    uint64_t epoch;
    uint64_t at_ms; /* time when the lead was taken */
    char holder[FLO_NAME_MAX + 1];
    char name[FLO_LEAD_NAME];
};
#define FLO_LEAD_MEMBERS_MAX 16
/* View of the controllers, read by a leader at most FLO_LEASE_SHOW_MS ago. */
struct flo_lead_view {
    uint64_t epoch;
    bool leads; /* this process may act now */
    struct flo_lead_member members[FLO_LEAD_MEMBERS_MAX];
    size_t member_count;
    struct flo_lead_change changes[FLO_LEAD_MEMBERS_MAX]; /* newest first */
    size_t change_count;
    uint64_t changes_hour; /* changes of leader within the last hour */
};

struct flo_lead_self {
    /* Id of this controller's folder.  Only one process at a time has the
     * folder open, so a lease with this holder is taken without waiting. */
    const char *holder;
    const char *name; /* name shown to people; NULL: none */
    const char *people;
    const char *devices;
    const char *key; /* public key, PEM; NULL: none */
    /* Called on the lead's thread before it leads: makes the keyring equal
     * to that digest, if necessary from the document; "": there is none.
     * NULL: any keyring will do.  On failure it does not lead, and is called
     * again. */
    int (*fit)(void *context, const char *digest, const char *document, size_t bytes,
               struct flo_err *err);
    /* Called on the lead's thread, which ends after it: another epoch began, so
     * all state of this process is stale. */
    void (*lost)(void *context);
    /* Clock of the lease, in ms, called from any thread; NULL: flo_now_ms. */
    uint64_t (*now_ms)(void *context);
    uint64_t (*wall_ms)(void *context); /* NULL: flo_wall_ms */
    void *context;
    /* Limits (postgresql/limits.h), borrowed; NULL: the defaults. */
    const struct flo_postgresql_limits *limits;
};

/* Connects, creates the row and starts the thread.  Copies `self`. */
FLO_MUST_USE int flo_lead_open(const char *address, const struct flo_lead_self *self,
                               struct flo_lead **out, struct flo_err *err);
/* Ends the thread and gives the lease back.  NULL is allowed. */
void flo_lead_close(struct flo_lead *lead);

/* Tells from any thread whether this process may act as leader, and the epoch
 * of its lead; 0: it never led. */
bool flo_lead_leads(struct flo_lead *lead, uint64_t *epoch_or_null);
/* Tells from any thread whether to wait for another connection's answer
 * (flo_lease_may_wait). */
bool flo_lead_may_wait(struct flo_lead *lead, bool is_commit);
/* Gets the row as the follower last read it. */
void flo_lead_seen(struct flo_lead *lead, struct flo_lead_row *out);
/* Gets the controllers as a leader last read them; makes no request. */
void flo_lead_view(struct flo_lead *lead, struct flo_lead_view *out);
/* Tells from any thread why this process cannot lead; false: it can. */
bool flo_lead_lacks(struct flo_lead *lead, struct flo_err *out);

#endif
