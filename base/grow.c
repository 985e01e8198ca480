/* Arrays that grow: room for one more item. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/base.h>

enum { ITEMS_FIRST = 16 };

bool flo_grow(void *pointer_to_items, size_t *room, size_t count, size_t item_bytes)
{
    size_t wanted = 2 * *room + ITEMS_FIRST;
    void *items;

    if (count < *room) {
        return true;
    }
    memcpy(&items, pointer_to_items, sizeof(items));
    items = wanted > SIZE_MAX / item_bytes ? NULL : realloc(items, wanted * item_bytes);
    if (items == NULL) {
        return false;
    }
    memcpy(pointer_to_items, &items, sizeof(items));
    *room = wanted;
    return true;
}

int flo_grow_or_fail(void *pointer_to_items, size_t *room, size_t count, size_t item_bytes,
                     const char *what, struct flo_err *err)
{
    return flo_grow(pointer_to_items, room, count, item_bytes)
               ? 0
               : flo_fail(err, FLO_E_MEMORY, "%zu %s", 2 * *room + ITEMS_FIRST, what);
}
