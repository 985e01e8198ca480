/* Store: events of devices, and the acknowledgement of each outbox. */
#include <stdio.h>
#include <string.h>

#include "server-stub/store/calls/kept.h"

#define KEPT 2000 /* number of newest events that are kept for each device */
/* Old events are deleted whenever this many events of all devices were added.
 * A device thus cannot avoid it by sending few events. */
#define PRUNE_EVERY 64

static struct flo_query outbox(const struct flo_fleet_fact *fact)
{
    return (struct flo_query){.table = FLO_TABLE_EVENT,
                              WHERE(number_is(FLO_FIELD_EVENT_BOOK, fact->book),
                                    number_is(FLO_FIELD_EVENT_OUTBOX, fact->outbox)),
                              SORTED(DOWN(EVENT_SEQ))};
}

/* ---- the mark ---- */

static int take_mark(void *context, const struct flo_row *row)
{
    struct flo_fleet_fact *fact = context;

    fact->is_mark_known = true;
    fact->mark = flo_row_number(row, FLO_FIELD_EVENT_CHECKPOINT_SEQ);
    fact->book = flo_row_number(row, FLO_FIELD_EVENT_CHECKPOINT_BOOK);
    fact->outbox = flo_row_number(row, FLO_FIELD_EVENT_CHECKPOINT_OUTBOX);
    return 0;
}

/* Gets the number under which a device's events are stored; 0: the device has
 * no event yet. */
static int book_of(struct flo_fleet_store *store, const char *device, uint64_t *out,
                   struct flo_err *err)
{
    struct flo_number book = {.field = FLO_FIELD_EVENT_CHECKPOINT_BOOK};
    int rv = flo_fleet_find_one(
        store, ROWS(EVENT_CHECKPOINT, text_is(FLO_FIELD_EVENT_CHECKPOINT_DEVICE, device)),
        flo_fleet_take_number, &book, NULL, err);

    *out = book.number;
    return rv;
}

static int mark_get(struct flo_fleet_store *store, const char *device, const char *boot,
                    struct flo_fleet_fact *fact, struct flo_err *err)
{
    bool found;

    fact->is_mark_known = false;
    fact->mark = fact->newest = fact->outbox = fact->book = 0;
    FLO_TRY(flo_fleet_find_one(store,
                               ROWS(EVENT_CHECKPOINT,
                                    text_is(FLO_FIELD_EVENT_CHECKPOINT_DEVICE, device),
                                    text_is(FLO_FIELD_EVENT_CHECKPOINT_BOOT, boot)),
                               take_mark, fact, &found, err));
    return found ? 0 : book_of(store, device, &fact->book, err);
}

/* Gives an outbox its number with its first event.  The first outbox of a
 * device also gives the device its number. */
static int outbox_begin(struct flo_fleet_store *store, struct flo_fleet_fact *fact,
                        struct flo_err *err)
{
    uint64_t number = 0;

    FLO_TRY(fact->outbox != 0 ? 0 : flo_fleet_next(store, "outbox", &number, err));
    if (number != 0) {
        fact->outbox = number;
        fact->book = fact->book != 0 ? fact->book : number;
    }
    return 0;
}

static int event_exists(struct flo_fleet_store *store, const struct flo_fleet_fact *fact,
                        uint64_t seq, bool *out, struct flo_err *err)
{
    struct flo_query query = outbox(fact);

    query.matches[query.match_count++] = number_is(FLO_FIELD_EVENT_SEQ, seq);
    return flo_fleet_find_one(store, query, NULL, NULL, out, err);
}

static int event_newest(struct flo_fleet_store *store, struct flo_fleet_fact *fact,
                        struct flo_err *err)
{
    struct flo_number newest = {.field = FLO_FIELD_EVENT_SEQ};
    int rv = flo_fleet_find_one(store, outbox(fact), flo_fleet_take_number, &newest, NULL, err);

    fact->newest = newest.number;
    return rv;
}

/* Moves the outbox's checkpoint forward to the last event before the first
 * missing one. */
static int mark_walk(struct flo_fleet_store *store, struct flo_fleet_fact *fact,
                     struct flo_err *err)
{
    bool more = true;
    int rv = 0;

    while (rv == 0 && more && fact->mark < fact->newest) {
        rv = event_exists(store, fact, fact->mark + 1, &more, err);
        fact->mark += rv == 0 && more;
    }
    return rv;
}

/* Loads the checkpoint of another outbox of the device when an event comes from
 * it.  The stored checkpoint is written only from time to time, so it is moved
 * over events that were stored since. */
