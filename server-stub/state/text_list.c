/* Text lists. */
#include <stdlib.h>
#include <string.h>

#include "server-stub/state/text_list.h"

void flo_text_list_add(struct flo_text_list *list, const char *text)
{
    if (list->count > 0 && strcmp(list->items[list->count - 1], text) == 0) {
        return;
    }
    if (!flo_grow(&list->items, &list->capacity, list->count, sizeof(*list->items))) {
        /* the text is lost without memory; its message is published again
         * at the next connection */
        return;
    }
    char *copy = strdup(text);
    if (copy != NULL) {
        list->items[list->count++] = copy;
    }
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void flo_text_list_unique(struct flo_text_list *list)
{
    size_t kept = 0;

    if (list->count < 2) {
        return;
    }
    qsort(list->items, list->count, sizeof(*list->items), by_text);
    for (size_t i = 0; i < list->count; i++) {
        if (kept > 0 && strcmp(list->items[kept - 1], list->items[i]) == 0) {
            free(list->items[i]);
        } else {
            list->items[kept++] = list->items[i];
        }
    }
    list->count = kept;
}

void flo_text_list_clear(struct flo_text_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->items[i]);
    }
    free(list->items);
    *list = (struct flo_text_list){0};
}
