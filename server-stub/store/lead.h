/* Lead: this controller's part in the lease of a database, on a thread of its
 * own (core/lease/, postgresql/lead.c).
 *
 * The thread looks, takes and beats; everybody else asks whether it leads.
 * Without libpq in the build there is none of it. */
#ifndef FLOTILLA_SERVER_LEAD_H
#define FLOTILLA_SERVER_LEAD_H

#include <flotilla/base.h>

#include "server-stub/core/lease/lease.h"

struct flo_lead;
struct flo_postgresql_limits;

#define FLO_LEAD_ADDRESS 320
#define FLO_LEAD_NAME 65
#define FLO_LEAD_KEY 256
#define FLO_LEAD_LACKS 256 /* an error's id, then its sentence */
struct flo_lead_row {
    struct flo_lease_row lease;
    char holder[FLO_NAME_MAX + 1]; /* who took it */
    char people[FLO_LEAD_ADDRESS]; /* HOST:PORT of its listener, "" none */
    char devices[FLO_LEAD_ADDRESS];
    char needs[65]; /* digest of what a leader must have; "": nothing */
    uint64_t at_ms; /* wall clock of the database */
};
/* Further from it this wall clock is wrong, and others lead first: certificates
 * that a leader makes begin an hour before its clock. */
#define FLO_LEAD_CLOCK_MS 300000

/* A controller that opened the database within the last day. */
struct flo_lead_member {
    char holder[FLO_NAME_MAX + 1];
    char name[FLO_LEAD_NAME];
    char people[FLO_LEAD_ADDRESS]; /* as it said; "" none */
    char devices[FLO_LEAD_ADDRESS];
    char version[32];
    char key[FLO_LEAD_KEY];     /* public key, PEM; "" of an older one */
    char lacks[FLO_LEAD_LACKS]; /* why it cannot lead; "": it can */
    /* Standing by, or leading, since; wall clock of the asker. */
    uint64_t since_at_ms;
    uint64_t heard_at_ms; /* when its newest row came */
    bool is_holder;       /* holder of the newest epoch */
};
struct flo_lead_change {
    uint64_t epoch;
    uint64_t at_ms; /* when the lead was taken */
    char holder[FLO_NAME_MAX + 1];
    char name[FLO_LEAD_NAME];
};
#define FLO_LEAD_MEMBERS_MAX 16
/* As a leader has read it, at most FLO_LEASE_SHOW_MS ago. */
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
    /* The folder's: whoever opens it knows that no other process does.  A
     * lease of that name is not waited out. */
    const char *holder;
    const char *name; /* for people; NULL: none */
    const char *people;
    const char *devices;
    const char *key; /* public key, PEM; NULL: none */
    /* On the lead's thread, before it leads: it has what that digest says, or
     * takes it from the document; "": there is none.  NULL: whatever it has is
     * enough.  Failing, it does not lead, and is asked again. */
    int (*fit)(void *context, const char *digest, const char *document, size_t bytes,
               struct flo_err *err);
    /* Another epoch began: all that this process remembers is stale.  On the
     * lead's thread, which ends after it. */
    void (*lost)(void *context);
    /* The clock of the lease, in ms, from any thread; NULL: flo_now_ms. */
    uint64_t (*now_ms)(void *context);
    uint64_t (*wall_ms)(void *context); /* NULL: flo_wall_ms */
    void *context;
    /* Limits (postgresql/limits.h), kept by the caller; NULL: the usual. */
    const struct flo_postgresql_limits *limits;
};

/* Connect, make the row, and start.  Copies `self`. */
FLO_MUST_USE int flo_lead_open(const char *address, const struct flo_lead_self *self,
                               struct flo_lead **out, struct flo_err *err);
/* End the thread, and give the lease back.  NULL is fine. */
void flo_lead_close(struct flo_lead *lead);

/* From any thread: may it act now?  With the epoch of its lead, 0 before it
 * led. */
bool flo_lead_leads(struct flo_lead *lead, uint64_t *epoch_or_null);
/* From any thread: is an answer to another connection to be waited for
 * (flo_lease_may_wait)? */
bool flo_lead_may_wait(struct flo_lead *lead, bool is_commit);
/* The row as it was last seen by the follower. */
void flo_lead_seen(struct flo_lead *lead, struct flo_lead_row *out);
/* The controllers there, as a leader read them last: no question is asked. */
void flo_lead_view(struct flo_lead *lead, struct flo_lead_view *out);
/* From any thread: what keeps it from leading; false: nothing does. */
bool flo_lead_lacks(struct flo_lead *lead, struct flo_err *out);

#endif
