/* Store: facts of devices that change with every message, in memory.
 *
 * The time of a device's last message and its memory use change all the time,
 * and may be lost.  They are written in batches now and then.  Whether a device
 * is connected, and which of its events are acknowledged, is needed by every
 * message, so both are read once.  A rollback keeps the facts, because they are
 * still true. */
#include <stdlib.h>
#include <string.h>

#include "server-stub/store/calls/kept.h"

struct flo_fleet_fact *flo_fleet_fact(struct flo_fleet_store *store, const char *id)
{
    struct flo_fleet_facts *facts = &store->facts;
    size_t known = facts->ids.count;
    size_t number = flo_ids_keep(&facts->ids, id);

    if (number == SIZE_MAX) {
        return NULL;
    }
    if (facts->capacity < facts->ids.capacity) {
        struct flo_fleet_fact *items = realloc(facts->items, facts->ids.capacity * sizeof(*items));
        if (items == NULL) {
            return NULL;
        }
        facts->items = items;
        facts->capacity = facts->ids.capacity;
    }
    if (number >= known) {
        facts->items[number] = (struct flo_fleet_fact){0};
    }
    return &facts->items[number];
}

struct flo_lives *flo_fleet_device_lives(struct flo_fleet_store *store, const char *id)
{
    struct flo_fleet_fact *fact = flo_fleet_fact(store, id);

    return fact == NULL ? NULL : &fact->lives;
}

size_t flo_fleet_number(struct flo_fleet_store *store, const char *id)
{
    struct flo_fleet_fact *fact = flo_fleet_fact(store, id);

    return fact != NULL ? (size_t)(fact - store->facts.items) : SIZE_MAX;
}

/* Notes the only order whose answer the device still owes.  Without memory
 * nothing is noted, and the order is looked up again. */
void flo_fleet_fact_awaits(struct flo_fleet_fact *fact, const char *order)
{
    free(fact->awaits);
    fact->awaits = order != NULL ? strdup(order) : NULL;
}

void flo_fleet_facts_deinit(struct flo_fleet_facts *facts)
{
    for (size_t i = 0; i < facts->ids.count && i < facts->capacity; i++) {
        free(facts->items[i].awaits);
    }
    flo_ids_deinit(&facts->ids);
    free(facts->items);
    *facts = (struct flo_fleet_facts){0};
}

void flo_outcome_books_forget(struct flo_fleet_store *store)
{
    for (size_t i = 0; i < FLO_COUNT(store->books.items); i++) {
        store->books.items[i].order[0] = '\0';
    }
}

void flo_fleet_facts_doubt(struct flo_fleet_store *store)
{
    flo_outcome_books_forget(store);
    for (size_t i = 0; i < FLO_COUNT(store->forms.items); i++) {
        store->forms.items[i].number = 0;
    }
    store->makings.is_known &= !store->makings.is_changed;
    store->makings.is_changed = false;
    for (size_t i = 0; i < store->facts.ids.count && i < store->facts.capacity; i++) {
        struct flo_fleet_fact *fact = &store->facts.items[i];
        fact->is_online_known = fact->is_mark_dirty = false;
        fact->awaits_nothing = false;
        flo_fleet_fact_awaits(fact, NULL);
        fact->hardware = fact->certificate = 0;
        fact->models = fact->model_names = 0;
        fact->boot[0] = '\0';
    }
}

void flo_fleet_facts_offline(struct flo_fleet_store *store)
{
    for (size_t i = 0; i < store->facts.ids.count && i < store->facts.capacity; i++) {
        store->facts.items[i].is_online_known = true;
        store->facts.items[i].is_online = false;
    }
}

void flo_fleet_device_ttft(struct flo_fleet_store *store, const char *id, uint64_t ttft_us)
{
    struct flo_fleet_fact *fact = flo_fleet_fact(store, id);

    if (fact != NULL && ttft_us > 0) {
        fact->ttft_us = ttft_us;
    }
}

void flo_fleet_device_heard(struct flo_fleet_store *store, const char *id, uint64_t at_ms,
                            uint64_t rss_bytes)
{
    struct flo_fleet_fact *fact = flo_fleet_fact(store, id);

    if (fact == NULL) {
        return;
    }
    /* a controller whose clock was ahead may have heard it in the future */
    if (at_ms != fact->seen_at_ms) {
        fact->seen_at_ms = at_ms;
        fact->is_dirty = true;
    }
    if (rss_bytes != 0 && rss_bytes != fact->rss_bytes) {
        fact->rss_bytes = rss_bytes;
        fact->is_dirty = true;
    }
}

