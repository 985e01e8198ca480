/* Derive: finds the form of calls by comparing texts that the template
 * renders. */
#include "engine/chat/calls/derive.h"

#include <stdlib.h>
#include <string.h>

#include "engine/token/control.h"

#define NAME "zeta_probe"
#define NAME_2 "omega_probe"
#define TEXT "wxyzzy"
#define THOUGHT "qvvthoughtqvv"
#define ANSWER "kwwanswerkww"
#define CALL_OF(name, arguments)                                                                   \
    "{\"id\":\"call00001\",\"type\":\"function\",\"function\":{\"name\":"                          \
    "\"" name "\",\"arguments\":" arguments "}}"
#define CALLS_OF(list) "{\"tool_calls\":[" list "]}"
#define TOOL_OF(name)                                                                              \
    "{\"type\":\"function\",\"function\":{\"name\":\"" name                                        \
    "\",\"description\":\"A tool\",\"parameters\":{\"type\":\"object\","                           \
    "\"properties\":{\"kappa\":{\"type\":\"string\"},\"lambda\":{\"type\":"                        \
    "\"string\"},\"muon\":{\"type\":\"string\"}}}}}"
#define TOOLS "[" TOOL_OF(NAME) "," TOOL_OF(NAME_2) "]"

/* A part of a rendered text.  `data` is NULL if the part was not found. */
struct part {
    const char *data;
    size_t bytes;
};

static struct part find(struct part in, const char *text)
{
    size_t bytes = strlen(text);
    const char *hit = in.data == NULL ? NULL : memmem(in.data, in.bytes, text, bytes);
    return (struct part){hit, hit == NULL ? 0 : bytes};
}

static struct part between(struct part from, struct part to)
{
    if (from.data == NULL || to.data == NULL || to.data < from.data + from.bytes) {
        return (struct part){NULL, 0};
    }
    return (struct part){from.data + from.bytes, (size_t)(to.data - from.data) - from.bytes};
}

static struct part behind(struct part in, struct part what)
{
    struct part end = {in.data, 0};

    if (in.data != NULL) {
        end.data += in.bytes;
    }
    return between(what, end);
}

/* Finds the last place where the text occurs.  The list of tools before the
 * calls may contain it too. */
static struct part find_last(struct part in, const char *text)
{
    struct part found = {NULL, 0}, hit = find(in, text);

    while (hit.data != NULL) {
        found = hit;
        hit = find(behind(in, hit), text);
    }
    return found;
}

static size_t common_begin(struct part a, struct part b)
{
    size_t n = 0;

    while (n < a.bytes && n < b.bytes && a.data[n] == b.data[n]) {
        n++;
    }
    return n;
}

static size_t common_end(struct part a, struct part b)
{
    size_t n = 0;

    while (n < a.bytes && n < b.bytes && a.data[a.bytes - 1 - n] == b.data[b.bytes - 1 - n]) {
        n++;
    }
    return n;
}

static struct part beginning(struct part p, size_t bytes)
{
    p.bytes = bytes < p.bytes ? bytes : p.bytes;
    return p;
}

static struct part trim(struct part p)
{
    while (p.bytes > 0 && flo_form_is_blank(p.data[0])) {
        p.data++;
        p.bytes--;
    }
    while (p.bytes > 0 && flo_form_is_blank(p.data[p.bytes - 1])) {
        p.bytes--;
    }
    return p;
}

/* Copies the part to `out`, where each control token becomes its seven bytes
 * (control.h).  Returns false if it is too long. */
static bool keep(const struct flo_derivation *d, struct part p, struct flo_form_text *out)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf bytes = {.bytes_max = FLO_FORM_TEXT_MAX};

    if (d->vocab != NULL) {
        flo_control_spell(d->vocab, p.data, p.bytes, &bytes);
    } else {
        flo_buf_add(&bytes, p.data, p.bytes);
    }
    bool fits = p.data != NULL && !bytes.failed;
    out->bytes = fits ? (uint16_t)bytes.bytes : 0;
    if (out->bytes > 0) {
        memcpy(out->data, bytes.data, bytes.bytes);
    }
    return fits;
}

