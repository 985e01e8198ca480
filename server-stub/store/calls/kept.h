/* Facts, books and queues of the typed calls, in memory; not for others. */
#ifndef FLOTILLA_SERVER_CALLS_KEPT_H
#define FLOTILLA_SERVER_CALLS_KEPT_H

#include <pthread.h>

#include "server-stub/store/ids.h"
#include "server-stub/store/roster/roster.h"
#include "server-stub/store/seals.h"
#include "server-stub/store/store.h"
#include "server-stub/store/tables.h"

/* Facts of a device in memory (facts.c). 0 means: not known yet. */
struct flo_fleet_fact {
    bool is_active; /* known, and not retired */
    bool is_online_known, is_online;
    bool is_dirty;       /* seen_at_ms or rss_bytes is not written yet */
    bool is_mark_dirty;  /* nor is mark */
    bool awaits_nothing; /* no tracked order awaits it: it was looked for */
    char *awaits;        /* this one alone does; NULL: look */
    uint64_t seen_at_ms;
    uint64_t rss_bytes;
    uint64_t ttft_us;     /* 95 of 100 below, of the newest window; 0: none */
    uint32_t hardware;    /* checksum of its class; 0: not given yet */
    uint32_t certificate; /* checksum of the serial that it holds */
    uint32_t models;      /* checksum of what it has; 0: not known */
    uint32_t model_names; /* checksum of their names alone */
    bool is_back;         /* the device came, and was not asked since */
    uint64_t asked_at_ms; /* for answers, by flo_now_ms; 0: never */
    char boot[37];        /* the outbox that the rest is about; "": none yet */
    bool is_mark_known;
    uint64_t mark;   /* see mark_move */
    uint64_t newest; /* event, also after a gap */
    uint64_t book;   /* the device's number for all its events; 0: none yet */
    uint64_t outbox; /* number of `boot`; 0: none yet */
};
struct flo_fleet_facts {
    struct flo_ids ids;
    struct flo_fleet_fact *items; /* by number */
    size_t capacity;
};

/* Answers to an order (books.c): by number, the outcome and one; 0:
 * it is not asked. */
struct flo_outcome_book {
    char order[FLO_NAME_MAX + 1]; /* "": nothing is known */
    uint8_t *items;
    size_t count;
};
struct flo_outcome_books {
    struct flo_outcome_book items[4];
    size_t next;
};

/* Orders whose rows of devices are being made (making.c). */
struct flo_making;
struct flo_fleet_makings {
    struct flo_making *items;
    size_t count, room;
    bool is_known;   /* as the table says */
    bool is_changed; /* by this transaction */
};

/* Commits on their way to the disk (queue.c). */
struct flo_fleet_queue {
    pthread_t thread;
    pthread_t tidier;
    void (*wake)(void *context);
    void *context;
    bool runs;             /* else each commit is durable when it returns */
    pthread_mutex_t mutex; /* guards the members below */
    pthread_cond_t work, tidy, done;
    uint64_t committed; /* number of the newest */
    uint64_t durable;   /* this one is, and all before it */
    struct flo_err failed;
    bool is_busy; /* the thread uses the engine */
    bool is_tidy_due;
    bool is_tidying; /* the other one uses it */
    bool ends;
};

/* Seals of rows that give rights (seals.c). */
#define FLO_FLEET_SEAL_TEXT (2 * FLO_DIGEST_BYTES + 1)
struct flo_fleet_seals {
    bool has_key;
    uint8_t key[FLO_DIGEST_BYTES];
    char fleet[FLO_NAME_MAX + 1];
    char met[16][FLO_FLEET_UNSEALED_TEXT]; /* whose seal is not right */
    size_t count;
};

/* Releases with a rollout or a yank (wanted.c). */
struct flo_wanted {
    char release[FLO_DIGEST_TEXT];
    uint64_t rollout; /* number of the newest */
    bool is_stopped;  /* that one */
    bool is_yanked;
};
struct flo_fleet_wanted {
    struct flo_wanted *items;
    size_t count, room;
    bool is_changed; /* by this transaction */
};

/* Forms that were asked for last (forms.c), by their text. */
#define FLO_FORM_BYTES_MAX 512
struct flo_fleet_forms {
    struct {
        uint64_t number; /* 0: free */
        char text[FLO_FORM_BYTES_MAX + 1];
    } items[64];
    uint64_t looked_at; /* by the sweep */
};
/* An event as it is told: its JSON, and what the columns say. */
struct flo_event_text {
    const char *json;
    const char *boot;
    uint64_t seq, at_ms;
};

