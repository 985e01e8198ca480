/* Digest lists: adds to lists of digests and searches them. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/base.h>

bool flo_digest_is_among(const struct flo_digest *digest, const struct flo_digest *list,
                         size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (flo_digest_equal(&list[i], digest)) {
            return true;
        }
    }
    return false;
}

void flo_digest_list_add(struct flo_digest_list *list, const struct flo_digest *digest)
{
    if (flo_digest_is_zero(digest)) {
        return;
    }
    if (!flo_grow(&list->items, &list->room, list->count, sizeof(*list->items))) {
        list->failed = true;
        return;
    }
    list->items[list->count++] = *digest;
}

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct flo_digest));
}

void flo_digest_list_sort(struct flo_digest_list *list)
{
    if (list->count > 0) {
        qsort(list->items, list->count, sizeof(*list->items), compare);
    }
}

bool flo_digest_list_has(const struct flo_digest_list *list, const struct flo_digest *digest)
{
    return list->count > 0 &&
           bsearch(digest, list->items, list->count, sizeof(*digest), compare) != NULL;
}

void flo_digest_list_deinit(struct flo_digest_list *list)
{
    free(list->items);
    *list = (struct flo_digest_list){0};
}