/* ---- renderings ---- */

/* Renders a user's and an assistant's message.  `more` are further members of
 * the assistant's message.  `data` of the result is NULL if the template
 * refuses them. */
static struct part answer(const struct flo_derivation *d, const char *text, const char *more,
                          const char *tools, struct flo_buf *out)
{
    const struct flo_engine_message messages[] = {
        {"user", "Hello?", 6, NULL, 0},
        {"assistant", text, strlen(text), more, more == NULL ? 0 : strlen(more)},
    };
    size_t count = text[0] == '\0' && more == NULL ? 1 : 2;

    out->bytes = 0;
    if (d->render(d->context, messages, count, tools, out) != 0 || out->failed) {
        return (struct part){NULL, 0};
    }
    return (struct part){out->data, out->bytes};
}

static struct part calls(const struct flo_derivation *d, const char *more, struct flo_buf *out)
{
    return answer(d, "", more, TOOLS, out);
}

/* Returns the bytes that the template writes after an answer. */
static struct part tail_of(const struct flo_derivation *d, struct flo_buf *out)
{
    struct part all = answer(d, ANSWER, NULL, TOOLS, out);

    return behind(all, find(all, ANSWER));
}

/* Returns the beginning of `rest` that belongs to the call.  `tail` is what the
 * template writes after any answer. */
static struct part own(const struct flo_derivation *d, struct part rest, struct part tail)
{
    struct flo_buf marked = {0};
    size_t same = common_end(rest, tail);

    /* The mark that ends the call and the one that ends the answer may end in
     * the same way.  So only whole marks are cut off. */
    while (same > 0 && same < tail.bytes && strchr("<[", tail.data[tail.bytes - same]) == NULL) {
        same--;
    }
    rest.bytes -= same;
    /* A token that ends the answer does not belong to the call either. */
    for (size_t at = 0; d->vocab != NULL && at < rest.bytes; at++) {
        marked.bytes = 0;
        flo_control_spell(d->vocab, rest.data + at, rest.bytes - at, &marked);
        if (marked.bytes >= FLO_CONTROL_BYTES && (uint8_t)marked.data[0] >= FLO_CONTROL_FIRST &&
            flo_vocab_is_end(d->vocab, flo_control_read(marked.data))) {
            rest.bytes = at;
        }
    }
    flo_buf_deinit(&marked);
    while (rest.bytes > 0 && flo_form_is_blank(rest.data[rest.bytes - 1])) {
        rest.bytes--;
    }
    return rest;
}

/* ---- thoughts ---- */

static const char *const known_thoughts[][2] = {
    {"<think>", "</think>"},
    {"[THINK]", "[/THINK]"},
    {"<|channel>thought", "<channel|>"}, /* Gemma 4 writes these marks only if thinking is on */
};

/* Returns the mark at the end of `before`.  It is one control token, or the
 * bytes after the last blank. */
static struct part mark_before(const struct flo_derivation *d, struct part before)
{
    struct part all = trim(before), mark = all;
    struct flo_form_text form;

    if (all.bytes == 0) {
        return all;
    }
    mark.data += all.bytes;
    mark.bytes = 0;

    while (mark.data > all.data && !flo_form_is_blank(mark.data[-1])) {
        mark.data--;
        mark.bytes++;
        if (mark.bytes > 2 && keep(d, mark, &form) && form.bytes == FLO_CONTROL_BYTES &&
            (uint8_t)form.data[0] >= FLO_CONTROL_FIRST) {
            break;
        }
    }
    return mark;
}

