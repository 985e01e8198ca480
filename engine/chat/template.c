/* Chat templates: finds out which roles a template can render, and turns its
 * output into token ids.
 *
 * The output is a list of spans that are tokenised as one text.  So words next
 * to a marker are split as in training, and only spans that the template wrote
 * may hold control tokens. */
#include "engine/chat/template.h"

#include "engine/chat/calls/derive.h"
#include "engine/chat/calls/told.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/gguf.h>
#include <flotilla/errors/model.h>

#include "base/tree/tree.h"
#include "engine/token/vocab/vocab.h"

#define MESSAGES_MAX 4096
#define TEXT_BYTES_MAX (64u << 20)
#define FIX                                                                                        \
    "give --template NAME or FILE, in agent.yaml `templates`; NAME is "                            \
    "chatml, llama3, llama2, mistral, gemma, phi3, zephyr or phi2"

static bool is_of(const struct flo_engine_message *message, const char *role)
{
    return strcmp(message->role, role) == 0;
}

static void token_text(const struct flo_vocab *vocab, int32_t id, struct flo_buf *out)
{
    if (vocab != NULL && id >= 0) {
        flo_vocab_piece(vocab, id, true, out);
    }
    flo_buf_add(out, "", 1);
}

/* A conversation, with the settings of the request. */
struct talk {
    const struct flo_engine_setting *setting; /* NULL: nothing */
    const struct flo_engine_message *messages;
    size_t count;
};

/* Renders the conversation.  `marks` tells for each byte of the text whether it
 * came from a message. */
static int run(const struct flo_template *chat, const struct flo_vocab *vocab,
               const struct talk *talk, bool has_short_ids, struct flo_buf *text,
               struct flo_buf *marks, struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf bos = {0}, eos = {0};
    const struct flo_vocab_facts *facts = vocab != NULL ? flo_vocab_facts(vocab) : NULL;
    token_text(vocab, facts != NULL ? facts->bos : -1, &bos);
    token_text(vocab, facts != NULL ? facts->eos : -1, &eos);
    text->bytes_max = marks->bytes_max = TEXT_BYTES_MAX;
    if (bos.failed || eos.failed) {
        return flo_fail(err, FLO_E_MEMORY, "%zu messages", talk->count);
    }
    const struct flo_jinja_input input = {.messages = talk->messages,
                                          .count = talk->count,
                                          .bos = bos.data,
                                          .eos = eos.data,
                                          .setting = talk->setting,
                                          .has_short_ids = has_short_ids,
                                          .has_text_calls = chat->has_text_calls};
    return flo_jinja_render(chat->jinja, &input, text, marks, err);
}

/* ---- what a template has a form for ---- */

static struct flo_engine_message say(const char *role, const char *text)
{
    return (struct flo_engine_message){.role = role, .text = text, .bytes = strlen(text)};
}

static struct flo_engine_message say_more(const char *role, const char *text, const char *more)
{
    struct flo_engine_message message = say(role, text);
    message.more = more;
    message.more_bytes = strlen(more);
    return message;
}

/* Renders a test conversation.  If the template refuses it, `text` stays empty,
 * which is no error.  Any other error is returned. */
static int run_probe(const struct flo_template *chat, const struct flo_vocab *vocab,
                     const struct talk *talk, struct flo_buf *text, struct flo_err *err)
{
    struct flo_buf marks = {0};
    struct flo_err why = {0};
    int rv = run(chat, vocab, talk, false, text, &marks, &why);
    flo_buf_deinit(&marks);
    if (rv == FLO_E_INFER_PARAM) {
        flo_buf_deinit(text);
    } else if (rv < 0) {
        *err = why;
        return rv;
    }
    return 0;
}

static bool has(const struct flo_buf *text, const char *word)
{
    return text->bytes > 0 && memmem(text->data, text->bytes, word, strlen(word)) != NULL;
}

/* Renders a test conversation.  Sets *out to whether the result contains the
 * text of each message, and also `word`. */
static int shows(const struct flo_template *chat, const struct flo_vocab *vocab,
                 const struct talk *talk, const char *word, bool *out, struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0};
    int rv = run_probe(chat, vocab, talk, &text, err);
    *out = rv == 0 && text.bytes > 0 && has(&text, word);
    for (size_t i = 0; i < talk->count; i++) {
        *out = *out && has(&text, talk->messages[i].text);
    }
    return rv;
}

