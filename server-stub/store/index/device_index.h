/* Device index: index of the facts of all devices in memory, for selectors.
 *
 * Ten thousand devices are searched in milliseconds; reading their rows and
 * reports would take seconds.  Each call of the store that changes a device's
 * row updates the device index.  After a rollback the device is stale, and its row is
 * read before the next use.  Private to the store; others use store/fleet.h. */
#ifndef FLOTILLA_SERVER_DEVICE_INDEX_H
#define FLOTILLA_SERVER_DEVICE_INDEX_H

#include "server-stub/core/select/select.h"
#include "server-stub/store/store.h"

struct flo_fleet_said;

struct flo_device_index_entry {
    bool is_there; /* not retired */
    bool is_stale; /* the row in the table may differ */
    bool is_touched;
    bool is_online;
    bool is_changed;        /* the device is in `changed` */
    uint32_t groups_are;    /* checksum of its groups; 0: unknown */
    uint32_t groups_said;   /* checksum of the reported groups */
    uint8_t stated;         /* desired has a group statement: 0 unknown, 1
                               no, 2 yes */
    uint8_t condition_said; /* enum flo_condition, from its report */
    bool may_let_go;
    uint64_t seen_at_ms; /* value at the last read; newer values are facts */
    uint64_t rss_bytes;
    struct flo_select_device say;
    void *own;  /* texts of the device's row */
    void *said; /* texts of the device's report */
};

struct flo_device_index {
    bool is_loaded;                       /* nothing is stored before */
    struct flo_device_index_entry *items; /* by number of the id */
    size_t count;
    size_t *order; /* numbers sorted by id; only the first `ordered` ones */
    size_t ordered;
    size_t stale_count;
    size_t *touched; /* entries changed by this transaction */
    size_t touched_count, touched_room;
    size_t *changed; /* entries changed since the last call */
    size_t changed_first, changed_count, changed_room;
    bool is_lost; /* out of memory: all is read again */
};

void flo_device_index_deinit(struct flo_device_index *device_index);
/* Sets the facts from a device's row, and from its report. */
void flo_device_index_row(struct flo_device_index *device_index, size_t number,
                          const struct flo_fleet_device *device);
void flo_device_index_report(struct flo_device_index *device_index, size_t number,
                             const json_t *report, const json_t *profile_or_null,
                             const struct flo_fleet_said *meant);
/* Gets the facts as read; NULL: the number is unused. */
const struct flo_select_device *flo_device_index_say(const struct flo_device_index *device_index,
                                                     size_t number);
/* Marks devices that lack a release as stale, because another release may be
 * wanted now. */
void flo_device_index_lacking_stale(struct flo_device_index *device_index);
void flo_device_index_online(struct flo_device_index *device_index, size_t number, bool online);
/* Gets whether the device is connected, by its row.  Returns false when only
 * the row can tell. */
bool flo_device_index_knows(const struct flo_device_index *device_index, size_t number,
                            bool *is_online);
void flo_device_index_gone(struct flo_device_index *device_index, size_t number);
/* Returns the number of the next changed device, or SIZE_MAX. */
size_t flo_device_index_changed(struct flo_device_index *device_index);
void flo_device_index_change_all(struct flo_device_index *device_index);
/* Marks the device: its row is read before the next use. */
void flo_device_index_stale(struct flo_device_index *device_index, size_t number);
/* Ends the transaction: commit, or rollback. */
void flo_device_index_commit(struct flo_device_index *device_index);
void flo_device_index_cancel(struct flo_device_index *device_index);

/* Checksum of a set of names, independent of order; never 0. */
uint32_t flo_device_index_names(const json_t *names);
uint32_t flo_device_index_names_text(const char *text);
/* ---- facts.c: texts of a row and of a report ---- */

/* Allocates the texts in one block for free(), with values that point into it.
 * NULL without memory: *out is unchanged. */
void *flo_device_index_own_facts(const struct flo_fleet_device *device,
                                 struct flo_select_device *out);
void *flo_device_index_said_facts(const json_t *report, const json_t *profile_or_null,
                                  struct flo_select_device *out);

#endif
