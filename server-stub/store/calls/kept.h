/* Kept: what the typed calls of the store keep in memory: facts of devices,
 * outcomes of orders, and queues.  They are not for others. */
#ifndef FLOTILLA_SERVER_CALLS_KEPT_H
#define FLOTILLA_SERVER_CALLS_KEPT_H

#include <pthread.h>

#include "server-stub/store/ids.h"
#include "server-stub/store/index/device_index.h"
#include "server-stub/store/seals.h"
#include "server-stub/store/store.h"
#include "server-stub/store/tables.h"

/* Facts of a device in memory (facts.c).  A value of 0 means that the fact is
 * not known yet. */
struct flo_fleet_fact {
    bool is_active; /* the device is known, and not retired */
    bool is_online_known, is_online;
    bool is_dirty;       /* seen_at_ms or rss_bytes is not written to the table yet */
    bool is_mark_dirty;  /* the checkpoint is not written to the table yet */
    bool awaits_nothing; /* no order that a person requested awaits an answer of
                            the device, as a lookup found */
    char *awaits;        /* id of an order whose answer the device still owes,
                            if there is only one; NULL: it must be looked up */
    uint64_t seen_at_ms;
    uint64_t rss_bytes;
    uint64_t ttft_us;     /* 95th percentile of time to first token in the newest window; 0: none */
    uint32_t hardware;    /* checksum of the device's hardware class; 0: unknown */
    uint32_t certificate; /* checksum of the serial of the device's certificate */
    uint32_t models;      /* checksum of the device's models; 0: unknown */
    uint32_t model_names; /* checksum of the names of the device's models, whatever they serve */
    bool is_back;         /* the device connected, and was not asked for answers since then */
    /* time when the device was last asked for answers, by flo_now_ms; 0:
     * never */
    uint64_t asked_at_ms;
    struct flo_lives lives; /* starts of the device's agent */
    char boot[37];          /* outbox to which the fields below belong; "": none yet */
    bool is_mark_known;
    bool is_doubtful; /* the device knew fewer events than are stored, by its last report */
    uint64_t mark;    /* checkpoint; see mark_move */
    uint64_t newest;  /* number of the newest event, even if it comes after a gap */
    uint64_t book;    /* number that stands for the device in the table of events; 0: none yet */
    uint64_t outbox;  /* number of the outbox `boot`; 0: none yet */
};
struct flo_fleet_facts {
    struct flo_ids ids;
    struct flo_fleet_fact *items; /* by number */
    size_t capacity;
};

/* Answers of devices to an order (books.c).  An item is the device's outcome +
 * 1, by device number; 0 means that the order is not for the device. */
struct flo_outcome_book {
    char order[FLO_NAME_MAX + 1]; /* "": unused */
    uint8_t *items;
    size_t count;
};
struct flo_outcome_books {
    struct flo_outcome_book items[4];
    size_t next;
};

/* Orders under way, whose device rows are being made (making.c). */
struct flo_making;
struct flo_fleet_makings {
    struct flo_making *items;
    size_t count, room;
    bool is_known;   /* the list was read from the table */
    bool is_changed; /* by this transaction */
};

/* Queue of the commits that are not durable yet (queue.c). */
struct flo_fleet_queue {
    pthread_t thread;
    pthread_t tidier;
    void (*wake)(void *context);
    void *context;
    bool runs; /* true: the thread runs; false: each commit is durable when its call returns */
    pthread_mutex_t mutex; /* guards the members that follow it */
    pthread_cond_t work, tidy, done;
    uint64_t committed; /* number of the newest commit */
    uint64_t durable;   /* newest durable commit */
    struct flo_err failed;
    bool is_busy; /* the queue's thread is using the engine */
    bool is_tidy_due;
    bool is_tidying; /* the tidying thread is using the engine */
    uint64_t busy_since_ms;
    bool ends;
    bool stops; /* set by the state's thread: the queue is flushed for the last time */
};

/* Key and findings of the seals on rows that grant rights (seals.c). */
#define FLO_FLEET_SEAL_TEXT (2 * FLO_DIGEST_BYTES + 1)
struct flo_fleet_seals {
    bool has_key;
    uint8_t key[FLO_DIGEST_BYTES];
    char fleet[FLO_NAME_MAX + 1];
    char met[16][FLO_FLEET_UNSEALED_TEXT]; /* rows with an invalid seal that were found */
    size_t count;
    struct flo_fleet_sums {
        uint64_t number;
        struct flo_digest of[FLO_SEALED_KINDS]; /* sums of the rows, as they are */
        bool doubts[FLO_SEALED_KINDS];
    } sums, sums_before; /* now, and at the transaction's start */
    /* sums as the table has them, each as the hex of an HMAC; "": not read */
    char stored[FLO_SEALED_KINDS][FLO_FLEET_SEAL_TEXT];
    bool is_changed; /* by this transaction */
};