/* Does what shows() does, but an error of the template only means that the
 * feature is not supported.  So a fault that only tools reach does not make the
 * template unusable. */
static int shows_or_not(const struct flo_template *chat, const struct flo_vocab *vocab,
                        const struct talk *talk, const char *word, bool *out, struct flo_err *err)
{
    int rv = shows(chat, vocab, talk, word, out, err);
    return rv == FLO_E_MODEL_TEMPLATE ? 0 : rv;
}

/* Finds out whether the template can render lists of tools, calls and
 * results. */
static int probe_tools(struct flo_template *chat, const struct flo_vocab *vocab,
                       struct flo_err *err)
{
    static const char tools[] = "[{\"type\": \"function\", \"function\": {\"name\": \"look_up\", "
                                "\"description\": \"Looks it up\", \"parameters\": {\"type\": "
                                "\"object\", \"properties\": {\"subject\": {\"type\": \"string\", "
                                "\"description\": \"A thing\"}}, \"required\": [\"subject\"]}}}]";
    static const char call[] = "{\"tool_calls\": [{\"id\": \"call00001\", \"type\": \"function\", "
                               "\"function\": {\"name\": \"look_up\", \"arguments\": {\"subject\": "
                               "\"the asked one\"}}}]}";
    static const char result[] = "{\"tool_call_id\": \"call00001\", \"name\": \"look_up\"}";
    const struct flo_engine_setting setting = {.tools = tools, .tools_bytes = strlen(tools)};
    const struct flo_engine_message said[] = {say("user", "The first question"),
                                              say_more("assistant", "", call),
                                              say_more("tool", "The tool says", result)};
    const struct flo_engine_message plain[] = {said[0], say("assistant", "A call"),
                                               say("tool", "The tool says")};
    const struct talk offer = {&setting, said, 1}, used = {&setting, said, 3},
                      bare = {NULL, plain, 3};
    bool has_call = false;
    int rv = shows_or_not(chat, vocab, &offer, "look_up", &chat->has_tools, err);
    if (rv == 0) {
        rv = shows_or_not(chat, vocab, &used, "the asked one", &has_call, err);
    }
    if (rv == 0 && !has_call) { /* tries again with the arguments as text */
        chat->has_text_calls = true;
        rv = shows_or_not(chat, vocab, &used, "the asked one", &has_call, err);
        chat->has_text_calls = has_call;
    }
    chat->has_tool = has_call;
    if (rv == 0 && !has_call) { /* tries a result again whose call is written as plain text */
        rv = shows_or_not(chat, vocab, &bare, "", &chat->has_tool, err);
    }
    return rv;
}

/* Finds out whether the output differs between thinking on and off. */
static int probe_thinking(struct flo_template *chat, const struct flo_vocab *vocab,
                          struct flo_err *err)
{
    const struct flo_engine_message said[] = {say("user", "The first question")};
    struct flo_engine_setting on = {.thinking = FLO_THINKING_ON};
    struct flo_engine_setting off = {.thinking = FLO_THINKING_OFF};
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf with = {0}, without = {0};
    int rv = run_probe(chat, vocab, &(struct talk){&on, said, 1}, &with, err);
    if (rv == 0) {
        rv = run_probe(chat, vocab, &(struct talk){&off, said, 1}, &without, err);
    }
    chat->has_thinking =
        rv == 0 && with.bytes > 0 && without.bytes > 0 &&
        (with.bytes != without.bytes || memcmp(with.data, without.data, with.bytes) != 0);
    return rv == FLO_E_MODEL_TEMPLATE ? 0 : rv;
}

