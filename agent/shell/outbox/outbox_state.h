/* The state of outbox.db, and the functions that its files share.  They are not
 * for others. */
#ifndef FLOTILLA_AGENT_OUTBOX_OUTBOX_STATE_H
#define FLOTILLA_AGENT_OUTBOX_OUTBOX_STATE_H

#include "agent/shell/outbox/answers.h"
#include "agent/shell/outbox/events.h"
#include "agent/shell/outbox/notes.h"
#include "agent/shell/outbox/outbox_db.h"
#include "agent/shell/outbox/stories.h"
#include "agent/shell/outbox/windows.h"
#include "base/host/db.h"

#define TRACE_LINES_MAX 2000
#define STORIES_MAX 200
#define ANSWERS_MAX 256
#define MEMORY_EVENTS_MAX 32
#define MEMORY_STORIES_MAX 8
#define MEMORY_WINDOWS_MAX 32
#define TELEMETRY_ROW_BYTES                                                                        \
    1024 /* approximate size of a telemetry window, which limits their number */
#define FILE_NAME "outbox.db"
#define NO_OUTBOX "there is no outbox"

/* An event that has not been written to the database yet. */
struct memory_event {
    uint64_t sequence;
    enum flo_event_kind kind;
    json_t *json;
    bool has_execution;
};

/* A telemetry window that could not be written to the database. */
struct memory_window {
    uint64_t id;
    char *text;
    bool is_sent;
};

/* Rate limit for the notes of one error. */
struct told {
    uint64_t at_ms; /* time of the last note of this error; 0: never */
    uint64_t more;  /* not told since */
};

struct flo_outbox_db {
    struct flo_db *sqlite; /* open database; NULL: the file could not be opened */
    char path[4200];       /* path of the database file in `dir` */
    char dir[4200];
    /* error found when another process had replaced the file; code 0: none */
    struct flo_err replaced;
    char boot[37];
    bool is_boot_stored; /* the file contains the boot id */
    struct flo_outbox outbox;
    uint64_t sequence; /* number of the newest event, stored or not */
    uint64_t rows_max;
    uint64_t rows;
    uint64_t lost;
    uint64_t corrupt;
    uint64_t telemetry_sent;              /* highest id of a telemetry window that was sent */
    struct told told[FLO_ERRORS_MAX + 1]; /* indexed by flo_error_place() */
    bool is_counted;                      /* `waiting` is valid */
    int64_t waiting[FLO_EVENT_KINDS];     /* number of unacknowledged events of each kind */
    uint64_t servings_more;               /* not told since */
    size_t memory_count;
    struct memory_event memory[MEMORY_EVENTS_MAX];
    uint32_t flush_failures; /* number of flushes in a row that failed */
    /* Error of the last write of a window, or of opening the file; code 0:
     * none. */
    struct flo_err failed;
    size_t windows_count;
    /* number of telemetry windows kept in memory since the start; the next
     * window's id is made from it */
    uint64_t windows_told;
    struct memory_window windows[MEMORY_WINDOWS_MAX];
    /* number of entries in `stories`, the oldest first: states of executions
     * that the file does not have yet */
    size_t story_count;
    struct flo_agent_execution stories[MEMORY_STORIES_MAX];
};

void flo_outbox_windows_free(struct flo_outbox_db *db);
void flo_outbox_db_complain(const struct flo_err *err);
/* Opens the database at db->path, or creates it with its tables. */
FLO_MUST_USE int flo_outbox_file_open(struct flo_outbox_db *db, struct flo_err *err);
/* Writes the file again if another process removed it.  The caller calls it
 * before each write, outside of transactions. */
void flo_outbox_db_look(struct flo_outbox_db *db);
/* Runs an SQL statement on the open database.
 * FLO_E_DB  there is no database */
FLO_MUST_USE int flo_outbox_db_run(struct flo_outbox_db *db, const char *sql,
                                   const struct flo_db_value *values, size_t count,
                                   struct flo_err *err);
/* Returns the first column of a query's first row as a number; 0: there is no
 * row. */
int64_t flo_outbox_db_number(struct flo_outbox_db *db, const char *sql);
/* Returns the first column of a query for `key` as text, which the caller
 * frees; NULL: there is no row. */
char *flo_outbox_db_text(struct flo_outbox_db *db, const char *sql, const char *key);
/* Sets how SQLite syncs: relaxed writes are not synced at each commit, others
 * are. */
int flo_outbox_db_relax(struct flo_outbox_db *db, bool is_relaxed);
int64_t flo_outbox_db_crc(const char *text);
FLO_MUST_USE int flo_values_store(struct flo_outbox_db *db, const char *key, const char *value,
                                  struct flo_err *err);
FLO_MUST_USE int flo_values_store_number(struct flo_outbox_db *db, const char *key, int64_t value,
                                         struct flo_err *err);
FLO_MUST_USE int flo_outbox_db_begin(struct flo_outbox_db *db, struct flo_err *err);
/* Ends a transaction: commits it, or rolls it back if `rv` is an error. */
FLO_MUST_USE int flo_outbox_db_commit(struct flo_outbox_db *db, int rv, struct flo_err *err);
/* Stores an execution's last state: at first in memory, then in the file
 * together with the events that report it. */
void flo_stories_remember(struct flo_outbox_db *db, const struct flo_agent_execution *execution);
FLO_MUST_USE int flo_stories_keep(struct flo_outbox_db *db, struct flo_err *err);
/* Drops the oldest telemetry windows to make room, and counts them as lost. */
void flo_outbox_windows_drop(struct flo_outbox_db *db, uint64_t count);

#endif
