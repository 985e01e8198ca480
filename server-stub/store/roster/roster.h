/* Roster: the facts of all devices by which selectors choose, in memory.
 *
 * Ten thousand devices are looked through in milliseconds; their rows and
 * reports would take seconds to read.  The store's calls keep it: each one that
 * changes a device's row changes it here.  A device whose change was taken back
 * is stale, and is read from its row before the next use.  For the store
 * alone; others ask through store/fleet.h. */
#ifndef FLOTILLA_SERVER_ROSTER_H
#define FLOTILLA_SERVER_ROSTER_H

#include "server-stub/core/select/select.h"
#include "server-stub/store/store.h"

struct flo_fleet_said;

struct flo_roster_entry {
    bool is_there; /* not retired */
    bool is_stale; /* the row may say something else */
    bool is_touched;
    bool is_online;
    bool is_changed;        /* stands in `changed` */
    uint32_t groups_are;    /* checksum of its groups; 0: not known */
    uint32_t groups_said;   /* checksum of the groups that it reported */
    uint8_t stated;         /* desired carries a statement: 0 not known, 1 no,
                               2 yes */
    uint8_t condition_said; /* enum flo_condition, by its report */
    bool may_let_go;
    uint64_t seen_at_ms; /* as it was read; newer ones are facts */
    uint64_t rss_bytes;
    struct flo_select_device say;
    void *own;  /* texts of its row */
    void *said; /* texts of its report */
};

struct flo_roster {
    bool is_loaded;                 /* before that nothing is kept */
    struct flo_roster_entry *items; /* by the number of the id */
    size_t count;
    size_t *order; /* numbers by their ids: of as many as were put there */
    size_t ordered;
    size_t stale_count;
    size_t *touched; /* by this transaction */
    size_t touched_count, touched_room;
    size_t *changed; /* since somebody asked */
    size_t changed_first, changed_count, changed_room;
    bool is_lost; /* no memory: all is read again */
};

void flo_roster_deinit(struct flo_roster *roster);
/* Texts of its row, and of its report. */
void flo_roster_row(struct flo_roster *roster, size_t number,
                    const struct flo_fleet_device *device);
void flo_roster_report(struct flo_roster *roster, size_t number, const json_t *report,
                       const json_t *profile_or_null, const struct flo_fleet_said *meant);
/* As it was read; NULL: nobody has this number. */
const struct flo_select_device *flo_roster_say(const struct flo_roster *roster, size_t number);
/* Who lacks a release is read again: another one may be wanted now. */
void flo_roster_lacking_stale(struct flo_roster *roster);
void flo_roster_online(struct flo_roster *roster, size_t number, bool online);
/* Is it connected, as its row says?  false: only the row can say that. */
bool flo_roster_knows(const struct flo_roster *roster, size_t number, bool *is_online);
void flo_roster_gone(struct flo_roster *roster, size_t number);
/* The number of the next one that changed, or SIZE_MAX. */
size_t flo_roster_changed(struct flo_roster *roster);
void flo_roster_change_all(struct flo_roster *roster);
/* The device's row is read before the next use. */
void flo_roster_stale(struct flo_roster *roster, size_t number);
/* The transaction ended: kept, or taken back. */
void flo_roster_commit(struct flo_roster *roster);
void flo_roster_cancel(struct flo_roster *roster);

/* The same for the same names, in any order; never 0. */
uint32_t flo_roster_names(const json_t *names);
uint32_t flo_roster_names_text(const char *text);
/* ---- facts.c: texts of a row and of a report ---- */

/* A new block for free(), and values that point into it; NULL without memory:
 * *out is as before. */
void *flo_roster_own_facts(const struct flo_fleet_device *device, struct flo_select_device *out);
void *flo_roster_said_facts(const json_t *report, const json_t *profile_or_null,
                            struct flo_select_device *out);

#endif