static int probe(struct flo_template *chat, const struct flo_vocab *vocab, struct flo_err *err)
{
    const struct flo_engine_message first[] = {say("user", "The first question")};
    const struct flo_engine_message talk[] = {say("user", "The first question"),
                                              say("assistant", "An answer"),
                                              say("user", "The second question")};
    const struct flo_engine_message system[] = {say("system", "The system says"),
                                                say("user", "The first question")};
    const struct flo_engine_message later[] = {
        say("system", "The system says"), say("user", "The first question"),
        say("assistant", "An answer"), say("system", "The system adds"),
        say("user", "The second question")};
    bool shows_first = false, shows_talk = false;
    const struct {
        struct talk talk;
        bool *out;
    } probes[] = {{{NULL, first, 1}, &shows_first},
                  {{NULL, talk, 3}, &shows_talk},
                  {{NULL, system, 2}, &chat->has_system},
                  {{NULL, later, 5}, &chat->has_later_system}};
    for (size_t i = 0; i < FLO_COUNT(probes); i++) {
        FLO_TRY(shows(chat, vocab, &probes[i].talk, "", probes[i].out, err));
    }
    if (!shows_first || !shows_talk) {
        return flo_fail(err, FLO_E_MODEL_TEMPLATE, "the chat template leaves out what was said");
    }
    FLO_TRY(probe_tools(chat, vocab, err));
    return probe_thinking(chat, vocab, err);
}

struct derived {
    const struct flo_template *chat;
    const struct flo_vocab *vocab;
};

static int render_call(void *context, const struct flo_engine_message *messages, size_t count,
                       const char *tools, struct flo_buf *text)
{
    const struct derived *d = context;
    const struct flo_engine_setting setting = {.tools = tools,
                                               .tools_bytes = tools == NULL ? 0 : strlen(tools)};
    const struct talk talk = {&setting, messages, count};
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf marks = {0};
    return d->chat->jinja == NULL ? FLO_E_INFER_PARAM
                                  : run(d->chat, d->vocab, &talk, false, text, &marks, NULL);
}

static void derive(struct flo_template *chat, const struct flo_vocab *vocab,
                   const struct flo_gguf_text *source)
{
    struct derived context = {chat, vocab};
    const struct flo_derivation derivation = {
        .render = render_call,
        .context = &context,
        .vocab = vocab,
        .source = source->data,
        .source_bytes = source->bytes,
    };
    flo_calls_derive(&derivation, &chat->calls);
}

/* Chooses the text and the name of the template. */
static int choose(const struct flo_gguf *gguf, const char *instead, struct flo_gguf_text *text,
                  struct flo_template *out, struct flo_err *err)
{
    struct flo_gguf_text arch = {"", 0};
    int rv = flo_gguf_string(gguf, "general.architecture", &arch, err);
    if (rv == 0 && (instead == NULL || instead[0] == '\0')) {
        rv = flo_gguf_string(gguf, "tokenizer.chat_template", text, err);
        snprintf(out->name, sizeof(out->name), "%s", text->bytes > 0 ? "model" : "none");
        /* Model files of Phi-2 have no template, so the known one is used. */
        instead = rv == 0 && text->bytes == 0 && flo_gguf_text_is(arch, "phi2") ? "phi2" : NULL;
    }
    FLO_TRY(rv);
    if (instead == NULL || strcmp(instead, "none") == 0) {
        return rv;
    }
    const char *known = flo_template_known(instead);
    bool is_word = strchr(instead, '{') == NULL;
    if (known == NULL && is_word) {
        return flo_fail(err, FLO_E_MODEL_TEMPLATE, "no chat template has the name '%.40s'",
                        instead);
    }
    *text = (struct flo_gguf_text){known != NULL ? known : instead, 0};
    text->bytes = strlen(text->data);
    snprintf(out->name, sizeof(out->name), "%s", known != NULL ? instead : "given");
    return 0;
}

int flo_template_find(const struct flo_gguf *gguf, const struct flo_vocab *vocab,
                      const char *instead, struct flo_template *out, struct flo_err *err)
{
    struct flo_gguf_text text = {"", 0};
    struct flo_err why = {0};
    memset(out, 0, sizeof(*out));
    snprintf(out->name, sizeof(out->name), "none");
    int rv = choose(gguf, instead, &text, out, &why);
    if (rv == 0 && text.bytes > FLO_TEMPLATE_BYTES_MAX) {
        rv = flo_fail(&why, FLO_E_GGUF_LIMIT, "the chat template has %zu bytes, at most %u",
                      text.bytes, FLO_TEMPLATE_BYTES_MAX);
    }
    if (rv == 0 && text.bytes > 0) {
        rv = flo_jinja_open(text.data, text.bytes, &out->jinja, &why);
        if (rv == 0) {
            rv = probe(out, vocab, &why);
        }
    }
    if (rv == 0) {
        derive(out, vocab, &text);
    }
    if (rv < 0) {
        if (rv == FLO_E_MODEL_TEMPLATE) {
            flo_err_fix(&why, FIX);
        }
        if (err != NULL) {
            *err = why;
        }
        flo_template_deinit(out);
        snprintf(out->name, sizeof(out->name), "unknown");
    }
    return rv;
}