bool flo_fleet_device_hardware(struct flo_fleet_store *store, const char *id, const char *hardware)
{
    struct flo_fleet_fact *fact = flo_fleet_fact(store, id);
    uint32_t checksum = flo_crc32c(0, hardware, strlen(hardware));

    if (fact == NULL || fact->hardware == checksum) {
        return fact == NULL;
    }
    fact->hardware = checksum;
    return true;
}

bool flo_fleet_device_seems_online(struct flo_fleet_store *store, const char *id)
{
    const struct flo_fleet_fact *fact = flo_fleet_fact(store, id);

    return fact != NULL && fact->is_online_known && fact->is_online;
}

int flo_fleet_online_each(struct flo_fleet_store *store, flo_fleet_id_fn fn, void *context)
{
    struct flo_fleet_facts *facts = &store->facts;
    int rv = 0;

    for (size_t i = 0; i < facts->ids.count && i < facts->capacity && rv == 0; i++) {
        const struct flo_fleet_fact *fact = &facts->items[i];
        if (fact->is_online_known && fact->is_online) {
            rv = fn(context, facts->ids.items[i]);
        }
    }
    return rv;
}

bool flo_fleet_device_may_ask(struct flo_fleet_store *store, const char *device, uint64_t pause_ms,
                              bool *is_back)
{
    struct flo_fleet_fact *fact = flo_fleet_fact(store, device);
    uint64_t now_ms = flo_now_ms();

    *is_back = fact != NULL && fact->is_back;
    if (fact == NULL ||
        (!fact->is_back && fact->asked_at_ms != 0 && now_ms - fact->asked_at_ms < pause_ms)) {
        return false;
    }
    fact->is_back = false;
    fact->asked_at_ms = now_ms;
    return true;
}

int flo_fleet_mark_put(struct flo_fleet_store *store, const char *device,
                       const struct flo_fleet_fact *fact, struct flo_err *err)
{
    return flo_fleet_put(store, FLO_TABLE_EVENT_CHECKPOINT,
                         CHANGES(set_text(FLO_FIELD_EVENT_CHECKPOINT_DEVICE, device),
                                 set_text(FLO_FIELD_EVENT_CHECKPOINT_BOOT, fact->boot),
                                 set_number(FLO_FIELD_EVENT_CHECKPOINT_SEQ, fact->mark),
                                 set_number(FLO_FIELD_EVENT_CHECKPOINT_BOOK, fact->book),
                                 set_number(FLO_FIELD_EVENT_CHECKPOINT_OUTBOX, fact->outbox)),
                         err);
}

static int write_one(struct flo_fleet_store *store, const char *id, struct flo_fleet_fact *fact,
                     struct flo_err *err)
{
    const struct flo_field_change changes[] = {
        set_number(FLO_FIELD_DEVICE_SEEN_AT, fact->seen_at_ms),
        set_number(FLO_FIELD_DEVICE_RSS, fact->rss_bytes)};

    FLO_TRY(flo_fleet_update(store, FLO_TABLE_DEVICE, changes, fact->rss_bytes != 0 ? 2 : 1,
                             MATCHES(text_is(FLO_FIELD_DEVICE_ID, id)), NULL, err));
    if (fact->is_mark_dirty) {
        FLO_TRY(flo_fleet_mark_put(store, id, fact, err));
    }
    fact->is_dirty = fact->is_mark_dirty = false;
    return 0;
}

int flo_fleet_facts_write(struct flo_fleet_store *store, size_t count_max, size_t *from,
                          struct flo_err *err)
{
    struct flo_fleet_facts *facts = &store->facts;
    int rv = 0;

    for (; *from < facts->ids.count && count_max > 0 && rv == 0; ++*from) {
        struct flo_fleet_fact *fact = &facts->items[*from];
        if (fact->is_dirty || fact->is_mark_dirty) {
            rv = write_one(store, facts->ids.items[*from], fact, err);
            count_max--;
        }
    }
    if (*from >= facts->ids.count) {
        *from = SIZE_MAX;
    }
    return rv;
}