/* A release that has a rollout or was yanked (wanted.c). */
struct flo_wanted {
    char release[FLO_DIGEST_TEXT];
    uint64_t rollout; /* number of the release's newest rollout */
    bool is_stopped;  /* the release's newest rollout is stopped */
    bool is_yanked;
};
struct flo_fleet_wanted {
    struct flo_wanted *items;
    size_t count, room;
    bool is_changed; /* by this transaction */
};

/* Forms that were used last, with their text and number (forms.c). */
#define FLO_FORM_BYTES_MAX 512
struct flo_fleet_forms {
    struct {
        uint64_t number; /* 0: free */
        char text[FLO_FORM_BYTES_MAX + 1];
    } items[64];
    uint64_t looked_at; /* number of the form that was checked last */
};
/* Text of an event as JSON, and the values of the event's columns. */
struct flo_event_text {
    const char *json;
    const char *boot;
    uint64_t seq, at_ms;
};

struct flo_fleet_store {
    struct flo_store_engine *engine; /* the engine, which is closed with the store */
    struct flo_fleet_facts facts;
    struct flo_outcome_books books;
    struct flo_fleet_makings makings;
    /* facts of all devices for selectors; a device has the same index here as
     * in facts.ids */
    struct flo_device_index device_index;
    struct flo_fleet_queue queue;
    struct flo_fleet_seals seals;
    struct flo_fleet_wanted wanted;
    uint64_t statements;
    uint64_t changes;        /* number of statements that may have changed something */
    uint64_t changes_before; /* value of `changes` at the transaction's start */
    uint64_t events;         /* number of events added since the store was opened */
    struct flo_fleet_forms forms;
    struct {
        char order[FLO_NAME_MAX + 1];
        char release[FLO_DIGEST_TEXT]; /* digest of the release; "": the order is no deploy */
    } deploy;                          /* the order that was added or looked up last */
    bool is_open;                      /* a transaction is open */
};

/* Makes a store that uses an open engine.  FLO_E_MEMORY: the engine was
 * closed. */
FLO_MUST_USE int flo_fleet_over(struct flo_store_engine *engine, struct flo_fleet_store **out,
                                struct flo_err *err);

/* Called before a transaction.  Waits while too many commits are queued, or
 * until a failed sync is settled. */
FLO_MUST_USE int flo_fleet_queue_enter(struct flo_fleet_store *store, struct flo_err *err);
/* Queues a commit.  Called after a commit that changed something. */
void flo_fleet_queue_add(struct flo_fleet_store *store);

/* Gets the facts of a device, which are created if missing.  Returns NULL
 * without memory. */
struct flo_fleet_fact *flo_fleet_fact(struct flo_fleet_store *store, const char *id);
/* Notes that the device still owes an answer to this order only.  NULL: the
 * order is unknown and must be looked up. */
void flo_fleet_fact_awaits(struct flo_fleet_fact *fact, const char *order_or_null);
/* Returns the index of a device's facts; SIZE_MAX without memory. */
size_t flo_fleet_number(struct flo_fleet_store *store, const char *id);
/* Reads the device's row into the device index again. */
FLO_MUST_USE int flo_fleet_device_index_again(struct flo_fleet_store *store, const char *id,
                                              struct flo_err *err);
/* Tells whether the device is connected.  After the first call the answer is in
 * memory. */
FLO_MUST_USE int flo_fleet_device_is_online(struct flo_fleet_store *store, const char *id,
                                            bool *out, struct flo_err *err);
/* Forgets what is in memory about connections, checkpoints of events and forms.
 * After a rollback these may differ from the tables. */
void flo_fleet_facts_doubt(struct flo_fleet_store *store);
/* Notes in memory that all devices are offline, as their rows now say.  These
 * rows need not be read for that later. */
void flo_fleet_facts_offline(struct flo_fleet_store *store);
FLO_MUST_USE int flo_fleet_mark_put(struct flo_fleet_store *store, const char *device,
                                    const struct flo_fleet_fact *fact, struct flo_err *err);
/* ---- forms of events (forms.c) ---- */

/* Gets the number of an event's form, and the text that remains without the
 * form.  Number 0: the event has no form, and the whole text remains. */
FLO_MUST_USE int flo_fleet_form_take(struct flo_fleet_store *store,
                                     const struct flo_event_text *event, uint64_t *number,
                                     struct flo_buf *rest, struct flo_err *err);