struct flo_fleet_store {
    struct flo_store_engine *engine; /* the store's own: closed with it */
    struct flo_fleet_facts facts;
    struct flo_outcome_books books;
    struct flo_fleet_makings makings;
    struct flo_roster roster; /* by the numbers of facts.ids */
    struct flo_fleet_queue queue;
    struct flo_fleet_seals seals;
    struct flo_fleet_wanted wanted;
    uint64_t statements;
    uint64_t changes;        /* statements that may have changed something */
    uint64_t changes_before; /* the transaction */
    uint64_t events;         /* added since it was opened */
    struct flo_fleet_forms forms;
    struct {
        char order[FLO_NAME_MAX + 1];
        char release[FLO_DIGEST_TEXT]; /* "": it is no deploy */
    } deploy;                          /* the order that was added or looked up last */
    bool is_open;                      /* between begin and commit */
};

/* A store over an engine that was opened.  FLO_E_MEMORY, and it is closed. */
FLO_MUST_USE int flo_fleet_over(struct flo_store_engine *engine, struct flo_fleet_store **out,
                                struct flo_err *err);

/* Before a transaction: wait while too many commits wait, or for what failed
 * to be settled. */
FLO_MUST_USE int flo_fleet_queue_enter(struct flo_fleet_store *store, struct flo_err *err);
/* After a commit that changed something. */
void flo_fleet_queue_add(struct flo_fleet_store *store);

/* Made when there is none; NULL without memory. */
struct flo_fleet_fact *flo_fleet_fact(struct flo_fleet_store *store, const char *id);
/* The device awaits this order alone; NULL: look. */
void flo_fleet_fact_awaits(struct flo_fleet_fact *fact, const char *order_or_null);
/* The number of its fact; SIZE_MAX without memory. */
size_t flo_fleet_number(struct flo_fleet_store *store, const char *id);
/* The roster reads the device's row again. */
FLO_MUST_USE int flo_fleet_roster_again(struct flo_fleet_store *store, const char *id,
                                        struct flo_err *err);
/* Is it connected?  From memory, after the first time. */
FLO_MUST_USE int flo_fleet_device_is_online(struct flo_fleet_store *store, const char *id,
                                            bool *out, struct flo_err *err);
/* A transaction was taken back: what memory says of connections, marks and
 * forms may not be what the engine says. */
void flo_fleet_facts_doubt(struct flo_fleet_store *store);
/* All rows say that nobody is connected: no row is asked for that. */
void flo_fleet_facts_offline(struct flo_fleet_store *store);
FLO_MUST_USE int flo_fleet_mark_put(struct flo_fleet_store *store, const char *device,
                                    const struct flo_fleet_fact *fact, struct flo_err *err);
/* ---- forms of events (forms.c) ---- */

/* The number of an event's form, and the rest of its text; 0: the rest is the
 * whole text. */
FLO_MUST_USE int flo_fleet_form_take(struct flo_fleet_store *store,
                                     const struct flo_event_text *event, uint64_t *number,
                                     struct flo_buf *rest, struct flo_err *err);
/* The text again. */
void flo_fleet_form_join(const char *form, const struct flo_event_text *rest, struct flo_buf *out);
/* Whom an order of its desired tells to run a release may fetch it. */
FLO_MUST_USE int flo_fleet_offer_add(struct flo_fleet_store *store, const char *device,
                                     const char *order, struct flo_err *err);
/* The order is what the next offer is about, most likely. */
void flo_fleet_offer_remember(struct flo_fleet_store *store, const char *order, const char *op,
                              const char *release);
FLO_MUST_USE int flo_fleet_offer_forget(struct flo_fleet_store *store, const char *device,
                                        struct flo_err *err);
/* A device that is retired should run nothing. */
FLO_MUST_USE int flo_fleet_desired_forget(struct flo_fleet_store *store, const char *device,
                                          struct flo_err *err);
/* Take back all certificates of a device. */
FLO_MUST_USE int flo_fleet_certificate_revoke(struct flo_fleet_store *store, const char *device,
                                              struct flo_err *err);
