/* Store: outcomes of recently requested orders on all devices, in memory.
 *
 * A book holds the outcomes of one order, with one byte for each known device.
 * It is read once, when the progress of the order is requested.  From then on
 * each answer updates it.  So thousands of answers and progress requests read
 * no rows, and a repeated answer changes none. */
#include <stdlib.h>
#include <string.h>

#include "server-stub/store/calls/orders.h"
#include "server-stub/store/making.h"

static void set(struct flo_outcome_book *book, size_t number, enum flo_order_outcome outcome)
{
    if (number >= book->count) {
        size_t count = number + number / 2 + 64;
        uint8_t *items = realloc(book->items, count);
        if (items == NULL) {
            /* an empty order id marks these outcomes as unknown, so they are
             * read from the table again */
            book->order[0] = '\0';
            return;
        }
        memset(items + book->count, 0, count - book->count);
        book->items = items;
        book->count = count;
    }
    book->items[number] = (uint8_t)outcome + 1;
}

/* Returns the outcomes of an order that are in memory, by device.  Returns NULL
 * when the order's progress was not requested recently. */
static struct flo_outcome_book *book_of(struct flo_fleet_store *store, const char *order)
{
    for (size_t i = 0; i < FLO_COUNT(store->books.items); i++) {
        if (strcmp(store->books.items[i].order, order) == 0) {
            return &store->books.items[i];
        }
    }
    return NULL;
}

struct reading {
    struct flo_fleet_store *store;
    struct flo_outcome_book *book;
    struct flo_err *err;
};

static int take_outcome(void *context, const struct flo_row *row)
{
    struct reading *reading = context;
    size_t number = flo_fleet_number(reading->store, flo_row_text(row, FLO_FIELD_OUTCOME_DEVICE));

    if (number != SIZE_MAX) {
        set(reading->book, number,
            (enum flo_order_outcome)flo_row_number(row, FLO_FIELD_OUTCOME_OUTCOME));
    }
    return number == SIZE_MAX || reading->book->order[0] == '\0'
               ? flo_fail(reading->err, FLO_E_MEMORY, "an order's answers")
               : 0;
}

static void await_number(void *context, size_t number)
{
    struct flo_outcome_book *book = context;

    if (number >= book->count || book->items[number] == 0) {
        set(book, number, FLO_OUTCOME_PENDING);
    }
}

/* Counts the devices whose row for the order is not made yet as awaited. */
static int await_unmade(struct flo_fleet_store *store, const char *order,
                        struct flo_outcome_book *book, struct flo_err *err)
{
    const struct flo_making *making;

    FLO_TRY(flo_fleet_making_of(store, order, &making, err));
    return making == NULL ? 0
                          : flo_fleet_numbers_each(store, making->group, making->made, await_number,
                                                   book, err);
}

int flo_outcome_book_read(struct flo_fleet_store *store, const char *order,
                          struct flo_outcome_book **out, struct flo_err *err)
{
    struct flo_outcome_book *book = book_of(store, order);
    int rv = 0;

    if (book == NULL) {
        book = &store->books.items[store->books.next++ % FLO_COUNT(store->books.items)];
        struct reading reading = {store, book, err};
        snprintf(book->order, sizeof(book->order), "%s", order);
        if (book->count > 0) {
            memset(book->items, 0, book->count);
        }
        rv = flo_fleet_find(store, &ROWS(OUTCOME, text_is(FLO_FIELD_OUTCOME_ORDER, order)),
                            take_outcome, &reading, err);
        if (rv == 0) {
            rv = await_unmade(store, order, book, err);
        }
    }
    if (rv < 0) {
        book->order[0] = '\0';
        return rv;
    }
    *out = book;
    return 0;
}

void flo_outcome_book_write(struct flo_fleet_store *store, const char *order, const char *device,
                            enum flo_order_outcome outcome)
{
    struct flo_outcome_book *book = book_of(store, order);
    size_t number = book == NULL ? SIZE_MAX : flo_fleet_number(store, device);

    if (number != SIZE_MAX) {
        set(book, number, outcome);
    } else if (book != NULL) {
        book->order[0] = '\0';
    }
}

void flo_fleet_making_pass(struct flo_fleet_store *store, const char *order, const char *device)
{
    struct flo_outcome_book *book = book_of(store, order);
    size_t number = book == NULL ? SIZE_MAX : flo_fleet_number(store, device);

    if (number < (book == NULL ? 0 : book->count)) {
        book->items[number] = 0;
    }
}

enum flo_outcome_news flo_outcome_book_news(struct flo_fleet_store *store, const char *order,
                                            const char *device, enum flo_order_outcome next)
{
    const struct flo_outcome_book *book = book_of(store, order);
    size_t number = book == NULL ? SIZE_MAX : flo_fleet_number(store, device);

    if (number == SIZE_MAX) {
        return FLO_NEWS_MAYBE;
    }
    bool is_news = number < book->count && book->items[number] != 0 &&
                   flo_outcome_is_news((enum flo_order_outcome)(book->items[number] - 1), next);
    return is_news ? FLO_NEWS_SURE : FLO_NEWS_NONE;
}

void flo_outcome_books_deinit(struct flo_fleet_store *store)
{
    for (size_t i = 0; i < FLO_COUNT(store->books.items); i++) {
        free(store->books.items[i].items);
        store->books.items[i] = (struct flo_outcome_book){0};
    }
}