/* Joins a form and the remaining text to the event's text. */
void flo_fleet_form_join(const char *form, const struct flo_event_text *rest, struct flo_buf *out);
/* Remembers an order, because the next offer is most likely for the same
 * order. */
void flo_fleet_offer_remember(struct flo_fleet_store *store, const char *order, const char *op,
                              const char *release);
FLO_MUST_USE int flo_fleet_offer_forget(struct flo_fleet_store *store, const char *device,
                                        struct flo_err *err);
/* Removes all orders in the desired document of a retired device. */
FLO_MUST_USE int flo_fleet_desired_forget(struct flo_fleet_store *store, const char *device,
                                          struct flo_err *err);
void flo_fleet_facts_deinit(struct flo_fleet_facts *facts);
/* Forgets the outcomes of all orders in memory, because a transaction was
 * rolled back or rows were deleted. */
void flo_outcome_books_forget(struct flo_fleet_store *store);
void flo_outcome_books_deinit(struct flo_fleet_store *store);
/* Callback for a device, by its number in facts.ids.  The call lists the
 * devices of a group with ids above `after`. */
typedef void (*flo_fleet_number_fn)(void *context, size_t number);
FLO_MUST_USE int flo_fleet_numbers_each(struct flo_fleet_store *store, const char *group,
                                        const char *after, flo_fleet_number_fn fn, void *context,
                                        struct flo_err *err);
/* Loads the wanted releases, together with the device index.  Each later change
 * of a rollout or a release updates them. */
FLO_MUST_USE int flo_fleet_wanted_load(struct flo_fleet_store *store, struct flo_err *err);
void flo_fleet_wanted_rollout(struct flo_fleet_store *store, const char *release, uint64_t number,
                              const char *state);
void flo_fleet_wanted_release(struct flo_fleet_store *store, const char *release,
                              const char *state);
void flo_fleet_wanted_doubt(struct flo_fleet_store *store);
void flo_fleet_wanted_deinit(struct flo_fleet_store *store);
/* Tells whether the row's seal is valid.  A row with an invalid seal is noted
 * (seals.h).  A valid one is added to the sum, which begins with zeros. */
bool flo_fleet_is_sealed(struct flo_fleet_store *store, const struct flo_row *row,
                         struct flo_digest *sum_or_null);
/* Compares the sum of all rows of a kind with the stored one, at the start. */
void flo_fleet_sum_compare(struct flo_fleet_store *store, enum flo_sealed_kind kind,
                           const struct flo_digest *sum);
/* Writes the sums before a commit, if the transaction changed them. */
FLO_MUST_USE int flo_fleet_sums_write(struct flo_fleet_store *store, struct flo_err *err);
/* Takes the sums back after a rollback.  A doubt stays. */
void flo_fleet_sums_cancel(struct flo_fleet_store *store);

/* ---- an engine's calls, counted ---- */

FLO_MUST_USE int flo_fleet_find(struct flo_fleet_store *store, const struct flo_query *query,
                                flo_row_take take, void *context, struct flo_err *err);
/* Finds at most one row.  *found_or_null tells whether there was one.  `take`
 * may be NULL. */
FLO_MUST_USE int flo_fleet_find_one(struct flo_fleet_store *store, struct flo_query query,
                                    flo_row_take take, void *context, bool *found_or_null,
                                    struct flo_err *err);
FLO_MUST_USE int flo_fleet_count(struct flo_fleet_store *store, const struct flo_query *query,
                                 const enum flo_field *by, size_t by_count, flo_count_take take,
                                 void *context, struct flo_err *err);
/* Counts all rows that the query matches. */
FLO_MUST_USE int flo_fleet_count_all(struct flo_fleet_store *store, const struct flo_query *query,
                                     uint64_t *out, struct flo_err *err);
/* Adds a row.  If a row with its key exists, *is_new becomes false; with
 * `is_new` NULL the call fails with FLO_E_STATE. */
FLO_MUST_USE int flo_fleet_insert(struct flo_fleet_store *store, enum flo_table table,
                                  const struct flo_field_change *changes, size_t count,
                                  bool *is_new, struct flo_err *err);
FLO_MUST_USE int flo_fleet_put(struct flo_fleet_store *store, enum flo_table table,
                               const struct flo_field_change *changes, size_t count,
                               struct flo_err *err);
/* Updates rows, and counts them in *changed.  With `changed` NULL the engine
 * may delay the update. */
FLO_MUST_USE int flo_fleet_update(struct flo_fleet_store *store, enum flo_table table,
                                  const struct flo_field_change *changes, size_t count,
                                  const struct flo_match *matches, size_t match_count,
                                  uint64_t *changed, struct flo_err *err);