static void derive_thoughts(const struct flo_derivation *d, struct flo_call_form *form)
{
    static const char more[] = "{\"reasoning_content\":\"" THOUGHT "\"}";
    struct part source = {d->source, d->source_bytes};
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0};
    struct part all = answer(d, ANSWER, more, NULL, &text);
    struct part thought = find(all, THOUGHT);
    struct part close = between(thought, find(all, ANSWER));
    struct part begin = {all.data, 0};

    close = trim(close);
    if (close.data != NULL && close.bytes > 0) {
        struct part open = mark_before(d, between(begin, thought));
        if (!keep(d, open, &form->thought_open) || !keep(d, close, &form->thought_close)) {
            form->thought_open.bytes = form->thought_close.bytes = 0;
        }
    }
    for (size_t i = 0; i < FLO_COUNT(known_thoughts) && form->thought_close.bytes == 0; i++) {
        struct part open = find(source, known_thoughts[i][0]);
        struct part end = find(source, known_thoughts[i][1]);

        if (open.data != NULL && end.data != NULL) {
            (void)keep(d, open, &form->thought_open);
            (void)keep(d, end, &form->thought_close);
        }
    }
}

/* ---- calls ---- */

/* Returns the opening of a call.  It comes after the opening of the answer, and
 * after an empty thought. */
static struct part opening(const struct flo_derivation *d, const struct flo_call_form *form,
                           struct part all, struct part name)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0};
    struct part prompt = answer(d, "", NULL, TOOLS, &text);
    struct part open = {all.data, (size_t)(name.data - all.data)};
    struct flo_form_text marked;
    size_t skipped = common_begin(all, prompt);

    skipped = skipped < open.bytes ? skipped : open.bytes;
    /* The opening of the answer and the mark of the call may begin in the same
     * way.  So only whole marks are skipped. */
    while (skipped > 0 && skipped < prompt.bytes && !flo_form_is_blank(open.data[skipped - 1]) &&
           strchr(">]", open.data[skipped - 1]) == NULL) {
        skipped--;
    }
    open.data += skipped;
    open.bytes -= skipped;
    /* A mark that closes an empty thought is skipped too. */
    for (size_t from = 0; form->thought_close.bytes > 0 && from < open.bytes; from++) {
        struct part rest = {open.data, from + 1};
        if (keep(d, rest, &marked) && marked.bytes >= form->thought_close.bytes &&
            memcmp(marked.data + marked.bytes - form->thought_close.bytes, form->thought_close.data,
                   form->thought_close.bytes) == 0) {
            open.data += from + 1;
            open.bytes -= from + 1;
            break;
        }
    }
    while (open.bytes > 0 && flo_form_is_blank(open.data[0])) {
        open.data++;
        open.bytes--;
    }
    return open;
}

/* Sets how many bytes of `open` are enough to detect a call.  They are a
 * control token, or the first word with a character that no sentence has. */
static void set_wakes(struct flo_call_form *form)
{
    const struct flo_form_text *open = &form->open;
    uint16_t at = 0;

    form->is_bare = false;
    if (flo_form_has_channels(form)) {
        form->wakes = open->bytes;
        return;
    }
    if (open->bytes >= FLO_CONTROL_BYTES && (uint8_t)open->data[0] >= FLO_CONTROL_FIRST) {
        form->wakes = FLO_CONTROL_BYTES;
        return;
    }
    while (at < open->bytes && !flo_form_is_blank(open->data[at]) &&
           (at == 0 || (open->data[at] != '{' && open->data[at] != '['))) {
        at++;
    }
    form->wakes = at;
    form->is_bare = at < 4 || (open->data[0] != '<' && open->data[at - 1] != ']');
}

/* Sets `next`, the text between the arguments of a call and the name of the
 * next tool. */
static bool set_next(const struct flo_derivation *d, struct flo_call_form *form, const char *two,
                     const char *last)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0};
    struct part all = calls(d, two, &text);
    struct part second = find_last(all, NAME_2);
    struct part first = {all.data, second.data == NULL ? 0 : (size_t)(second.data - all.data)};
    bool is_set = keep(d, between(find_last(first, last), second), &form->next);

    return is_set && form->next.bytes > 0;
}