void flo_template_deinit(struct flo_template *chat)
{
    flo_jinja_close(chat->jinja);
    memset(chat, 0, sizeof(*chat));
}

/* ---- a conversation ---- */

static int check_messages(const struct flo_engine_message *messages, size_t count,
                          struct flo_err *err)
{
    static const char *const roles[] = {"system", "user", "assistant", "tool"};
    if (count > MESSAGES_MAX) {
        return flo_fail(err, FLO_E_INFER_PARAM, "%zu messages, at most %d", count, MESSAGES_MAX);
    }
    for (size_t i = 0; i < count; i++) {
        size_t role = 0;
        while (role < FLO_COUNT(roles) && !is_of(&messages[i], roles[role])) {
            role++;
        }
        if (role == FLO_COUNT(roles)) {
            return flo_fail(err, FLO_E_INFER_PARAM,
                            "message %zu has role '%s'; system, user, "
                            "assistant and tool are known",
                            i, messages[i].role);
        }
    }
    return 0;
}

/* Messages whose roles the template can render.  A system message that it
 * cannot render is put in front of the next question.  If no question follows,
 * it becomes a message of the user. */
struct folded {
    struct flo_engine_message *messages; /* owned array, which is freed at the end */
    size_t count;
    struct flo_buf *texts; /* a text for each message, mostly empty */
};

static void fold(const struct flo_template *chat, const struct flo_engine_message *in, size_t count,
                 struct folded *out)
{
    struct flo_buf *waiting = NULL;
    for (size_t i = 0; i < count; i++) {
        bool has_form = i == 0 ? chat->has_system : chat->has_later_system;
        struct flo_buf *text = &out->texts[out->count];
        if (is_of(&in[i], "system") && !has_form) {
            if (waiting == NULL) {
                waiting = text;
            } else {
                flo_buf_text(waiting, "\n\n");
            }
            flo_buf_add(waiting, in[i].text, in[i].bytes);
            continue;
        }
        if (waiting != NULL && is_of(&in[i], "user")) {
            flo_buf_text(waiting, "\n\n");
            flo_buf_add(waiting, in[i].text, in[i].bytes);
            struct flo_engine_message *message = &out->messages[out->count++];
            *message = in[i];
            message->text = waiting->data;
            message->bytes = waiting->bytes;
            waiting = NULL;
            continue;
        }
        if (waiting != NULL) { /* the text of a system message still waits for a question */
            out->texts[out->count + 1] = *waiting;
            *waiting = (struct flo_buf){0};
            waiting = &out->texts[out->count + 1];
        }
        out->messages[out->count++] = in[i];
    }
    if (waiting != NULL) {
        out->messages[out->count++] =
            (struct flo_engine_message){.role = "user",
                                        .text = waiting->data != NULL ? waiting->data : "",
                                        .bytes = waiting->bytes};
    }
}

static int tokenise(const struct flo_vocab *vocab, const struct flo_buf *text,
                    const struct flo_buf *marks, struct flo_tokens *tokens, struct flo_err *err)
{
    const struct flo_vocab_facts *facts = flo_vocab_facts(vocab);
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf spans = {0}, bos = {0};
    for (size_t from = 0, to; from < text->bytes; from = to) {
        bool is_message = marks->data[from] != 0;
        for (to = from; to < text->bytes && (marks->data[to] != 0) == is_message; to++) {
        }
        struct flo_text_span span = {.data = text->data + from,
                                     .bytes = to - from,
                                     .is_special = !is_message,
                                     .is_message = is_message};
        flo_buf_add(&spans, &span, sizeof(span));
    }
    token_text(vocab, facts->bos, &bos);
    bool has_bos = bos.bytes > 1 && text->bytes >= bos.bytes - 1 &&
                   memcmp(text->data, bos.data, bos.bytes - 1) == 0 && marks->data[0] == 0;
    if (facts->adds_bos && facts->bos >= 0 && !has_bos) {
        flo_tokens_add(tokens, facts->bos);
    }
    if (spans.failed || bos.failed) {
        return flo_fail(err, FLO_E_MEMORY, "a conversation's parts");
    }
    FLO_TRY(flo_tokenize_spans(vocab, (const void *)spans.data,
                               spans.bytes / sizeof(struct flo_text_span), tokens, err));
    return tokens->failed
               ? flo_fail(err, FLO_E_INFER_TOO_LONG, "more than %zu tokens", tokens->count)
               : 0;
}

