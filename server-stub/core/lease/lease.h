/* Lease: which of several controllers on one database leads.
 *
 * The database holds one row: an epoch, a beat and a holder.  The leader raises
 * the beat.  A follower that saw no other beat for FLO_LEASE_MS by its own
 * monotonic clock takes the lead with the next epoch, if the row is still the
 * one that it saw.  A leader counts from before each beat that the database
 * confirmed, and does nothing after FLO_LEASE_MARGIN_MS less.  So clocks are
 * never compared; they may run differently by the share of the margin (a
 * fifth).  Its memory stays true until another epoch begins: when the database
 * comes back and the row is still its own, it goes on.
 *
 * The lease alone is no fence: a leader may be stopped between its look at the
 * clock and its next step.  Each commit checks the epoch in the database too
 * (docs/decisions/controllers.md).  Pure. */
#ifndef FLOTILLA_SERVER_CORE_LEASE_H
#define FLOTILLA_SERVER_CORE_LEASE_H

#include <stdbool.h>
#include <stdint.h>

#define FLO_LEASE_MS 5000
#define FLO_LEASE_MARGIN_MS 1000
#define FLO_LEASE_BEAT_MS 1000 /* between two beats, and between two looks */
#define FLO_LEASE_LOOK_MS 500
/* Without a confirmed beat for so long the database is unheard: a beat is
 * overdue by most of a second. */
#define FLO_LEASE_UNHEARD_MS 1800
/* A lead that nobody has wanted for so long is taken by a wrong clock too. */
#define FLO_LEASE_LATE_MS 30000

struct flo_lease_row {
    uint64_t epoch; /* 0: nobody has led yet */
    uint64_t beat;
    bool is_held; /* the leader has not given it back */
};

enum flo_lease_state {
    FLO_LEASE_FOLLOWER,
    FLO_LEASE_CANDIDATE, /* a claim is under way */
    FLO_LEASE_LEADER,    /* the newest epoch that it knows of is its own */
    FLO_LEASE_ENDED      /* the lead is over; the memory is stale and must go */
};

enum flo_lease_do {
    FLO_LEASE_WAIT,
    FLO_LEASE_LOOK, /* read the row */
    FLO_LEASE_TAKE, /* epoch + 1 where epoch and beat are those of `row` */
    FLO_LEASE_BEAT, /* beat + 1 where the epoch is `epoch` */
    FLO_LEASE_STOP  /* forget everything and follow again */
};

struct flo_lease {
    enum flo_lease_state state;
    uint64_t epoch;           /* the epoch in which we lead, or led */
    struct flo_lease_row row; /* as it was seen */
    bool has_seen;
    uint64_t seen_ms;  /* when that row was first there */
    uint64_t asked_ms; /* before the last question was sent */
    bool is_asking;
    uint64_t until_ms; /* end of the leader's lease */
    bool is_unfit;     /* something that a leader needs is missing: no lead */
    bool is_late;      /* the wall clock is wrong: others go first */
};

/* Everything zero is a follower that saw nothing. */

/* The next step at this time.  Only FLO_LEASE_WAIT and FLO_LEASE_STOP come
 * while an answer is awaited. */
enum flo_lease_do flo_lease_next(struct flo_lease *lease, uint64_t now_ms);
/* Answers to LOOK; to TAKE and BEAT, whether the row was changed; and to any:
 * none came, so nobody knows. */
void flo_lease_saw(struct flo_lease *lease, const struct flo_lease_row *row, uint64_t now_ms);
void flo_lease_changed(struct flo_lease *lease, bool is_changed);
void flo_lease_unanswered(struct flo_lease *lease);

/* The controller may act now. */
bool flo_lease_leads(const struct flo_lease *lease, uint64_t now_ms);

/* Another connection of a leader has no answer.  Is it to be waited for?  While
 * beats come, the database is slow; without them it is gone.  A statement that
 * is given up is undone, and ends with that.  A commit may stand, and then the
 * epoch ends with it: it is waited for as long as the lease holds. */
bool flo_lease_may_wait(const struct flo_lease *lease, bool is_commit, uint64_t now_ms);

/* ---- who is there, for people ---- */

#define FLO_LEASE_SHOW_MS 5000       /* between two rows of a controller */
#define FLO_LEASE_SILENT_MS 15000    /* without one it is silent */
#define FLO_LEASE_FORGET_MS 86400000 /* ... and forgotten */

enum flo_lease_place {
    FLO_LEASE_LEADS,
    FLO_LEASE_STANDS, /* by */
    FLO_LEASE_WAITS,  /* the leader's lease is over: the database is away */
    FLO_LEASE_SILENT,
    FLO_LEASE_PLACES
};
const char *flo_lease_place_word(enum flo_lease_place place);
/* `is_holder`: the newest epoch is its own; `leads`: and it may act; `is_lost`:
 * it led, and was not heard since another took the lead; `age_ms`: of its row.
 * A leader that is killed is silent from the moment in which it is followed. */
enum flo_lease_place flo_lease_place_of(bool is_holder, bool leads, bool is_lost, uint64_t age_ms);
#endif
