/* Startup: decides how a start of the agent continues from the records that it
 * finds.  Pure.
 *
 * A power cut may come between any two writes.  The slot record is the truth about
 * releases, the database about executions; each may be one step ahead. */
#ifndef FLOTILLA_AGENT_CORE_STARTUP_H
#define FLOTILLA_AGENT_CORE_STARTUP_H

#include <flotilla/proto.h>

/* ---- the record of a model ---- */

enum flo_startup_reading {
    FLO_STARTUP_UNREAD,
    FLO_STARTUP_WHOLE,
    FLO_STARTUP_DAMAGED,
    FLO_STARTUP_FAILED
};
struct flo_startup_record {
    enum flo_startup_reading reading;
    uint32_t failures; /* number of failed reads of this record */
    bool was_searched; /* the record is damaged, and an intact release of the model was searched */
    bool is_found;     /* ... and found: the envelope exists, and a trusted key signed it */
};
enum flo_startup_step {
    FLO_STARTUP_READ,    /* read the record, once more if the disk failed */
    FLO_STARTUP_SEARCH,  /* search for an undamaged release of the model */
    FLO_STARTUP_RECOVER, /* make the release that was found current, and write the record */
    FLO_STARTUP_TAKE,    /* the record holds */
    FLO_STARTUP_LEAVE,   /* let nothing of the model serve until its next release */
    FLO_STARTUP_GIVE_UP, /* give up: the record cannot be read now; the next start tries again */
};
enum flo_startup_step flo_startup_record_next(const struct flo_startup_record *record);

/* ---- the execution under way ---- */

struct flo_startup_execution {
    bool has_story;     /* the database has an open execution of the model */
    bool has_candidate; /* the record has a candidate */
    bool is_same;       /* execution and candidate are about the same release */
    bool is_trial;      /* according to the record, the candidate serves on trial */
    bool has_ended;     /* the newest execution of the candidate's rollout has ended */
    bool has_succeeded; /* ... and its success was reported */
};
enum flo_startup_source { FLO_STARTUP_NONE, FLO_STARTUP_STORY, FLO_STARTUP_SLOTS };
struct flo_startup_verdict {
    enum flo_startup_source source; /* source of the execution that continues */
    bool drops;                     /* the candidate was superseded: its slot is cleared */
    bool commits;   /* the trial succeeded, and this was reported: the candidate is made current */
    bool has_ended; /* only traces of the execution are left: it counts as ended */
};
void flo_startup_execution(const struct flo_startup_execution *facts,
                           struct flo_startup_verdict *out);

/* ---- a device that is enrolled again ---- */

enum flo_startup_enrolled {
    FLO_STARTUP_STAYS,    /* nothing to do: no update of an earlier rollout is in progress */
    FLO_STARTUP_DROPPED,  /* a candidate that only waits is dropped */
    FLO_STARTUP_NAMELESS, /* a trial continues, and any order supersedes it */
};
enum flo_startup_enrolled flo_startup_enrolled(bool has_candidate, bool is_trial);
/* Returns the outcome of the newest statement about a model that is reported to
 * the new controller. */
enum flo_stated_outcome flo_startup_outcome(enum flo_stated_outcome outcome);

/* ---- the device's record can be read again ---- */

struct flo_startup_device {
    bool was_unread, is_read;
    bool is_frozen; /* the device is frozen in either lane, according to the record */
    bool is_enrolled;
};
struct flo_startup_again {
    bool is_news;   /* the trusted time has changed */
    bool unfreezes; /* updates waited only because the record could not be read */
    bool connects;
};
struct flo_startup_again flo_startup_device_again(const struct flo_startup_device *facts);

#endif