static int mark_load(struct flo_fleet_store *store, const char *device, const char *boot,
                     struct flo_fleet_fact *fact, struct flo_err *err)
{
    FLO_TRY(fact->is_mark_dirty ? flo_fleet_mark_put(store, device, fact, err) : 0);
    fact->is_mark_dirty = false;
    fact->boot[0] = '\0'; /* The outbox counts as unknown until all of its fields are read. */
    FLO_TRY(mark_get(store, device, boot, fact, err));
    if (fact->is_mark_known) {
        FLO_TRY(event_newest(store, fact, err));
        FLO_TRY(mark_walk(store, fact, err));
    }
    snprintf(fact->boot, sizeof(fact->boot), "%s", boot);
    return 0;
}

/* Returns the number from which on the events of an outbox are awaited.  A
 * device reports its lowest unacknowledged event, so earlier ones are not
 * awaited.  Older agents do not report it: then the first event of an outbox is
 * the first awaited one.  If a later event comes a second time, the missing
 * ones before it are lost. */
static uint64_t mark_begin(const struct flo_fleet_fact *fact, uint64_t seq, uint64_t from,
                           bool is_new)
{
    bool is_next = fact->is_mark_known && seq == fact->mark + 1;

    if (from > 0) {
        uint64_t before = from - 1;
        uint64_t mark = fact->is_mark_known && fact->mark > before ? fact->mark : before;
        return seq == mark + 1 ? seq : mark;
    }
    return fact->is_mark_known && (seq <= fact->mark || (!is_next && is_new)) ? fact->mark : seq;
}

static int mark_move(struct flo_fleet_store *store, const char *device, struct flo_fleet_fact *fact,
                     uint64_t seq, uint64_t from, bool is_new, struct flo_err *err)
{
    uint64_t mark = mark_begin(fact, seq, from, is_new);

    fact->newest = seq > fact->newest ? seq : fact->newest;
    if (fact->is_mark_known && mark == fact->mark) {
        return 0;
    }
    /* The first checkpoint of an outbox is stored at once.  After a restart
     * only this row tells that earlier events are not awaited. */
    bool is_first = !fact->is_mark_known;
    fact->is_mark_known = fact->is_mark_dirty = true;
    fact->mark = mark;
    int rv = mark_walk(store, fact, err);
    if (rv == 0 && is_first) {
        rv = flo_fleet_mark_put(store, device, fact, err);
        fact->is_mark_dirty = rv < 0;
    }
    return rv;
}

/* ---- a past of its own ---- */

/* Tells whether the number of an event was given to another event: the device's
 * state went back in time, or another machine uses it.  An event that comes
 * again has the time of its first sending.  0: the time is unknown. */
static int is_another(struct flo_fleet_store *store, const struct flo_fleet_fact *fact,
                      const struct flo_event_text *event, bool *out, struct flo_err *err)
{
    struct flo_query query = outbox(fact);
    struct flo_number at = {.field = FLO_FIELD_EVENT_AT};

    query.matches[query.match_count++] = number_is(FLO_FIELD_EVENT_SEQ, event->seq);
    int rv = flo_fleet_find_one(store, query, flo_fleet_take_number, &at, NULL, err);
    *out = at.number != 0 && event->at_ms != 0 && at.number != event->at_ms;
    return rv;
}

/* Gives the stored events of an outbox a boot id of their own.  The outbox then
 * is empty, so that no event counts as known by its number alone. */
static int outbox_part(struct flo_fleet_store *store, const char *device,
                       struct flo_fleet_fact *fact, struct flo_err *err)
{
    char boot[37];

    snprintf(boot, sizeof(boot), "%s", fact->boot);
    FLO_TRY(flo_fleet_remove(store, FLO_TABLE_EVENT_CHECKPOINT,
                             MATCHES(text_is(FLO_FIELD_EVENT_CHECKPOINT_DEVICE, device),
                                     text_is(FLO_FIELD_EVENT_CHECKPOINT_BOOT, boot)),
                             NULL, err));
    flo_uuid_make(fact->boot);
    int rv = flo_fleet_mark_put(store, device, fact, err);
    snprintf(fact->boot, sizeof(fact->boot), "%s", boot);
    fact->is_mark_known = fact->is_mark_dirty = false;
    fact->mark = fact->newest = fact->outbox = 0;
    if (rv == 0) {
        flo_log(FLO_LOG_WARN, "device",
                "device %s lost events of boot %s: its state is an older copy, or two machines "
                "use one.  Its events are stored again from there",
                device, boot);
    }
    return rv;
}

/* ---- what is too old ---- */

/* Gets the id of the event that comes `count` places after the newest event
 * with an id below `below`. */