/* Derives a form whose arguments are a JSON object. */
static bool derive_json(const struct flo_derivation *d, struct flo_call_form *form,
                        struct part tail)
{
    static const char object[] = "{\"kappa\": \"" TEXT "\"}";
    static const char one[] = CALLS_OF(CALL_OF(NAME, "{\"kappa\":\"" TEXT "\"}"));
    static const char two[] = CALLS_OF(
        CALL_OF(NAME, "{\"kappa\":\"" TEXT "\"}") "," CALL_OF(NAME_2, "{\"kappa\":\"" TEXT "\"}"));
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0};
    struct part all = calls(d, one, &text);
    struct part name = find_last(all, NAME);
    bool is_set = false;
    struct part arguments = find(behind(all, name), object);
    if (arguments.data != NULL) {
        struct part close = own(d, behind(all, arguments), tail);
        is_set = keep(d, opening(d, form, all, name), &form->open) &&
                 keep(d, between(name, arguments), &form->mid) && keep(d, close, &form->close) &&
                 form->mid.bytes > 0 && set_next(d, form, two, object);
    }
    form->kind = is_set ? FLO_CALLS_JSON : FLO_CALLS_NONE;
    return is_set;
}

/* ---- fields ---- */

/* The tool's name and the arguments, in the order in which the template writes
 * them. */
struct fields {
    struct part name, keys[3], values[3];
};

static void sort(struct fields *f)
{
    for (int i = 0; i < 2; i++) {
        for (int k = 0; k < 2 - i; k++) {
            if (f->keys[k].data > f->keys[k + 1].data) {
                struct part key = f->keys[k];
                f->keys[k] = f->keys[k + 1];
                f->keys[k + 1] = key;
            }
        }
    }
}

static bool read_fields(struct part all, const char *value, struct fields *f)
{
    static const char *const keys[] = {"kappa", "lambda", "muon"};

    f->name = find_last(all, NAME);
    for (int i = 0; i < 3 && f->name.data != NULL; i++) {
        f->keys[i] = find(behind(all, f->name), keys[i]);
        if (f->keys[i].data == NULL) {
            return false;
        }
    }
    if (f->name.data == NULL) {
        return false;
    }
    sort(f);
    for (int i = 0; i < 3; i++) {
        f->values[i] = find(behind(all, f->keys[i]), value);
        if (f->values[i].data == NULL) {
            return false;
        }
    }
    return true;
}

/* Finds the texts around a field, from arguments that are numbers, because
 * numbers have no quotes. */
static bool set_fields(const struct flo_derivation *d, struct flo_call_form *form, struct part all,
                       const struct fields *f, struct part tail)
{
    struct part lead = between(f->name, f->keys[0]);
    struct part gap = between(f->values[0], f->keys[1]);
    struct part rest = own(d, behind(all, f->values[2]), tail);

    if (lead.data == NULL || gap.data == NULL || rest.data == NULL) {
        return false;
    }
    size_t same = common_end(lead, gap);

    /* If the mark before a field takes all text after the tool's name, it is
     * shortened to begin at a blank, because some text must follow the name. */
    while (same > 0 && same >= lead.bytes) {
        do {
            same--;
        } while (same > 0 && !flo_form_is_blank(lead.data[lead.bytes - same]));
    }
    struct part open = {lead.data + lead.bytes - same, same};

    lead.bytes -= same;
    gap.bytes -= same;
    size_t shared = common_begin(gap, rest);
    struct part close = {gap.data, shared};
    struct part separator = {gap.data + shared, gap.bytes - shared};
    struct part end = {rest.data + shared, rest.bytes - shared};

    return lead.bytes > 0 && keep(d, opening(d, form, all, f->name), &form->open) &&
           keep(d, lead, &form->mid) && keep(d, open, &form->field_open) &&
           keep(d, between(f->keys[0], f->values[0]), &form->equals) &&
           keep(d, close, &form->field_close) && keep(d, separator, &form->separator) &&
           keep(d, end, &form->close) && form->equals.bytes > 0;
}

