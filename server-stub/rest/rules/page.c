/* REST: lists in pages.  A cursor is the key of the page's last element, so
 * rows that are added or removed between two pages make no row appear twice,
 * and hide none.  A list whose keys change is a walk (walks.h). */
#include <stdlib.h>
#include <string.h>

#include "server-stub/rest/rest.h"

bool flo_rest_page_takes(struct flo_rest_page *page)
{
    page->has_more = json_array_size(page->items) >= page->limit;
    return !page->has_more;
}

void flo_rest_page_end(struct flo_rest_call *call, struct flo_rest_page *page)
{
    call->out = flo_rest_list(page->items, page->has_more ? page->last : NULL);
}

int flo_rest_cursor_fails(const char *cursor, struct flo_err *err)
{
    flo_fail(err, FLO_E_REST_MEANING, "cursor: %.80s is of no page of this list", cursor);
    flo_err_at(err, "?cursor");
    flo_err_fix(err, "begin without a cursor, and take `next` of each page");
    return FLO_E_REST_MEANING;
}

int flo_rest_cursor(const struct flo_rest_call *call, char mark, char *text, uint64_t *number,
                    struct flo_err *err)
{
    const char *cursor = flo_httpd_query(call->request, "cursor");
    const char *cut = cursor != NULL ? strchr(cursor, mark) : NULL;

    text[0] = '\0';
    *number = 0;
    if (cursor == NULL) {
        return 0;
    }
    if (cut != NULL && mark == '@') {
        snprintf(text, FLO_CURSOR_TEXT, "%.*s", (int)(cut - cursor), cursor);
        *number = strtoull(cut + 1, NULL, 10);
    } else if (cut != NULL) {
        snprintf(text, FLO_CURSOR_TEXT, "%s", cut + 1);
        *number = strtoull(cursor, NULL, 10);
    }
    if (*number > 0 && *number < FLO_FLEET_ALL) {
        return 0;
    }
    return flo_rest_cursor_fails(cursor, err);
}

/* ---- Link ---- */

static void add_escaped(struct flo_buf *out, const char *text)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
                                "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~";

    for (; *text != '\0'; text++) {
        if (strchr(plain, *text) != NULL) {
            flo_buf_add(out, text, 1);
        } else {
            flo_buf_printf(out, "%%%02X", (unsigned char)*text);
        }
    }
}

void flo_rest_link_next(struct flo_rest_call *call)
{
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) link = {.bytes_max = 4096};
    const char *next = json_string_value(json_object_get(call->out, "next"));
    const char *name;

    if (next == NULL || json_object_get(call->out, "items") == NULL) {
        return;
    }
    flo_buf_printf(&link, "<%s?", flo_httpd_path(call->request));
    for (size_t i = 0; (name = flo_httpd_query_name(call->request, i)) != NULL; i++) {
        if (strcmp(name, "cursor") != 0) {
            add_escaped(&link, name);
            flo_buf_text(&link, "=");
            add_escaped(&link, flo_httpd_query(call->request, name));
            flo_buf_text(&link, "&");
        }
    }
    flo_buf_text(&link, "cursor=");
    add_escaped(&link, next);
    flo_buf_text(&link, ">; rel=\"next\"");
    if (!link.failed) {
        flo_httpd_add_header(call->request, "Link", link.data);
    }
}