static int newest_after(struct flo_fleet_store *store, uint64_t book, uint64_t below,
                        uint64_t offset, uint64_t *id, bool *found, struct flo_err *err)
{
    struct flo_number number = {.field = FLO_FIELD_EVENT_ID};
    int rv = flo_fleet_find_one(
        store,
        (struct flo_query){.table = FLO_TABLE_EVENT,
                           WHERE(number_is(FLO_FIELD_EVENT_BOOK, book),
                                 number_how(FLO_FIELD_EVENT_ID, FLO_MATCH_BELOW, below)),
                           SORTED(DOWN(EVENT_ID)),
                           .offset = offset},
        flo_fleet_take_number, &number, found, err);

    *id = number.number;
    return rv;
}

/* Deletes all but the newest events of a device and the checkpoints of their
 * outboxes. */
static int events_prune(struct flo_fleet_store *store, const char *device, uint64_t book,
                        struct flo_err *err)
{
    uint64_t id;
    bool found;

    FLO_TRY(newest_after(store, book, FLO_FLEET_ALL, KEPT, &id, &found, err));
    if (!found) {
        return 0;
    }
    FLO_TRY(flo_fleet_remove(store, FLO_TABLE_EVENT,
                             MATCHES(number_is(FLO_FIELD_EVENT_BOOK, book),
                                     number_how(FLO_FIELD_EVENT_ID, FLO_MATCH_UP_TO, id)),
                             NULL, err));
    return flo_fleet_remove(store, FLO_TABLE_EVENT_CHECKPOINT,
                            MATCHES(text_is(FLO_FIELD_EVENT_CHECKPOINT_DEVICE, device),
                                    (struct flo_match){.field = FLO_FIELD_EVENT_CHECKPOINT_OUTBOX,
                                                       .how = FLO_MATCH_NOT_AMONG,
                                                       .among = FLO_FIELD_EVENT_OUTBOX,
                                                       .where = FLO_FIELD_EVENT_BOOK,
                                                       .value.number = book}),
                            NULL, err);
}

/* ---- events ---- */

static int event_insert(struct flo_fleet_store *store, const struct flo_fleet_fact *fact,
                        const struct flo_event_text *event, uint64_t received_at_ms, bool *is_new,
                        struct flo_err *err)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) rest = {0};
    uint64_t form = 0;
    int rv = flo_fleet_form_take(store, event, &form, &rest, err);

    if (rv == 0) {
        rv = flo_fleet_insert(
            store, FLO_TABLE_EVENT,
            CHANGES(set_number(FLO_FIELD_EVENT_BOOK, fact->book),
                    set_number(FLO_FIELD_EVENT_OUTBOX, fact->outbox),
                    set_number(FLO_FIELD_EVENT_SEQ, event->seq),
                    set_number(FLO_FIELD_EVENT_AT, event->at_ms),
                    set_number(FLO_FIELD_EVENT_RECEIVED_AT, received_at_ms),
                    set_number(FLO_FIELD_EVENT_FORM, form),
                    set_text(FLO_FIELD_EVENT_JSON, form != 0 ? rest.data : event->json)),
            is_new, err);
    }
    store->events += rv == 0 && *is_new;
    return rv;
}

int flo_fleet_event_add(struct flo_fleet_store *store, const char *device, const char *boot,
                        uint64_t seq, uint64_t from, uint64_t at_ms, uint64_t received_at_ms,
                        const char *json, bool *is_new, uint64_t *mark, struct flo_err *err)
{
    struct flo_fleet_fact *fact = flo_fleet_fact(store, device);
    const struct flo_event_text event = {json, boot, seq, at_ms};
    bool is_other = false;

    FLO_TRY(fact == NULL ? flo_fail(err, FLO_E_MEMORY, "event") : 0);
    if (strcmp(fact->boot, boot) != 0) {
        FLO_TRY(mark_load(store, device, boot, fact, err));
    }
    FLO_TRY(outbox_begin(store, fact, err));
    FLO_TRY(event_insert(store, fact, &event, received_at_ms, is_new, err));
    FLO_TRY(*is_new ? 0 : is_another(store, fact, &event, &is_other, err));
    if (is_other) {
        FLO_TRY(outbox_part(store, device, fact, err));
        FLO_TRY(outbox_begin(store, fact, err));
        FLO_TRY(event_insert(store, fact, &event, received_at_ms, is_new, err));
    }
    if (*is_new && store->events % PRUNE_EVERY == 0) {
        FLO_TRY(events_prune(store, device, fact->book, err));
    }
    FLO_TRY(mark_move(store, device, fact, seq, from, *is_new, err));
    /* A known event vouches for no later one: the device may have others. */
    *mark = !*is_new && from > 0 && seq < fact->mark ? seq : fact->mark;
    return 0;
}