/* Sets the quote, which is the mark around texts that numbers do not have. */
static bool set_quote(const struct flo_derivation *d, struct flo_call_form *form,
                      const struct fields *texts, const struct fields *numbers)
{
    struct part with = between(texts->keys[0], texts->values[0]);
    struct part without = between(numbers->keys[0], numbers->values[0]);

    if (with.data == NULL || without.data == NULL || with.bytes < without.bytes) {
        return false;
    }
    struct part quote = {with.data + without.bytes, with.bytes - without.bytes};
    struct part mark = find((struct part){quote.data, quote.bytes}, "\"");

    return keep(d, quote, &form->quote) && (form->quote.bytes == 0 || mark.data != NULL);
}

/* Tells whether the template puts its quote around the texts inside nested
 * values as well.  True also if it has no quote of its own. */
static bool is_marked(const struct flo_derivation *d, const struct flo_call_form *form,
                      const struct fields *texts)
{
    static const char nested[] =
        CALLS_OF(CALL_OF(NAME, "{\"kappa\":{\"omega\":[\"" TEXT "\",7531,true,null]}}"));
    struct part with = between(texts->keys[0], texts->values[0]);
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0}, wanted = {0};
    struct flo_form_text equals;
    size_t bytes = 0;
    bool is_so = form->quote.bytes <= 1;

    /* The text between key and value begins with `equals`; the rest of it is
     * the quote. */
    while (!is_so && bytes < with.bytes && keep(d, beginning(with, bytes), &equals) &&
           equals.bytes < form->equals.bytes) {
        bytes++;
    }
    if (!is_so) {
        struct part quote = {with.data + bytes, with.bytes - bytes};

        flo_buf_text(&wanted, "{omega:[");
        flo_buf_add(&wanted, quote.data, quote.bytes);
        flo_buf_text(&wanted, TEXT);
        flo_buf_add(&wanted, quote.data, quote.bytes);
        flo_buf_text(&wanted, ",7531,true,null]}");
        flo_buf_add(&wanted, "", 1);
        is_so = !wanted.failed && form->field_close.bytes == 0 &&
                find(calls(d, nested, &text), wanted.data).data != NULL;
    }
    return is_so;
}

#define FIELDS_OF(value) "{\"kappa\":" value ",\"lambda\":" value ",\"muon\":" value "}"

static bool derive_fields(const struct flo_derivation *d, struct flo_call_form *form,
                          struct part tail)
{
    static const char texts[] = CALLS_OF(CALL_OF(NAME, FIELDS_OF("\"" TEXT "\"")));
    static const char numbers[] = CALLS_OF(CALL_OF(NAME, FIELDS_OF("7531")));
    static const char truths[] = CALLS_OF(CALL_OF(NAME, FIELDS_OF("true")));
    static const char two[] =
        CALLS_OF(CALL_OF(NAME, FIELDS_OF("7531")) "," CALL_OF(NAME_2, FIELDS_OF("7531")));
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf a = {0}, b = {0}, c = {0};
    struct part all = calls(d, numbers, &b);
    struct fields f, g, h;
    bool is_set = read_fields(all, "7531", &f) && read_fields(calls(d, texts, &a), TEXT, &g) &&
                  set_fields(d, form, all, &f, tail) && set_quote(d, form, &g, &f) &&
                  is_marked(d, form, &g);

