/* Lease: which of several controllers on one database leads.
 *
 * The database holds one row: an epoch, a beat and a holder.  The leader raises
 * the beat.  A follower takes the lead with the next epoch when it saw no new
 * beat for FLO_LEASE_MS by its own monotonic clock.  It only does so if the row
 * is still the one that it saw.  A leader counts FLO_LEASE_MS from before each
 * confirmed beat, and stops acting FLO_LEASE_MARGIN_MS earlier.  So clocks are
 * never compared; their speeds may differ by a fifth, the share of the margin.
 * The leader's state in memory stays valid until another epoch begins.  When
 * the database comes back and the row is still the leader's, it goes on.
 *
 * The lease alone does not fence: a leader may be suspended between reading the
 * clock and its next step.  Each commit checks the epoch in the database too
 * (docs/decisions/controllers.md).  Pure. */
#ifndef FLOTILLA_SERVER_CORE_LEASE_H
#define FLOTILLA_SERVER_CORE_LEASE_H

#include <stdbool.h>
#include <stdint.h>

#define FLO_LEASE_MS 5000
#define FLO_LEASE_MARGIN_MS 1000
#define FLO_LEASE_BEAT_MS 1000 /* time between two beats of the leader */
#define FLO_LEASE_LOOK_MS 500
/* Without a confirmed beat for this long the database counts as unreachable: a
 * beat is overdue by most of a second. */
#define FLO_LEASE_UNHEARD_MS 1800
/* Time without a new beat after which a controller may take the lead even if
 * its clock is wrong.  Others take it sooner. */
#define FLO_LEASE_LATE_MS 30000

struct flo_lease_row {
    /* number of the leader's term, which only grows; 0: no controller has led
     * yet */
    uint64_t epoch;
    uint64_t beat;
    bool is_held; /* a leader has the lease; false: the leader released it */
};

enum flo_lease_state {
    FLO_LEASE_FOLLOWER,
    FLO_LEASE_CANDIDATE, /* the request to take the lead was sent, and no answer came yet */
    FLO_LEASE_LEADER,    /* owner of the newest known epoch */
    FLO_LEASE_ENDED      /* no longer leader; its memory is stale and must be
                            dropped */
};

enum flo_lease_do {
    FLO_LEASE_WAIT,
    FLO_LEASE_LOOK, /* read the row */
    FLO_LEASE_TAKE, /* write epoch + 1 to the row, if its epoch and beat are those of `row` */
    FLO_LEASE_BEAT, /* write beat + 1 to the row, if its epoch is `epoch` */
    FLO_LEASE_STOP  /* drop all state and follow again */
};

struct flo_lease {
    enum flo_lease_state state;
    uint64_t epoch;           /* epoch in which this controller leads or has led */
    struct flo_lease_row row; /* the lease's row in the database, as this
                                 controller last read it */
    bool has_seen;
    uint64_t seen_ms;  /* time when this controller first read `row` */
    uint64_t asked_ms; /* time just before the last request was sent */
    bool is_asking;
    uint64_t until_ms; /* end of the leader's lease */
    bool is_unfit;     /* the controller lacks something that a leader needs, so it must not lead */
    bool is_late;      /* the wall clock is wrong: others take the lead first */
};

/* A zero-initialised struct is a follower that has read nothing. */

/* Returns the next step at this time.  While an answer is pending, it is only
 * FLO_LEASE_WAIT or FLO_LEASE_STOP. */
enum flo_lease_do flo_lease_next(struct flo_lease *lease, uint64_t now_ms);
/* Handles the answer to FLO_LEASE_LOOK: the row, as read at now_ms. */
void flo_lease_saw(struct flo_lease *lease, const struct flo_lease_row *row, uint64_t now_ms);
/* Handles the answer to FLO_LEASE_TAKE or FLO_LEASE_BEAT; is_changed: the row
 * was written. */
void flo_lease_changed(struct flo_lease *lease, bool is_changed);
/* Handles that a request got no answer. */
void flo_lease_unanswered(struct flo_lease *lease);

/* Returns true while the controller may act as leader. */
bool flo_lease_leads(const struct flo_lease *lease, uint64_t now_ms);

/* Tells whether a leader should keep waiting for the answer to a statement on
 * its other connection.  While beats are confirmed, the database is only slow;
 * otherwise it cannot be reached.  An abandoned statement is rolled back.  An
 * abandoned commit may have happened, which would end the epoch.  So the leader
 * waits for a commit as long as it has the lease. */
bool flo_lease_may_wait(const struct flo_lease *lease, bool is_commit, uint64_t now_ms);

/* ---- who is there, for people ---- */

#define FLO_LEASE_SHOW_MS 5000 /* time between two status rows that a controller writes */
#define FLO_LEASE_SILENT_MS                                                                        \
    15000 /* time without a new row after which a controller counts as silent */
/* time without a new row after which a controller's row is removed */
#define FLO_LEASE_FORGET_MS 86400000

enum flo_lease_place {
    FLO_LEASE_LEADS,
    FLO_LEASE_STANDS, /* stands by */
    FLO_LEASE_WAITS,  /* the lease expired because the database cannot be reached */
    FLO_LEASE_SILENT,
    FLO_LEASE_PLACES
};
const char *flo_lease_place_word(enum flo_lease_place place);
/* Derives the state of a controller that people see.  `is_holder`: it owns the
 * newest epoch.  `leads`: it is the holder and may act.  `is_lost`: it led, and
 * has written no row since another controller took the lead.  `age_ms`: the age
 * of its row.  A killed leader is shown as silent as soon as another one
 * leads. */
enum flo_lease_place flo_lease_place_of(bool is_holder, bool leads, bool is_lost, uint64_t age_ms);
#endif