int flo_fleet_event_checkpoint(struct flo_fleet_store *store, const char *device, const char *boot,
                               uint64_t *mark, struct flo_err *err)
{
    struct flo_fleet_fact *fact = flo_fleet_fact(store, device);

    FLO_TRY(fact == NULL ? flo_fail(err, FLO_E_MEMORY, "event") : 0);
    if (strcmp(fact->boot, boot) != 0) {
        FLO_TRY(mark_load(store, device, boot, fact, err));
    }
    *mark = fact->is_mark_known ? fact->mark : 0;
    return 0;
}

int flo_fleet_event_told(struct flo_fleet_store *store, const char *device, const char *boot,
                         uint64_t last, bool *is_doubtful, struct flo_err *err)
{
    struct flo_fleet_fact *fact = flo_fleet_fact(store, device);
    uint64_t mark;

    FLO_TRY(flo_fleet_event_checkpoint(store, device, boot, &mark, err));
    bool is_less = mark > last;
    bool is_sure = is_less && fact->is_doubtful;
    *is_doubtful = fact->is_doubtful = is_less && !is_sure;
    return is_sure ? outbox_part(store, device, fact, err) : 0;
}

struct listing {
    struct flo_fleet_store *store;
    const char *device;
    uint64_t outbox; /* number of `boot` */
    char boot[37];
    flo_fleet_text_fn fn;
    void *context;
    struct flo_err *err;
};

static int take_boot(void *context, const struct flo_row *row)
{
    struct listing *listing = context;

    snprintf(listing->boot, sizeof(listing->boot), "%s",
             flo_row_text(row, FLO_FIELD_EVENT_CHECKPOINT_BOOT));
    return 0;
}

static int boot_of(struct listing *listing, uint64_t outbox)
{
    if (listing->outbox == outbox) {
        return 0;
    }
    listing->outbox = outbox;
    return flo_fleet_find_one(listing->store,
                              ROWS(EVENT_CHECKPOINT,
                                   text_is(FLO_FIELD_EVENT_CHECKPOINT_DEVICE, listing->device),
                                   number_is(FLO_FIELD_EVENT_CHECKPOINT_OUTBOX, outbox)),
                              take_boot, listing, NULL, listing->err);
}

static int take_event(void *context, const struct flo_row *row)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    struct listing *listing = context;
    const char *json = flo_row_text(row, FLO_FIELD_EVENT_JSON);

    if (flo_row_number(row, FLO_FIELD_EVENT_FORM) == 0) {
        return listing->fn(listing->context, json);
    }
    FLO_TRY(boot_of(listing, flo_row_number(row, FLO_FIELD_EVENT_OUTBOX)));
    flo_fleet_form_join(flo_row_text(row, FLO_FIELD_EVENT_FORM_TEXT),
                        &(struct flo_event_text){json, listing->boot,
                                                 flo_row_number(row, FLO_FIELD_EVENT_SEQ),
                                                 flo_row_number(row, FLO_FIELD_EVENT_AT)},
                        &text);
    return text.failed ? flo_fail(listing->err, FLO_E_MEMORY, "event")
                       : listing->fn(listing->context, text.data);
}

int flo_fleet_event_list(struct flo_fleet_store *store, const char *device, uint64_t below,
                         uint64_t limit, flo_fleet_text_fn fn, void *context, uint64_t *oldest,
                         struct flo_err *err)
{
    struct listing listing = {
        .store = store, .device = device, .fn = fn, .context = context, .err = err};
    uint64_t before = 0;
    uint64_t book;
    bool found = false;
    int rv = book_of(store, device, &book, err);

    if (rv == 0 && book != 0) {
        rv = newest_after(store, book, below, limit, &before, &found, err);
    }
    *oldest = found ? before + 1 : 0;
    FLO_TRY(rv);
    return limit == 0 || book == 0
               ? rv
               : flo_fleet_find(
                     store,
                     &(struct flo_query){
                         .table = FLO_TABLE_EVENT,
                         .join = FLO_FIELD_EVENT_FORM_NUMBER,
                         .by = FLO_FIELD_EVENT_FORM,
                         WHERE(number_is(FLO_FIELD_EVENT_BOOK, book),
                               number_how(FLO_FIELD_EVENT_ID, FLO_MATCH_ABOVE, found ? before : 0),
                               number_how(FLO_FIELD_EVENT_ID, FLO_MATCH_BELOW, below)),
                         SORTED(UP(EVENT_ID))},
                     take_event, &listing, err);
}