FLO_MUST_USE int flo_fleet_remove(struct flo_fleet_store *store, enum flo_table table,
                                  const struct flo_match *matches, size_t match_count,
                                  uint64_t *changed, struct flo_err *err);
/* Row callback that copies a number: `context` is a struct flo_number. */
struct flo_number {
    enum flo_field field;
    uint64_t number;
};
int flo_fleet_take_number(void *context, const struct flo_row *row);
/* Row callback that passes a text to another callback: `context` is a struct
 * flo_text. */
struct flo_text {
    enum flo_field field;
    flo_fleet_text_fn fn;
    void *context;
};
int flo_fleet_take_text(void *context, const struct flo_row *row);
/* Copies the text of a key of a JSON object; "" when it is missing. */
void flo_fleet_json_text(const char *json, const char *key, char *out, size_t out_bytes);

/* ---- parts of a query or change ---- */

#define MATCHES(...)                                                                               \
    (const struct flo_match[]){__VA_ARGS__},                                                       \
        sizeof((const struct flo_match[]){__VA_ARGS__}) / sizeof(struct flo_match)
#define CHANGES(...)                                                                               \
    (const struct flo_field_change[]){__VA_ARGS__},                                                \
        sizeof((const struct flo_field_change[]){__VA_ARGS__}) / sizeof(struct flo_field_change)
#define WHERE(...)                                                                                 \
    .matches = {__VA_ARGS__},                                                                      \
    .match_count = sizeof((const struct flo_match[]){__VA_ARGS__}) / sizeof(struct flo_match)
/* Query of the rows of a table that match. */
#define ROWS(of, ...)                                                                              \
    (struct flo_query)                                                                             \
    {                                                                                              \
        .table = FLO_TABLE_##of, WHERE(__VA_ARGS__)                                                \
    }
#define SORTED(...)                                                                                \
    .sorts = {__VA_ARGS__},                                                                        \
    .sort_count = sizeof((const struct flo_sort[]){__VA_ARGS__}) / sizeof(struct flo_sort)
#define UP(name)                                                                                   \
    {                                                                                              \
        .field = FLO_FIELD_##name                                                                  \
    }
#define DOWN(name)                                                                                 \
    {                                                                                              \
        .field = FLO_FIELD_##name, .is_down = true                                                 \
    }

static inline struct flo_match text_is(enum flo_field field, const char *text)
{
    return (struct flo_match){.field = field, .value.text = text};
}
static inline struct flo_match number_is(enum flo_field field, uint64_t number)
{
    return (struct flo_match){.field = field, .value.number = number};
}
static inline struct flo_match text_how(enum flo_field field, enum flo_match_how how,
                                        const char *text)
{
    return (struct flo_match){.field = field, .how = how, .value.text = text};
}
static inline struct flo_match number_how(enum flo_field field, enum flo_match_how how,
                                          uint64_t number)
{
    return (struct flo_match){.field = field, .how = how, .value.number = number};
}
/* Matches if the field equals the field `among` of a row whose `where` is the
 * text. */
static inline struct flo_match text_among(enum flo_field field, enum flo_field among,
                                          enum flo_field where, const char *text)
{
    return (struct flo_match){
        .field = field, .how = FLO_MATCH_AMONG, .among = among, .where = where, .value.text = text};
}
static inline struct flo_match one_of(enum flo_field field, const struct flo_value *list,
                                      size_t count)
{
    return (struct flo_match){
        .field = field, .how = FLO_MATCH_ONE_OF, .list = list, .count = count};
}
/* Makes a condition on a number that holds for most rows, so that no index is
 * used for it. */
static inline struct flo_match common_number(enum flo_field field, uint64_t number)
{
    return (struct flo_match){.field = field, .is_common = true, .value.number = number};
}
static inline struct flo_field_change set_text(enum flo_field field, const char *text)
{
    return (struct flo_field_change){.field = field, .value.text = text};
}
static inline struct flo_field_change set_number(enum flo_field field, uint64_t number)
{
    return (struct flo_field_change){.field = field, .value.number = number};
}
static inline struct flo_field_change set_digest(enum flo_field field,
                                                 const struct flo_digest *digest)
{
    return (struct flo_field_change){.field = field, .value.digest = digest};
}
static inline struct flo_field_change add_number(enum flo_field field, uint64_t number)
{
    return (struct flo_field_change){.field = field, .how = FLO_CHANGE_ADD, .value.number = number};
}

/* Checks that a device may have this name (devices.c).  FLO_E_META_NAME: it may
 * not. */
FLO_MUST_USE int flo_fleet_name_check(const char *name, struct flo_err *err);

#endif
