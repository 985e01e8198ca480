/* Multipart: splits a form at its boundaries; each part begins with headers.
 *
 * A part without a name is an error, because nothing else identifies it.  Only
 * the names in the headers are used. */
#include "agent/serve/openai/multipart.h"

#include <string.h>
#include <strings.h>

#define LINES_MAX 16
#define LINE_BYTES_MAX 1024

int flo_multipart_refuse(struct flo_err *err, const char *what)
{
    return flo_fail(err, FLO_E_REST_SCHEMA, "the form: %s", what);
}

static const char *find(const char *at, const char *end, const char *what, size_t bytes)
{
    return end > at ? memmem(at, (size_t)(end - at), what, bytes) : NULL;
}

/* ---- the boundary ---- */

/* Reads the value of the parameter `name` in a header, with or without
 * quotes. */
static bool value_of(const char *head, size_t bytes, const char *name, char *out, size_t out_bytes)
{
    size_t chars = strlen(name), n = 0;
    const char *end = head + bytes;

    for (const char *p = head; p < end; p++) {
        if (*p != ';') {
            continue;
        }
        p++;
        while (p < end && (*p == ' ' || *p == '\t')) {
            p++;
        }
        if ((size_t)(end - p) <= chars || strncasecmp(p, name, chars) != 0 || p[chars] != '=') {
            p--;
            continue;
        }
        p += chars + 1;
        bool is_quoted = p < end && *p == '"';
        p += is_quoted;
        for (; p < end && n + 1 < out_bytes; p++) {
            if (is_quoted ? *p == '"' : *p == ';' || *p == ' ') {
                break;
            }
            out[n++] = *p;
        }
        out[n] = '\0';
        return n > 0;
    }
    return false;
}

int flo_multipart_open(struct flo_multipart *form, const char *content_type, const char *body,
                       size_t bytes, struct flo_err *err)
{
    static const char kind[] = "multipart/form-data";
    char boundary[FLO_MULTIPART_BOUNDARY_MAX + 2];

    *form = (struct flo_multipart){.at = body, .end = body + bytes};
    if (content_type == NULL || strncasecmp(content_type, kind, sizeof(kind) - 1) != 0 ||
        !value_of(content_type, strlen(content_type), "boundary", boundary, sizeof(boundary)) ||
        strlen(boundary) > FLO_MULTIPART_BOUNDARY_MAX) {
        return flo_fail(err, FLO_E_REST_SCHEMA,
                        "the body is no multipart/form-data with a boundary of "
                        "at most %d characters",
                        FLO_MULTIPART_BOUNDARY_MAX);
    }
    snprintf(form->mark, sizeof(form->mark), "\r\n--%.*s", FLO_MULTIPART_BOUNDARY_MAX, boundary);
    form->mark_bytes = strlen(form->mark);
    return 0;
}

/* ---- parts ---- */

/* Reads what follows a boundary.  Returns 1 if a part follows, 0 after the last
 * boundary. */
static int after_mark(struct flo_multipart *form, struct flo_err *err)
{
    size_t left = (size_t)(form->end - form->at);

    if (left >= 2 && memcmp(form->at, "--", 2) == 0) {
        form->at = form->end;
        return 0;
    }
    if (left < 2 || memcmp(form->at, "\r\n", 2) != 0) {
        return flo_multipart_refuse(err, "a boundary is not alone on its line");
    }
    form->at += 2;
    return 1;
}

/* Finds the first boundary, which has no line end before it. */
static int begin(struct flo_multipart *form, struct flo_err *err)
{
    size_t left = (size_t)(form->end - form->at);
    size_t n = form->mark_bytes - 2;

    form->has_begun = true;
    if (left >= n && memcmp(form->at, form->mark + 2, n) == 0) {
        form->at += n;
        return 0;
    }
    const char *mark = find(form->at, form->end, form->mark, form->mark_bytes);
    if (mark == NULL) {
        return flo_multipart_refuse(err, "its boundary is not there");
    }
    form->at = mark + form->mark_bytes;
    return 0;
}

static int read_heads(struct flo_multipart *form, struct flo_multipart_part *part,
                      struct flo_err *err)
{
    static const char head[] = "content-disposition:";

    for (int line = 0; line < LINES_MAX; line++) {
        const char *end = find(form->at, form->end, "\r\n", 2);
        size_t bytes = end == NULL ? 0 : (size_t)(end - form->at);
        const char *text = form->at;
        if (end == NULL || bytes > LINE_BYTES_MAX) {
            break;
        }
        form->at = end + 2;
        if (bytes == 0) {
            return part->name[0] != '\0' ? 0 : flo_multipart_refuse(err, "a part has no name");
        }
        if (bytes > sizeof(head) - 1 && strncasecmp(text, head, sizeof(head) - 1) == 0) {
            (void)value_of(text, bytes, "name", part->name, sizeof(part->name));
        }
    }
    return flo_multipart_refuse(err, "the head of a part has no end");
}

int flo_multipart_next(struct flo_multipart *form, struct flo_multipart_part *part,
                       struct flo_err *err)
{
    *part = (struct flo_multipart_part){.data = NULL};
    if (form->at == form->end && form->has_begun) {
        return 0;
    }
    FLO_TRY(form->has_begun ? 0 : begin(form, err));
    int rv = after_mark(form, err);
    if (rv <= 0) {
        return rv;
    }
    FLO_TRY(read_heads(form, part, err));
    const char *mark = find(form->at, form->end, form->mark, form->mark_bytes);
    if (mark == NULL) {
        return flo_multipart_refuse(err, "a part has no end");
    }
    part->data = form->at;
    part->bytes = (size_t)(mark - form->at);
    form->at = mark + form->mark_bytes;
    return 1;
}

int flo_multipart_heads(const char *head, size_t bytes, char *name, size_t name_bytes, char *file,
                        size_t file_bytes, struct flo_err *err)
{
    static const char wanted[] = "content-disposition:";
    const char *at = head, *last = head + bytes, *end;

    name[0] = file[0] = '\0';
    while ((end = find(at, last, "\r\n", 2)) != NULL) {
        size_t chars = (size_t)(end - at);
        if (chars > sizeof(wanted) - 1 && strncasecmp(at, wanted, sizeof(wanted) - 1) == 0) {
            (void)value_of(at, chars, "name", name, name_bytes);
            (void)value_of(at, chars, "filename", file, file_bytes);
        }
        at = end + 2;
    }
    return name[0] != '\0' ? 0 : flo_multipart_refuse(err, "a part has no name");
}
