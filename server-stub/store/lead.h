/* Lead: this controller's part in the lease of a database, on a thread of its
 * own (core/lease/, postgresql/lead.c).
 *
 * That thread reads, takes and renews the lease.  Other threads ask it whether
 * this controller leads.  A build without libpq has no lease. */
#ifndef FLOTILLA_SERVER_LEAD_H
#define FLOTILLA_SERVER_LEAD_H

#include <flotilla/base.h>

#include "server-stub/core/lease/lease.h"

struct flo_lead;
struct flo_postgresql_limits;

#define FLO_LEAD_ADDRESS 320
#define FLO_LEAD_NAME 65
#define FLO_LEAD_KEY 256
#define FLO_LEAD_LACKS 256 /* largest text of a reason: an error id, then its sentence */
struct flo_lead_row {
    struct flo_lease_row lease;
    char holder[FLO_NAME_MAX + 1]; /* name of the controller that took the lead */
    char people[FLO_LEAD_ADDRESS]; /* HOST:PORT of the leader's listener for people; "": none */
    char devices[FLO_LEAD_ADDRESS];
    char needs[65]; /* digest of the keyring that a leader must have; "": none is required */
    uint64_t at_ms; /* time of the reading, by the database's wall clock */
};
/* Largest difference of this machine's clock from the database's.  Beyond it
 * the machine's clock counts as wrong, and other controllers lead first: a
 * leader's certificates begin only one hour before its clock. */
#define FLO_LEAD_CLOCK_MS 300000

/* A controller that had the database open within the last day. */
struct flo_lead_member {
    char holder[FLO_NAME_MAX + 1];
    char name[FLO_LEAD_NAME];
    char people[FLO_LEAD_ADDRESS]; /* address for people that the controller gave; "": none */
    char devices[FLO_LEAD_ADDRESS];
    char version[32];
    /* public key of the controller, PEM; "": the controller is of an older
     * version */
    char key[FLO_LEAD_KEY];
    char lacks[FLO_LEAD_LACKS]; /* reason why the controller cannot lead; "": it can */
    /* Time since which the controller stands by or leads, by the reader's wall
     * clock. */
    uint64_t since_at_ms;
    uint64_t heard_at_ms; /* time at which the controller last wrote its row */
    bool is_holder;       /* the controller owns the newest epoch */
};
struct flo_lead_change {
    uint64_t epoch;
    uint64_t at_ms; /* time at which the controller took the lead */
    char holder[FLO_NAME_MAX + 1];
    char name[FLO_LEAD_NAME];
};
#define FLO_LEAD_MEMBERS_MAX 16
/* View of all controllers, which a leader read at most FLO_LEASE_SHOW_MS
 * ago. */
struct flo_lead_view {
    uint64_t epoch;
    bool leads; /* this process may act as the leader now */
    struct flo_lead_member members[FLO_LEAD_MEMBERS_MAX];
    size_t member_count;
    struct flo_lead_change changes[FLO_LEAD_MEMBERS_MAX]; /* newest first */
    size_t change_count;
    uint64_t changes_hour; /* number of changes of leader within the last hour */
};

struct flo_lead_self {
    /* Id of this controller's folder.  Only one process at a time has the
     * folder open, so a lease whose holder has this id is taken without
     * waiting. */
    const char *holder;
    const char *name; /* name of the controller for people; NULL: none */
    const char *people;
    const char *devices;
    const char *key; /* public key of the controller, PEM; NULL: none */
    /* Called on the lead's thread before this process leads.  Makes the
     * controller's keyring the one with this digest; `document` has it, or is
     * "".  After a failure the process does not lead, and the function is
     * called again.  NULL: any keyring will do. */
    int (*fit)(void *context, const char *digest, const char *document, size_t bytes,
               struct flo_err *err);
    /* Called on the lead's thread, which ends afterwards.  Another epoch began,
     * so all state of this process is out of date. */
    void (*lost)(void *context);
    /* Clock of the lease, in ms; any thread may call it.  NULL: flo_now_ms. */
    uint64_t (*now_ms)(void *context);
    uint64_t (*wall_ms)(void *context); /* NULL: flo_wall_ms */
    void *context;
    /* Limits of waiting (postgresql/limits.h), borrowed; NULL: the defaults. */
    const struct flo_postgresql_limits *limits;
};

/* Connects to the database, creates the row of the lease and starts the thread.
 * Copies `self`. */
FLO_MUST_USE int flo_lead_open(const char *address, const struct flo_lead_self *self,
                               struct flo_lead **out, struct flo_err *err);
/* Ends the lead's thread, and gives the lease back.  NULL is allowed. */
void flo_lead_close(struct flo_lead *lead);

/* Tells from any thread whether this process may act as leader.  *epoch_or_null
 * becomes the epoch in which it led last; 0: it never led. */
bool flo_lead_leads(struct flo_lead *lead, uint64_t *epoch_or_null);
/* Tells from any thread whether another connection should go on waiting for the
 * database's answer (flo_lease_may_wait). */
bool flo_lead_may_wait(struct flo_lead *lead, bool is_commit);
/* Gets the row of the lease as this process last read it while another
 * controller led. */
void flo_lead_seen(struct flo_lead *lead, struct flo_lead_row *out);
/* Gets the view of the controllers that this process last read as the leader.
 * Makes no request. */
void flo_lead_view(struct flo_lead *lead, struct flo_lead_view *out);
/* Tells from any thread why this process cannot lead.  Returns false if it
 * can. */
bool flo_lead_lacks(struct flo_lead *lead, struct flo_err *out);

#endif
