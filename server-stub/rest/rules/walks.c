#include "server-stub/rest/walks.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/host/json.h"
#include "server-stub/store/ids.h"

#define WALKS 256
/* numbers of walks are exact in JSON */
#define NUMBER_MASK ((UINT64_C(1) << 53) - 1)

struct flo_walk {
    uint64_t number;      /* 0: the place is free */
    uint64_t used;        /* turn of its last page */
    struct flo_ids given; /* in the order of giving */
};

struct flo_walks {
    uint64_t turn;
    struct flo_walk items[WALKS];
    size_t ids; /* number of ids in all */
};

static void end(struct flo_walks *walks, struct flo_walk *walk)
{
    walks->ids -= walk->given.count;
    flo_ids_deinit(&walk->given);
    *walk = (struct flo_walk){0};
}

/* Returns a free place or, with `but`, only a walk that is another; else the walk
 * whose last page is longest ago. */
static struct flo_walk *oldest(struct flo_walks *walks, const struct flo_walk *but)
{
    struct flo_walk *found = NULL;

    for (size_t i = 0; i < WALKS; i++) {
        struct flo_walk *walk = &walks->items[i];
        bool counts = but == NULL || (walk != but && walk->number != 0);
        if (counts && (found == NULL || walk->used < found->used)) {
            found = walk;
        }
    }
    return found;
}

struct flo_walk *flo_walk_begin(struct flo_rest *rest)
{
    if (rest->walks == NULL && (rest->walks = calloc(1, sizeof(*rest->walks))) == NULL) {
        return NULL;
    }
    struct flo_walk *walk = oldest(rest->walks, NULL);
    end(rest->walks, walk);
    flo_random(&walk->number, sizeof(walk->number));
    walk->number = (walk->number & NUMBER_MASK) | 1;
    walk->used = ++rest->walks->turn;
    return walk;
}

bool flo_walk_gave(const struct flo_walk *walk, const char *id)
{
    return walk != NULL && flo_ids_find(&walk->given, id) != SIZE_MAX;
}

/* A walk that lacks an id would give it twice, so it ends if there is no memory. */
void flo_walk_give(struct flo_rest *rest, struct flo_walk *walk, const char *id)
{
    if (walk == NULL || walk->number == 0) {
        return;
    }
    size_t before = walk->given.count;
    bool is_kept = flo_ids_keep(&walk->given, id) != SIZE_MAX;
    rest->walks->ids += walk->given.count - before;
    if (!is_kept) {
        end(rest->walks, walk);
        return;
    }
    while (rest->walks->ids > FLO_WALKS_IDS && rest->walks->ids > walk->given.count) {
        end(rest->walks, oldest(rest->walks, walk));
    }
}

/* Finds a walk as it was when it had given `count` ids: its client asks for a page
 * again whose answer it did not get. */
static struct flo_walk *find(struct flo_rest *rest, uint64_t number, size_t count)
{
    struct flo_walk *walk = NULL;

    for (size_t i = 0; rest->walks != NULL && i < WALKS && number != 0; i++) {
        walk = rest->walks->items[i].number == number ? &rest->walks->items[i] : walk;
    }
    if (walk == NULL || walk->given.count < count) {
        return NULL;
    }
    walk->used = ++rest->walks->turn;
    if (walk->given.count == count) {
        return walk;
    }
    struct flo_ids more = walk->given;
    rest->walks->ids -= more.count;
    walk->given = (struct flo_ids){0};
    for (size_t i = 0; i < count; i++) {
        flo_walk_give(rest, walk, more.items[i]);
    }
    flo_ids_deinit(&more);
    return walk->number == 0 ? NULL : walk;
}

/* ---- cursors ---- */

/* Reads [walk, ids given, key ...]. */
static json_t *read_keys(const char *cursor, size_t count, uint64_t *number, size_t *given)
{
    size_t chars = strlen(cursor);
    uint8_t json[FLO_WALK_TEXT];
    json_t *keys = NULL;

    ptrdiff_t bytes = chars < FLO_WALK_TEXT ? flo_base64url_decode(cursor, chars, json) : -1;
    bool is_read = bytes > 0 && flo_json_parse((const char *)json, (size_t)bytes, sizeof(json),
                                               &keys, NULL) == 0;
    bool fits = is_read && json_is_array(keys) && json_array_size(keys) == count + 2;
    for (size_t i = 0; fits && i < count + 2; i++) {
        const json_t *key = json_array_get(keys, i);
        fits = i < 2 ? json_is_integer(key) && json_integer_value(key) >= 0
                     : json_is_null(key) || json_is_string(key) || json_is_number(key);
    }
    if (!fits) {
        json_decref(keys);
        return NULL;
    }
    *number = (uint64_t)json_integer_value(json_array_get(keys, 0));
    *given = (size_t)json_integer_value(json_array_get(keys, 1));
    json_array_remove(keys, 0);
    json_array_remove(keys, 0);
    return keys;
}

int flo_walk_open(struct flo_rest_call *call, size_t count, json_t **keys, struct flo_walk **walk,
                  struct flo_err *err)
{
    const char *cursor = flo_httpd_query(call->request, "cursor");
    uint64_t number;
    size_t given;

    *keys = NULL;
    *walk = NULL;
    if (cursor == NULL) {
        return 0;
    }
    *keys = read_keys(cursor, count, &number, &given);
    if (*keys == NULL) {
        return flo_rest_cursor_fails(cursor, err);
    }
    *walk = find(call->rest, number, given);
    return 0;
}

json_t *flo_walk_text(const char *text)
{
    char key[FLO_WALK_KEY + 1];

    snprintf(key, sizeof(key), "%s", text);
    return json_stringn(key, flo_utf8_valid(key, strlen(key)));
}

int flo_walk_cursor(const struct flo_walk *walk, json_t *keys, char out[FLO_WALK_TEXT],
                    struct flo_err *err)
{
    json_array_insert_new(keys, 0, json_integer(walk != NULL ? (json_int_t)walk->given.count : 0));
    json_array_insert_new(keys, 0, json_integer(walk != NULL ? (json_int_t)walk->number : 0));
    char *text = json_dumps(keys, JSON_COMPACT);
    json_decref(keys);
    if (text == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "a cursor");
    }
    assert(4 * ((strlen(text) + 2) / 3) < FLO_WALK_TEXT);
    flo_base64url_encode(text, strlen(text), out);
    free(text);
    return 0;
}

void flo_walks_close(struct flo_rest *rest)
{
    for (size_t i = 0; rest->walks != NULL && i < WALKS; i++) {
        flo_ids_deinit(&rest->walks->items[i].given);
    }
    free(rest->walks);
    rest->walks = NULL;
}
