/* Startup: decides how a start of the agent continues from the records that it
 * finds.  Pure.
 *
 * A power cut may come between any two writes.  The slot record is the truth
 * about releases, and the database about executions.  Each of them may be one
 * step ahead of the other. */
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
    bool was_searched; /* the record is damaged, and the agent has searched for an intact release */
    bool is_found;     /* the search found a release whose envelope a trusted key has signed */
};
enum flo_startup_step {
    FLO_STARTUP_READ,    /* read the record, again if the disk failed */
    FLO_STARTUP_SEARCH,  /* search for an undamaged release of the model */
    FLO_STARTUP_RECOVER, /* make the release that the search found current, and write the record */
    FLO_STARTUP_TAKE,    /* the record holds */
    FLO_STARTUP_LEAVE,   /* let the model serve nothing until its next release comes */
    /* give up: the record cannot be read now, and the next start tries again */
    FLO_STARTUP_GIVE_UP,
};
enum flo_startup_step flo_startup_record_next(const struct flo_startup_record *record);

/* ---- the execution under way ---- */

struct flo_startup_execution {
    bool has_story;     /* the database has an open execution of the model */
    bool has_candidate; /* the record has a candidate */
    bool is_same;       /* the execution and the candidate are about the same release */
    bool is_trial;      /* according to the record, the candidate serves on trial */
    bool has_ended;     /* the newest execution of the candidate's rollout has ended */
    bool has_succeeded; /* the success of the candidate's newest execution was reported */
};
enum flo_startup_source { FLO_STARTUP_NONE, FLO_STARTUP_STORY, FLO_STARTUP_SLOTS };
struct flo_startup_verdict {
    enum flo_startup_source source; /* record from which the open execution continues */
    bool drops;                     /* the candidate was superseded, so its slot is cleared */
    /* the candidate is made current, because the success of its trial was
     * reported */
    bool commits;
    bool has_ended; /* the execution has ended already, so only its leftovers are removed */
};
void flo_startup_execution(const struct flo_startup_execution *facts,
                           struct flo_startup_verdict *out);

/* ---- a device that is enrolled again ---- */

enum flo_startup_enrolled {
    FLO_STARTUP_STAYS,   /* the record has no candidate, so nothing changes */
    FLO_STARTUP_DROPPED, /* a candidate that has not served is removed */
    /* the candidate on trial continues to serve until any order of the new
     * controller replaces it */
    FLO_STARTUP_NAMELESS,
};
enum flo_startup_enrolled flo_startup_enrolled(bool has_candidate, bool is_trial);
/* Converts the stored outcome of the newest order about a model to the one that
 * the device reports to a new controller. */
enum flo_stated_outcome flo_startup_outcome(enum flo_stated_outcome outcome);

/* ---- the device's record can be read again ---- */

struct flo_startup_device {
    bool was_unread, is_read;
    bool is_frozen; /* the record says that the device is frozen, normally or by an emergency */
    bool is_enrolled;
};
struct flo_startup_again {
    /* the record could not be read before and can be read now, so the trusted
     * time is known again */
    bool is_news;
    /* updates may continue, because they waited only until the record could be
     * read */
    bool unfreezes;
    bool connects;
};
struct flo_startup_again flo_startup_device_again(const struct flo_startup_device *facts);

#endif