void flo_fleet_facts_deinit(struct flo_fleet_facts *facts);
/* A transaction was taken back, or rows went. */
void flo_outcome_books_forget(struct flo_fleet_store *store);
void flo_outcome_books_deinit(struct flo_fleet_store *store);
/* Devices of a group whose ids are above `after`, by their numbers. */
typedef void (*flo_fleet_number_fn)(void *context, size_t number);
FLO_MUST_USE int flo_fleet_numbers_each(struct flo_fleet_store *store, const char *group,
                                        const char *after, flo_fleet_number_fn fn, void *context,
                                        struct flo_err *err);
/* With the roster; then each change of a rollout or a release is told. */
FLO_MUST_USE int flo_fleet_wanted_load(struct flo_fleet_store *store, struct flo_err *err);
void flo_fleet_wanted_rollout(struct flo_fleet_store *store, const char *release, uint64_t number,
                              const char *state);
void flo_fleet_wanted_release(struct flo_fleet_store *store, const char *release,
                              const char *state);
void flo_fleet_wanted_doubt(struct flo_fleet_store *store);
void flo_fleet_wanted_deinit(struct flo_fleet_store *store);
/* The seal of the row that these changes make, all sealed fields among them.
 * FLO_E_KEYS_ABSENT: there is no key. */
FLO_MUST_USE int flo_fleet_seal(struct flo_fleet_store *store, enum flo_table table,
                                const struct flo_field_change *changes, size_t count,
                                char out[FLO_FLEET_SEAL_TEXT], struct flo_err *err);
/* Is the seal of this row right?  One that is not is told (seals.h). */
bool flo_fleet_is_sealed(struct flo_fleet_store *store, const struct flo_row *row);

/* ---- an engine's calls, counted ---- */

FLO_MUST_USE int flo_fleet_find(struct flo_fleet_store *store, const struct flo_query *query,
                                flo_row_take take, void *context, struct flo_err *err);
/* Find at most one row; *found says whether there was one. */
FLO_MUST_USE int flo_fleet_find_one(struct flo_fleet_store *store, struct flo_query query,
                                    flo_row_take take, void *context, bool *found,
                                    struct flo_err *err);
FLO_MUST_USE int flo_fleet_count(struct flo_fleet_store *store, const struct flo_query *query,
                                 const enum flo_field *by, size_t by_count, flo_count_take take,
                                 void *context, struct flo_err *err);
/* How many rows the query has, in one number. */
FLO_MUST_USE int flo_fleet_count_all(struct flo_fleet_store *store, const struct flo_query *query,
                                     uint64_t *out, struct flo_err *err);
/* FLO_E_STATE when it is there already; with `is_new` that is no failure. */
FLO_MUST_USE int flo_fleet_insert(struct flo_fleet_store *store, enum flo_table table,
                                  const struct flo_field_change *changes, size_t count,
                                  bool *is_new, struct flo_err *err);
FLO_MUST_USE int flo_fleet_put(struct flo_fleet_store *store, enum flo_table table,
                               const struct flo_field_change *changes, size_t count,
                               struct flo_err *err);
/* `changed` may be NULL: nobody asks, and the engine may hold it back. */
FLO_MUST_USE int flo_fleet_update(struct flo_fleet_store *store, enum flo_table table,
                                  const struct flo_field_change *changes, size_t count,
                                  const struct flo_match *matches, size_t match_count,
                                  uint64_t *changed, struct flo_err *err);
FLO_MUST_USE int flo_fleet_remove(struct flo_fleet_store *store, enum flo_table table,
                                  const struct flo_match *matches, size_t match_count,
                                  uint64_t *changed, struct flo_err *err);
/* A take that copies a number: `context` is a struct flo_number. */
struct flo_number {
    enum flo_field field;
    uint64_t number;
};
int flo_fleet_take_number(void *context, const struct flo_row *row);
/* A take that hands a text on: `context` is a struct flo_text. */
struct flo_text {
    enum flo_field field;
    flo_fleet_text_fn fn;
    void *context;
};
int flo_fleet_take_text(void *context, const struct flo_row *row);
/* The text of a key of a JSON object, copied; "" when it is not there. */
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
static inline struct flo_match one_of(enum flo_field field, const struct flo_value *list,
                                      size_t count)
{
    return (struct flo_match){
        .field = field, .how = FLO_MATCH_ONE_OF, .list = list, .count = count};
}
/* For what most rows have. */
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

/* May a device be called so?  FLO_E_META_NAME.  devices.c */
FLO_MUST_USE int flo_fleet_name_check(const char *name, struct flo_err *err);

#endif