    form->is_python = is_set && read_fields(calls(d, truths, &c), "True", &h);
    if (is_set) {
        struct flo_form_text closed = form->field_close;
        is_set = set_next(d, form, two, "7531");
        if (is_set && closed.bytes > 0) { /* `next` begins with field_close, which is cut off */
            is_set = form->next.bytes > closed.bytes &&
                     memcmp(form->next.data, closed.data, closed.bytes) == 0;
            form->next.bytes = (uint16_t)(form->next.bytes - (is_set ? closed.bytes : 0));
            memmove(form->next.data, form->next.data + closed.bytes, form->next.bytes);
        }
    }
    form->kind = is_set ? FLO_CALLS_FIELDS : FLO_CALLS_NONE;
    return is_set;
}

/* ---- channels ---- */

/* Returns the part from its first mark on. */
static struct part from_mark(struct part p)
{
    const char *mark = p.data == NULL ? NULL : memchr(p.data, '<', p.bytes);
    size_t left = mark == NULL ? p.bytes : (size_t)(mark - p.data);

    if (p.data != NULL) {
        p.data += left;
        p.bytes -= left;
    }
    return p;
}

static struct part ending(struct part a, struct part b)
{
    size_t same = common_end(a, b);
    struct part end = {a.data, same};

    if (a.data != NULL) {
        end.data += a.bytes - same;
    }
    return from_mark(end);
}

/* Renderings of an answer, of a call, and of a thought before a call.  Each
 * begins after the opening of the answer. */
struct messages {
    struct part text, call, thought;
};

/* Sets the marks of a message's head: the one before the channel's name, and
 * the one before the text. */
static bool set_heads(const struct flo_derivation *d, struct flo_call_form *form,
                      const struct messages *m)
{
    struct part text = between(beginning(m->text, 0), find(m->text, ANSWER));
    struct part thought = between(beginning(m->thought, 0), find(m->thought, THOUGHT));
    struct part same = beginning(text, common_begin(text, thought));

    while (same.bytes > 0 && same.data[same.bytes - 1] != '>') {
        same.bytes--;
    }
    return same.bytes > 0 && keep(d, same, &form->channel) &&
           keep(d, ending(thought, text), &form->body) && keep(d, thought, &form->thought_open) &&
           form->body.bytes > 0 &&
           form->thought_open.bytes > form->channel.bytes + form->body.bytes;
}

/* Sets how a form with channels writes calls.  Templates write the channel's
 * name after the tool's, models write it before.  Both are accepted.  No
 * template writes <|constrain|>, so it is added if the vocabulary has this
 * token. */
static bool set_channel_call(const struct flo_derivation *d, struct flo_call_form *form,
                             struct part open, struct part mid)
{
    static const char constrain[] = "<|constrain|>";
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0};
    struct flo_form_text token;
    size_t name = 0;

    while (name < mid.bytes && !flo_form_is_blank(mid.data[name])) {
        name++;
    }
    flo_buf_add(&text, mid.data, name);
    flo_buf_add(&text, open.data, open.bytes);
    bool is_set = keep(d, (struct part){text.data, text.bytes}, &form->channel_open);
    text.bytes = 0;
    if (keep(d, (struct part){constrain, strlen(constrain)}, &token) &&
        token.bytes == FLO_CONTROL_BYTES && name < mid.bytes) {
        flo_buf_text(&text, " ");
        flo_buf_text(&text, constrain);
        name++;
    }
    flo_buf_add(&text, mid.data + name, mid.bytes - name);
    is_set = is_set && keep(d, (struct part){text.data, text.bytes}, &form->channel_mid);
    return is_set;
}