static void add_message(const struct flo_engine_message *message, struct flo_buf *text,
                        struct flo_buf *marks)
{
    flo_buf_add(text, message->text, message->bytes);
    for (size_t at = 0; at < message->bytes; at++) {
        flo_buf_add(marks, "\1", 1);
    }
}

/* Renders a conversation for a model without a template. */
static void plain(const struct flo_engine_message *messages, size_t count, struct flo_buf *text,
                  struct flo_buf *marks)
{
    text->bytes_max = marks->bytes_max = TEXT_BYTES_MAX;
    for (size_t i = 0; i < count; i++) {
        if (i > 0) {
            flo_buf_text(text, "\n\n");
            flo_buf_add(marks, "\0", 2);
        }
        add_message(&messages[i], text, marks);
    }
}

static int find_calls(const struct talk *talk, size_t at, bool *has_any, struct flo_err *err)
{
    const struct flo_engine_message *message = &talk->messages[at];
    FLO_CLEANUP(flo_tree_deinit) struct flo_tree tree = {0};
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf copy = {0};
    *has_any = false;
    if (message->more == NULL) {
        return 0;
    }
    flo_buf_add(&copy, message->more, message->more_bytes);
    flo_buf_add(&copy, "", 1);
    int rv = copy.failed ? flo_fail(err, FLO_E_MEMORY, "%zu messages", talk->count)
                         : flo_tree_read(&tree, copy.data, copy.bytes - 1, 0, 0, NULL, err);
    if (rv < 0) {
        flo_wrap(err, rv, "message %zu: `more`", at);
    } else {
        *has_any = flo_tree_first(flo_tree_member(tree.nodes, "tool_calls")) != NULL;
    }
    return rv;
}

/* Renders the conversation.  If the template refuses it, tries once more with
 * ids of calls that are nine letters and digits. */
static int run_with_ids(const struct flo_template *chat, const struct flo_vocab *vocab,
                        const struct talk *talk, struct flo_buf *text, struct flo_buf *marks,
                        struct flo_err *err)
{
    int rv = run(chat, vocab, talk, false, text, marks, err);
    bool has_more = false;

    for (size_t i = 0; i < talk->count; i++) {
        has_more = has_more || talk->messages[i].more != NULL;
    }
    if (rv == FLO_E_INFER_PARAM && has_more) {
        text->bytes = marks->bytes = 0;
        if (run(chat, vocab, talk, true, text, marks, NULL) == 0) {
            rv = 0;
        }
    }
    return rv;
}

/* Renders a conversation whose last message is an answer to be continued.  The
 * text of that answer follows the opened answer.  An answer that calls tools is
 * complete and is not continued. */
static int run_on(const struct flo_template *chat, const struct flo_vocab *vocab,
                  const struct talk *talk, struct flo_buf *text, struct flo_buf *marks,
                  struct flo_err *err)
{
    struct talk before = *talk;
    size_t last = talk->count > 1 ? talk->count - 1 : 0;
    bool is_begun = last > 0 && is_of(&talk->messages[last], "assistant");
    bool has_calls = false;

    FLO_TRY(is_begun ? find_calls(talk, last, &has_calls, err) : 0);
    is_begun = is_begun && !has_calls;
    before.count -= is_begun;
    FLO_TRY(run_with_ids(chat, vocab, &before, text, marks, err));
    if (is_begun) {
        add_message(&talk->messages[last], text, marks);
    }
    return 0;
}

