/* Ids: a hash table with open addressing, of which half the places stay
 * free. */
#include <stdlib.h>
#include <string.h>

#include "server-stub/store/ids.h"

static size_t place_of(const struct flo_ids *ids, const char *id)
{
    size_t place = flo_crc32c(0, id, strlen(id)) & (ids->place_count - 1);

    while (ids->places[place] != 0 && strcmp(ids->items[ids->places[place] - 1], id) != 0) {
        place = (place + 1) & (ids->place_count - 1);
    }
    return place;
}

size_t flo_ids_find(const struct flo_ids *ids, const char *id)
{
    if (ids->place_count == 0) {
        return SIZE_MAX;
    }
    uint32_t number = ids->places[place_of(ids, id)];
    return number == 0 ? SIZE_MAX : number - 1;
}

static bool grow(struct flo_ids *ids)
{
    size_t capacity = ids->capacity == 0 ? 256 : 2 * ids->capacity;
    char(*items)[37] = realloc(ids->items, capacity * sizeof(*items));

    if (items == NULL) {
        return false;
    }
    ids->items = items;
    uint32_t *places = calloc(2 * capacity, sizeof(*places));
    if (places == NULL) {
        return false;
    }
    free(ids->places);
    ids->places = places;
    ids->place_count = 2 * capacity;
    ids->capacity = capacity;
    for (size_t i = 0; i < ids->count; i++) {
        places[place_of(ids, items[i])] = (uint32_t)i + 1;
    }
    return true;
}

size_t flo_ids_keep(struct flo_ids *ids, const char *id)
{
    size_t number = flo_ids_find(ids, id);

    if (number != SIZE_MAX) {
        return number;
    }
    if (ids->count == ids->capacity && !grow(ids)) {
        return SIZE_MAX;
    }
    ids->places[place_of(ids, id)] = (uint32_t)ids->count + 1;
    snprintf(ids->items[ids->count], sizeof(ids->items[0]), "%s", id);
    return ids->count++;
}

void flo_ids_deinit(struct flo_ids *ids)
{
    free(ids->items);
    free(ids->places);
    *ids = (struct flo_ids){0};
}