static bool set_channels(const struct flo_derivation *d, struct flo_call_form *form,
                         const struct messages *m)
{
    static const char object[] = "{\"kappa\": \"" TEXT "\"}";
    struct part name = find(m->call, NAME);
    struct part arguments = find(behind(m->call, name), object);
    struct part open = between(beginning(m->call, 0), name);
    struct part mid = between(name, arguments);
    struct part rest = behind(m->call, arguments);
    struct part tail = behind(m->text, find(m->text, ANSWER));
    struct part again = ending(rest, tail);
    struct flo_form_text end;

    if (open.bytes == 0 || mid.bytes == 0 || again.bytes == 0 || !set_heads(d, form, m) ||
        !keep(d, open, &form->open) || !keep(d, mid, &form->mid) ||
        !keep(d, tail, &form->thought_close) ||
        !flo_form_begins(&form->channel, form->mid.data, form->channel.bytes) ||
        !set_channel_call(d, form, open, mid)) {
        return false;
    }
    rest.bytes -= again.bytes;
    form->next.bytes = 0;
    if (!keep(d, rest, &end)) {
        return false;
    }
    bool is_end = d->vocab != NULL && end.bytes == FLO_CONTROL_BYTES &&
                  (uint8_t)end.data[0] >= FLO_CONTROL_FIRST &&
                  flo_vocab_is_end(d->vocab, flo_control_read(end.data));
    end.bytes = is_end ? 0 : end.bytes;
    form->close = end;
    return true;
}

/* Derives the form of a model whose answer has messages with heads
 * (gpt-oss). */
static bool derive_channels(const struct flo_derivation *d, struct flo_call_form *form)
{
    static const char one[] = CALLS_OF(CALL_OF(NAME, "{\"kappa\":\"" TEXT "\"}"));
    static const char thinks[] =
        "{\"reasoning_content\":\"" THOUGHT
        "\",\"tool_calls\":[" CALL_OF(NAME, "{\"kappa\":\"" TEXT "\"}") "]}";
    struct flo_buf prompt = {0}, texts[4] = {{0}};
    struct part begin = answer(d, "", NULL, TOOLS, &prompt);
    struct part all[] = {answer(d, ANSWER, NULL, TOOLS, &texts[0]),
                         answer(d, "", one, TOOLS, &texts[1]),
                         answer(d, "", thinks, TOOLS, &texts[2])};
    struct flo_call_form found = *form;
    bool is_set = begin.data != NULL;

    /* The template writes no reasoning_content.  It may write the thought as the
     * text of the message with the call. */
    if (find(all[2], THOUGHT).data == NULL) {
        all[2] = answer(d, THOUGHT, one, TOOLS, &texts[3]);
    }
    for (size_t i = 0; i < FLO_COUNT(all); i++) {
        is_set = is_set && all[i].data != NULL && common_begin(all[i], begin) == begin.bytes;
        if (is_set) {
            all[i].data += begin.bytes;
            all[i].bytes -= begin.bytes;
        }
    }
    const struct messages messages = {all[0], all[1], all[2]};
    if (is_set && set_channels(d, &found, &messages)) {
        *form = found;
        form->kind = FLO_CALLS_JSON;
    }
    flo_buf_deinit(&prompt);
    for (size_t i = 0; i < FLO_COUNT(texts); i++) {
        flo_buf_deinit(&texts[i]);
    }
    return form->kind == FLO_CALLS_JSON;
}

/* ---- the whole ---- */

static void set_text(struct flo_form_text *out, const char *text)
{
    out->bytes = (uint16_t)strlen(text);
    memcpy(out->data, text, out->bytes);
}

static void tell(struct flo_call_form *form)
{
    form->kind = FLO_CALLS_JSON;
    form->is_told = true;
    form->is_python = false;
    set_text(&form->open, FLO_TOLD_OPEN "\"");
    set_text(&form->mid, "\"" FLO_TOLD_MID);
    set_text(&form->close, FLO_TOLD_CLOSE);
    set_text(&form->next, FLO_TOLD_CLOSE "\n" FLO_TOLD_OPEN "\"");
}

void flo_calls_derive(const struct flo_derivation *d, struct flo_call_form *form)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0};
    struct part tail;

    memset(form, 0, sizeof(*form));
    derive_thoughts(d, form);
    tail = tail_of(d, &text);
    if (tail.data == NULL || (!derive_json(d, form, tail) && !derive_fields(d, form, tail) &&
                              !derive_channels(d, form))) {
        tell(form);
    }
    set_wakes(form);
}
