/* Form: finds the boundaries of a form in bytes that arrive in pieces. */
#include "agent/serve/batch/form.h"

#include <stdlib.h>
#include <string.h>

#define HEAD_BYTES_MAX 16384
#define PARTS_MAX 16
#define LIFETIME_S_MIN 3600
#define LIFETIME_S_MAX 2592000

int flo_batch_form_open(struct flo_batch_form *form, const char *content_type, struct flo_err *err)
{
    int rv = flo_multipart_open(&form->multipart, content_type, "", 0, err);

    form->held.bytes_max = 1u << 20;
    /* The first boundary has no line end before it, so one is added. */
    flo_buf_text(&form->held, "\r\n");
    return rv;
}

/* ---- one part ---- */

static int begin_part(struct flo_batch_form *form, const char *head, size_t bytes,
                      struct flo_err *err)
{
    char name[FLO_OBJECT_NAME_MAX + 1] = "";

    if (++form->parts > PARTS_MAX) {
        return flo_multipart_refuse(err, "more than 16 parts");
    }
    if (memchr(head, '\0', bytes) != NULL) {
        return flo_multipart_refuse(err, "the head of a part has a NUL");
    }
    FLO_TRY(flo_multipart_heads(head, bytes, form->field, sizeof(form->field), name, sizeof(name),
                                err));
    form->is_file = strcmp(form->field, "file") == 0;
    form->value_bytes = 0;
    if (form->is_file && form->has_file) {
        return flo_multipart_refuse(err, "it has two files");
    }
    if (form->is_file) {
        form->has_file = true;
        flo_text_clean(name, strlen(name), form->name, sizeof(form->name));
    }
    return 0;
}

static int take_data(struct flo_batch_form *form, const char *data, size_t bytes,
                     struct flo_err *err)
{
    if (form->state != FORM_DATA || bytes == 0) {
        return 0;
    }
    if (form->is_file) {
        return form->take(form->context, data, bytes, err);
    }
    size_t room = sizeof(form->value) - 1 - form->value_bytes;
    if (bytes > room) {
        return flo_multipart_refuse(err, "a field has more than 63 bytes");
    }
    memcpy(form->value + form->value_bytes, data, bytes);
    form->value_bytes += bytes;
    return 0;
}

static void end_part(struct flo_batch_form *form)
{
    const struct {
        const char *field;
        char *value;
    } fields[] = {
        {"purpose", form->purpose},
        {"expires_after[anchor]", form->anchor},
        {"expires_after[seconds]", form->seconds},
    };

    form->value[form->value_bytes] = '\0';
    for (size_t i = 0; !form->is_file && i < FLO_COUNT(fields); i++) {
        if (strcmp(fields[i].field, form->field) == 0) {
            strcpy(fields[i].value, form->value);
        }
    }
}

/* ---- bytes ---- */

/* Reads the bytes that have arrived; *used gets how many were consumed. Returns
 * false when more bytes must arrive first. */
static bool go_on(struct flo_batch_form *form, const char *data, size_t bytes, size_t *used,
                  int *rv, struct flo_err *err)
{
    const char *mark = form->multipart.mark;
    size_t mark_bytes = form->multipart.mark_bytes;
    const char *found;

    *used = 0;
    switch (form->state) {
    case FORM_SKIP:
    case FORM_DATA:
        found = memmem(data, bytes, mark, mark_bytes);
        *used = found != NULL        ? (size_t)(found - data)
                : bytes > mark_bytes ? bytes - mark_bytes
                                     : 0;
        *rv = take_data(form, data, *used, err);
        if (found == NULL || *rv < 0) {
            return false;
        }
        if (form->state == FORM_DATA) {
            end_part(form);
        }
        *used += mark_bytes;
        form->state = FORM_MARK;
        return true;
    case FORM_MARK:
        if (bytes < 2) {
            return false;
        }
        *used = 2;
        form->state = memcmp(data, "--", 2) == 0 ? FORM_END : FORM_HEAD;
        *rv = form->state == FORM_HEAD && memcmp(data, "\r\n", 2) != 0
                  ? flo_multipart_refuse(err, "a boundary is not alone on its line")
                  : 0;
        return *rv == 0;
    case FORM_HEAD:
        found = memmem(data, bytes, "\r\n\r\n", 4);
        if (found == NULL) {
            *rv = bytes > HEAD_BYTES_MAX
                      ? flo_multipart_refuse(err, "the head of a part has no end")
                      : 0;
            return false;
        }
        *used = (size_t)(found - data) + 4;
        *rv = begin_part(form, data, *used - 2, err);
        form->state = FORM_DATA;
        return *rv == 0;
    default:
        *used = bytes;
        return false;
    }
}

int flo_batch_form_feed(struct flo_batch_form *form, const char *data, size_t bytes,
                        struct flo_err *err)
{
    struct flo_buf *held = &form->held;
    size_t at = 0, used;
    int rv = 0;
    bool goes_on = true;

    flo_buf_add(held, data, bytes);
    if (held->failed) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for a form");
    }
    while (goes_on) {
        goes_on = go_on(form, held->data + at, held->bytes - at, &used, &rv, err);
        at += used;
    }
    memmove(held->data, held->data + at, held->bytes - at);
    held->bytes -= at;
    return rv;
}

int flo_batch_form_end(struct flo_batch_form *form, uint64_t *lifetime_s, struct flo_err *err)
{
    const char *seconds = form->seconds;
    size_t chars = strlen(seconds);

    *lifetime_s = 0;
    if (form->state != FORM_END) {
        return flo_multipart_refuse(err, "its end is missing");
    }
    if (!form->has_file) {
        return flo_multipart_refuse(err, "the field file is missing");
    }
    if (strcmp(form->purpose, "batch") != 0) {
        return flo_fail(err, FLO_E_INFER_PARAM,
                        "purpose must be batch: files of another purpose are "
                        "not kept here");
    }
    if (chars == 0 && form->anchor[0] == '\0') {
        return 0;
    }
    if (chars > 0 && chars < 10 && strspn(seconds, "0123456789") == chars) {
        *lifetime_s = strtoull(seconds, NULL, 10);
    }
    if (strcmp(form->anchor, "created_at") != 0 || *lifetime_s < LIFETIME_S_MIN ||
        *lifetime_s > LIFETIME_S_MAX) {
        return flo_fail(err, FLO_E_INFER_PARAM,
                        "expires_after must have anchor created_at and seconds "
                        "from %d to %d",
                        LIFETIME_S_MIN, LIFETIME_S_MAX);
    }
    return 0;
}

void flo_batch_form_deinit(struct flo_batch_form *form)
{
    flo_buf_deinit(&form->held);
}
