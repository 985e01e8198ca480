/* Jinja: cuts, joins and builds texts, each byte of which keeps its mark. */
#include "engine/chat/jinja/interpreter.h"

/* ---- two texts ---- */

static void add(struct jinja_run *run, struct jinja_text text)
{
    struct jinja_tail *tail = &run->tail;

    memcpy(tail->data + tail->used, text.data, text.bytes);
    if (text.marks != NULL) {
        memcpy(tail->marks + tail->used, text.marks, text.bytes);
    } else {
        memset(tail->marks + tail->used, 0, text.bytes);
    }
    tail->used += text.bytes;
    /* Steps are charged for the copy that follows. */
    flo_jinja_charge(run, &(struct jinja_value){KIND_TEXT, .text = text});
}

struct jinja_text flo_jinja_join(struct jinja_run *run, struct jinja_text a, struct jinja_text b)
{
    struct jinja_tail *tail = &run->tail;
    size_t bytes = a.bytes + b.bytes;
    if (a.bytes == 0 || b.bytes == 0) {
        return a.bytes == 0 ? b : a;
    }
    bool ends_it = tail->used > 0 && a.data + a.bytes == tail->data + tail->used;
    if (!ends_it || tail->capacity - tail->used < b.bytes) {
        char *data = flo_jinja_need(run, 2 * bytes, 2);
        if (data == NULL) {
            return jinja_text_of("");
        }
        *tail = (struct jinja_tail){data, (uint8_t *)data + 2 * bytes, 0, 2 * bytes};
        add(run, a);
    }
    add(run, b);
    return (struct jinja_text){tail->data + tail->used - bytes, tail->marks + tail->used - bytes,
                               bytes};
}

/* ---- many ---- */

struct jinja_builder flo_jinja_builder(struct jinja_run *run)
{
    return (struct jinja_builder){.run = run,
                                  .text = {.bytes_max = run->text->bytes_max},
                                  .marks = {.bytes_max = run->text->bytes_max}};
}

static void add_marks(struct flo_buf *out, const uint8_t *marks, size_t bytes)
{
    static const uint8_t none[64];
    for (size_t at = 0; marks == NULL && at < bytes; at += sizeof(none)) {
        size_t n = bytes - at < sizeof(none) ? bytes - at : sizeof(none);
        flo_buf_add(out, none, n);
    }
    if (marks != NULL) {
        flo_buf_add(out, marks, bytes);
    }
}

void flo_jinja_build(struct jinja_builder *builder, struct jinja_text part)
{
    if (part.bytes > 0) {
        flo_buf_add(&builder->text, part.data, part.bytes);
        add_marks(&builder->marks, part.marks, part.bytes);
    }
}

void flo_jinja_build_word(struct jinja_builder *builder, const char *word, bool is_said)
{
    struct jinja_text part = jinja_text_of(word);
    part.marks = is_said ? builder->run->said : NULL;
    flo_jinja_build(builder, part);
}

struct jinja_value flo_jinja_built(struct jinja_builder *builder)
{
    struct jinja_run *run = builder->run;
    struct jinja_value out = flo_jinja_text(jinja_text_of(""));
    size_t bytes = builder->text.bytes;
    if (builder->text.failed || builder->marks.failed) {
        flo_jinja_fail(run, FLO_E_INFER_TOO_LONG, "a text is too long");
    } else if (run->rv == 0 && bytes > 0) {
        char *data = flo_jinja_need(run, 2, bytes);
        if (data != NULL) {
            memcpy(data, builder->text.data, bytes);
            memcpy(data + bytes, builder->marks.data, bytes);
            out.text = (struct jinja_text){data, (const uint8_t *)data + bytes, bytes};
        }
    }
    flo_buf_deinit(&builder->text);
    flo_buf_deinit(&builder->marks);
    return out;
}
