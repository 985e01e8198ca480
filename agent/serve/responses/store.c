/* Store: stores responses in a list in memory, limited by their number and
 * bytes. */
#include "agent/serve/responses/store.h"

#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/rest.h>

#define ITEM_ID_BYTES_MAX 128
/* owner that stands for all clients together; no client has this number */
#define ALL UINT64_MAX

static size_t bytes_of(const struct responses_stored *one)
{
    return one->object.capacity + one->items.capacity;
}

static void drop(struct responses_stored **place)
{
    struct responses_stored *one = *place;

    *place = one->next;
    flo_buf_deinit(&one->object);
    flo_buf_deinit(&one->items);
    free(one);
}

/* ---- room ---- */

/* Number and bytes of the stored responses of one client, or of ALL. */
struct share {
    size_t count, bytes;
};

static struct share share_of(const struct flo_serve *serve, uint64_t owner)
{
    struct share share = {0};

    for (const struct responses_stored *one = serve->responses; one != NULL; one = one->next) {
        if (owner == ALL || one->owner == owner) {
            share.count++;
            share.bytes += bytes_of(one);
        }
    }
    return share;
}

/* Returns the oldest response of the client that stores most.
 * `is_short_of_bytes`: most bytes; false: most responses. */
static struct responses_stored **find_victim(struct flo_serve *serve, bool is_short_of_bytes)
{
    struct responses_stored **found = &serve->responses;
    size_t most = 0;

    for (struct responses_stored **place = &serve->responses; *place != NULL;
         place = &(*place)->next) {
        struct share share = share_of(serve, (*place)->owner);
        size_t has = is_short_of_bytes ? share.bytes : share.count;
        if (has > most) {
            most = has;
            found = place;
        }
    }
    return found;
}

static void make_room(struct flo_serve *serve)
{
    struct share all = share_of(serve, ALL);

    while (all.count > RESPONSES_STORED_MAX || all.bytes > RESPONSES_STORED_BYTES_MAX) {
        drop(find_victim(serve, all.bytes > RESPONSES_STORED_BYTES_MAX));
        all = share_of(serve, ALL);
    }
}

bool flo_responses_fits(size_t bytes)
{
    return bytes <= RESPONSES_STORED_ONE_BYTES_MAX;
}

void flo_responses_keep(struct flo_serve *serve, uint64_t owner, const char *id,
                        struct flo_buf *object, struct flo_buf *items, uint32_t n_input)
{
    struct responses_stored **place = &serve->responses;
    struct responses_stored *one = calloc(1, sizeof(*one));

    if (one == NULL) {
        return;
    }
    one->owner = owner;
    snprintf(one->id, sizeof(one->id), "%s", id);
    one->object = *object;
    one->items = *items;
    one->n_input = n_input;
    *object = *items = (struct flo_buf){0};
    while (*place != NULL) {
        place = &(*place)->next;
    }
    *place = one;
    make_room(serve);
}

/* ---- one by its id ---- */

bool flo_responses_may_see(uint64_t asks, uint64_t owner)
{
    return asks == owner || flo_party_is_owner(asks);
}

static struct responses_stored **place_of(struct responses_stored **list, uint64_t asks,
                                          const char *id)
{
    while (*list != NULL &&
           (!flo_responses_may_see(asks, (*list)->owner) || strcmp((*list)->id, id) != 0)) {
        list = &(*list)->next;
    }
    return list;
}

const struct responses_stored *flo_responses_find(const struct flo_serve *serve, uint64_t asks,
                                                  const char *id, struct flo_err *err)
{
    struct responses_stored *list = serve->responses;
    const struct responses_stored *one = *place_of(&list, asks, id);

    if (one == NULL) {
        flo_fail(err, FLO_E_REST_NOT_FOUND, "no response \"%.64s\" is stored", id);
        flo_err_fix(err, "set `store` to true in the request that makes it; "
                         "stored ones end with the agent's process");
    }
    return one;
}

/* The id is searched as a text between quotes in the list of items.  It cannot
 * be found inside of another text, because quotes are escaped there. */
const struct responses_stored *flo_responses_find_item(const struct flo_serve *serve,
                                                       uint64_t owner, const char *id)
{
    const struct responses_stored *found = NULL;
    char member[ITEM_ID_BYTES_MAX + 16];
    int bytes = snprintf(member, sizeof(member), "\"id\":\"%s\"", id);

    if (bytes >= (int)sizeof(member)) {
        return NULL;
    }
    for (const struct responses_stored *one = serve->responses; one != NULL; one = one->next) {
        if (one->owner == owner &&
            memmem(one->items.data, one->items.bytes, member, (size_t)bytes) != NULL) {
            found = one;
        }
    }
    return found;
}

bool flo_responses_delete(struct flo_serve *serve, uint64_t asks, const char *id)
{
    struct responses_stored **place = place_of(&serve->responses, asks, id);

    if (*place == NULL) {
        return false;
    }
    drop(place);
    return true;
}

void flo_responses_close(struct flo_serve *serve)
{
    while (serve->responses != NULL) {
        drop(&serve->responses);
    }
}