static int render(const struct flo_template *chat, const struct flo_vocab *vocab,
                  const struct talk *talk, struct flo_tokens *tokens, struct flo_err *err)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf text = {0}, marks = {0};
    if (chat->jinja == NULL) {
        plain(talk->messages, talk->count, &text, &marks);
    } else {
        FLO_TRY(run_on(chat, vocab, talk, &text, &marks, err));
    }
    if (text.failed || marks.failed) {
        return flo_fail(err, FLO_E_MEMORY, "%zu messages", talk->count);
    }
    return tokenise(vocab, &text, &marks, tokens, err);
}

/* Refuses a text that has too many tokens, if its number of bytes alone shows
 * that. */
static int check_bytes(const struct flo_vocab *vocab, const struct flo_engine_message *messages,
                       size_t count, struct flo_tokens *tokens, struct flo_err *err)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        bytes += messages[i].bytes;
    }
    if (!flo_tokens_have_room(tokens, vocab, bytes)) {
        return flo_fail(err, FLO_E_INFER_TOO_LONG,
                        "a text of %zu bytes has at least %zu tokens, at most "
                        "%zu fit",
                        bytes, tokens->count_least, tokens->count_max);
    }
    return 0;
}

static int render_folded(const struct flo_template *chat, const struct flo_vocab *vocab,
                         const struct talk *in, struct flo_tokens *tokens, struct flo_err *err)
{
    struct folded folded = {0};
    struct talk talk = *in;
    bool failed = false;
    int rv;
    if (chat->jinja == NULL) {
        return render(chat, vocab, in, tokens, err);
    }
    folded.messages = calloc(in->count + 1, sizeof(*folded.messages));
    folded.texts = calloc(in->count + 2, sizeof(*folded.texts));
    if (folded.messages == NULL || folded.texts == NULL) {
        rv = flo_fail(err, FLO_E_MEMORY, "%zu messages", in->count);
    } else {
        fold(chat, in->messages, in->count, &folded);
        for (size_t i = 0; i < in->count + 2; i++) {
            failed = failed || folded.texts[i].failed;
        }
        talk.messages = folded.messages;
        talk.count = folded.count;
        rv = failed ? flo_fail(err, FLO_E_MEMORY, "%zu messages", in->count)
                    : render(chat, vocab, &talk, tokens, err);
    }
    for (size_t i = 0; folded.texts != NULL && i < in->count + 2; i++) {
        flo_buf_deinit(&folded.texts[i]);
    }
    free(folded.messages);
    free(folded.texts);
    return rv;
}

/* Sets *out to whether the conversation has tools, calls or results that must
 * be described in words, because the template has no form for them. */
static int must_tell(const struct flo_template *chat, const struct talk *talk, bool *out,
                     struct flo_err *err)
{
    bool has_tools = talk->setting != NULL && talk->setting->tools != NULL;
    int rv = 0;
    for (size_t i = 0; rv == 0 && chat->calls.is_told && i < talk->count; i++) {
        bool has_calls = false;
        rv = find_calls(talk, i, &has_calls, err);
        has_tools =
            has_tools || has_calls || (!chat->has_tool && is_of(&talk->messages[i], "tool"));
    }
    *out = has_tools && chat->calls.is_told;
    return rv;
}

static int render_told(const struct flo_template *chat, const struct flo_vocab *vocab,
                       const struct talk *in, struct flo_tokens *tokens, struct flo_err *err)
{
    struct flo_engine_setting setting = {0};
    FLO_CLEANUP(flo_told_deinit) struct flo_told_talk told = {0};
    FLO_TRY(flo_told_make(&told, in->setting, in->messages, in->count, err));
    if (in->setting != NULL) {
        setting = *in->setting;
        setting.tools = NULL;
    }
    const struct talk talk = {&setting, told.messages, told.count};
    return render_folded(chat, vocab, &talk, tokens, err);
}

int flo_template_render(const struct flo_template *chat, const struct flo_vocab *vocab,
                        const struct flo_engine_setting *setting,
                        const struct flo_engine_message *messages, size_t message_count,
                        struct flo_tokens *tokens, struct flo_err *err)
{
    const struct talk talk = {setting, messages, message_count};
    FLO_TRY(check_messages(messages, message_count, err));
    FLO_TRY(check_bytes(vocab, messages, message_count, tokens, err));
    bool is_told = false;
    FLO_TRY(must_tell(chat, &talk, &is_told, err));
    return is_told ? render_told(chat, vocab, &talk, tokens, err)
                   : render_folded(chat, vocab, &talk, tokens, err);
}
