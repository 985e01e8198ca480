/* Device index: the facts of all devices in memory, for selectors.
 *
 * Ten thousand devices are searched in milliseconds; reading their rows and
 * reports would take seconds.  Each call of the store that changes a device's
 * row updates the index.  After a rollback a changed device is stale: its row
 * is read before the next use.  Private to the store; other modules use
 * store/fleet.h. */
#ifndef FLOTILLA_SERVER_DEVICE_INDEX_H
#define FLOTILLA_SERVER_DEVICE_INDEX_H

#include "server-stub/core/select/select.h"
#include "server-stub/store/store.h"

struct flo_fleet_said;

struct flo_device_index_entry {
    bool is_there; /* not retired */
    bool is_stale; /* the entry may differ from the row in the table */
    bool is_touched;
    bool is_online;
    bool is_changed;      /* the device is in the index's list `changed` */
    uint32_t groups_are;  /* checksum of the device's groups; 0: unknown */
    uint32_t groups_said; /* checksum of the groups that the device reported */
    uint8_t stated; /* whether the desired document has a group statement: 0 unknown, 1 no, 2 yes */
    uint8_t condition_said; /* condition that follows from the device's report,
                               an enum flo_condition */
    bool may_let_go;
    /* time of the last message when the row was read; newer times are in the
     * facts */
    uint64_t seen_at_ms;
    uint64_t rss_bytes;
    struct flo_select_device say;
    void *own;  /* block with the texts of the device's row */
    void *said; /* block with the texts of the device's report */
};

struct flo_device_index {
    bool is_loaded;                       /* the index was loaded; before that it stays empty */
    struct flo_device_index_entry *items; /* entries by the number of the device's id */
    size_t count;
    size_t *order; /* numbers of devices, of which the first `ordered` are sorted by id */
    size_t ordered;
    size_t stale_count;
    size_t *touched; /* numbers of entries that this transaction changed */
    size_t touched_count, touched_room;
    size_t *changed; /* numbers of devices that changed and were not returned yet */
    size_t changed_first, changed_count, changed_room;
    bool is_lost; /* memory ran out, so all entries are read again */
};

void flo_device_index_deinit(struct flo_device_index *device_index);
/* Sets a device's facts from its row in the store.  flo_device_index_report
 * sets those from its report. */
void flo_device_index_row(struct flo_device_index *device_index, size_t number,
                          const struct flo_fleet_device *device);
void flo_device_index_report(struct flo_device_index *device_index, size_t number,
                             const json_t *report, const json_t *profile_or_null,
                             const struct flo_fleet_said *meant);
/* Gets a device's facts as they were read.  NULL: no device has this number. */
const struct flo_select_device *flo_device_index_say(const struct flo_device_index *device_index,
                                                     size_t number);
/* Marks devices that lack a release as stale, so that their rows are read
 * again: another release may be wanted now. */
void flo_device_index_lacking_stale(struct flo_device_index *device_index);
void flo_device_index_online(struct flo_device_index *device_index, size_t number, bool online);
/* Tells whether the device is connected, by its row.  Returns false when the
 * index does not know it. */
bool flo_device_index_knows(const struct flo_device_index *device_index, size_t number,
                            bool *is_online);
void flo_device_index_gone(struct flo_device_index *device_index, size_t number);
/* Returns the number of the next changed device, or SIZE_MAX after the last. */
size_t flo_device_index_changed(struct flo_device_index *device_index);
void flo_device_index_change_all(struct flo_device_index *device_index);
/* Marks a device as stale, so that its row is read before the next use. */
void flo_device_index_stale(struct flo_device_index *device_index, size_t number);
/* Ends the transaction in the index, by a commit or a rollback. */
void flo_device_index_commit(struct flo_device_index *device_index);
void flo_device_index_cancel(struct flo_device_index *device_index);

/* Returns the checksum of a set of names, which does not depend on their order
 * and is never 0. */
uint32_t flo_device_index_names(const json_t *names);
uint32_t flo_device_index_names_text(const char *text);
/* ---- facts.c: texts of a row and of a report ---- */

/* Copies a device's texts into one block, which the caller frees with free().
 * The values point into the block.  Returns NULL without memory, and *out is
 * unchanged then. */
void *flo_device_index_own_facts(const struct flo_fleet_device *device,
                                 struct flo_select_device *out);
void *flo_device_index_said_facts(const json_t *report, const json_t *profile_or_null,
                                  struct flo_select_device *out);

#endif
