/* Chat templates: what a model's has a form for, and from its output to ids.
 *
 * The output becomes spans, which are tokenised as one text: so words next to
 * a marker are cut exactly as the model was trained on, while only what the
 * template wrote may hold control tokens. */
#include "engine/chat/template.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/token/vocab/vocab.h"

#define MESSAGES_MAX 4096
#define TEXT_BYTES_MAX (64u << 20)
#define FIX                                                                    \
    "give --template NAME or FILE, in agent.yaml `templates`; NAME is "        \
    "chatml, llama3, llama2, mistral, gemma, phi3, zephyr or phi2"

static bool is_of(const struct flo_engine_message *message, const char *role)
{
    return strcmp(message->role, role) == 0;
}

static void token_text(const struct flo_vocab *vocab, int32_t id,
                       struct flo_buf *out)
{
    if (vocab != NULL && id >= 0) {
        flo_vocab_piece(vocab, id, true, out);
    }
    flo_buf_add(out, "", 1);
}

/* The template's output, and where it is a message's. */
static int run(const struct flo_template *chat, const struct flo_vocab *vocab,
               const struct flo_engine_message *messages, size_t count,
               struct flo_buf *text, struct flo_buf *marks, struct flo_err *err)
{
    struct flo_buf bos = {0}, eos = {0};
    const struct flo_vocab_facts *facts =
        vocab != NULL ? flo_vocab_facts(vocab) : NULL;
    token_text(vocab, facts != NULL ? facts->bos : -1, &bos);
    token_text(vocab, facts != NULL ? facts->eos : -1, &eos);
    text->bytes_max = marks->bytes_max = TEXT_BYTES_MAX;
    int rv;
    if (bos.failed || eos.failed) {
        rv = flo_fail(err, FLO_E_MEMORY, "%zu messages", count);
    } else {
        const struct flo_jinja_input input = {messages, count, bos.data,
                                              eos.data};
        rv = flo_jinja_render(chat->jinja, &input, text, marks, err);
    }
    flo_buf_deinit(&bos);
    flo_buf_deinit(&eos);
    return rv;
}

/* ---- what a template has a form for ---- */

static struct flo_engine_message say(const char *role, const char *text)
{
    return (struct flo_engine_message){role, text, strlen(text)};
}

/* Does the conversation come out whole?  An error but the template's own
 * refusal is given back. */
static int shows(const struct flo_template *chat, const struct flo_vocab *vocab,
                 const struct flo_engine_message *messages, size_t count,
                 bool *out, struct flo_err *err)
{
    struct flo_buf text = {0}, marks = {0};
    struct flo_err why = {0};
    int rv = run(chat, vocab, messages, count, &text, &marks, &why);
    *out = rv == 0 && text.bytes > 0;
    for (size_t i = 0; i < count; i++) {
        *out = *out && memmem(text.data, text.bytes, messages[i].text,
                              messages[i].bytes) != NULL;
    }
    flo_buf_deinit(&text);
    flo_buf_deinit(&marks);
    if (rv < 0 && rv != FLO_E_INFER_PARAM) {
        *err = why;
        return rv;
    }
    return 0;
}

static int probe(struct flo_template *chat, const struct flo_vocab *vocab,
                 struct flo_err *err)
{
    const struct flo_engine_message first[] = {
        say("user", "The first question")};
    const struct flo_engine_message talk[] = {
        say("user", "The first question"), say("assistant", "An answer"),
        say("user", "The second question")};
    const struct flo_engine_message system[] = {
        say("system", "The system says"), say("user", "The first question")};
    const struct flo_engine_message later[] = {
        say("system", "The system says"), say("user", "The first question"),
        say("assistant", "An answer"), say("system", "The system adds"),
        say("user", "The second question")};
    const struct flo_engine_message tool[] = {say("user", "The first question"),
                                              say("assistant", "A call"),
                                              say("tool", "The tool says")};
    bool shows_first = false, shows_talk = false;
    const struct {
        const struct flo_engine_message *messages;
        size_t count;
        bool *out;
    } probes[] = {{first, 1, &shows_first},
                  {talk, 3, &shows_talk},
                  {system, 2, &chat->has_system},
                  {later, 5, &chat->has_later_system},
                  {tool, 3, &chat->has_tool}};
    int rv = 0;
    for (size_t i = 0; rv == 0 && i < FLO_COUNT(probes); i++) {
        rv = shows(chat, vocab, probes[i].messages, probes[i].count,
                   probes[i].out, err);
        /* Nobody need know what only a tool's text reaches. */
        if (rv == FLO_E_MODEL_TEMPLATE && probes[i].messages == tool) {
            rv = 0;
        }
    }
    if (rv == 0 && (!shows_first || !shows_talk)) {
        rv = flo_fail(err, FLO_E_MODEL_TEMPLATE,
                      "the chat template leaves out what was said");
    }
    return rv;
}

/* The text to use, and its name. */
static int choose(const struct flo_gguf *gguf, const char *instead,
                  struct flo_gguf_text *text, struct flo_template *out,
                  struct flo_err *err)
{
    struct flo_gguf_text arch = {"", 0};
    int rv = flo_gguf_string(gguf, "general.architecture", &arch, err);
    if (rv == 0 && (instead == NULL || instead[0] == '\0')) {
        rv = flo_gguf_string(gguf, "tokenizer.chat_template", text, err);
        snprintf(out->name, sizeof(out->name), "%s",
                 text->bytes > 0 ? "model" : "none");
        /* Phi-2 came without one. */
        instead = rv == 0 && text->bytes == 0 && flo_gguf_text_is(arch, "phi2")
                      ? "phi2"
                      : NULL;
    }
    if (rv < 0 || instead == NULL || strcmp(instead, "none") == 0) {
        return rv;
    }
    const char *known = flo_template_known(instead);
    bool is_word = strchr(instead, '{') == NULL;
    if (known == NULL && is_word) {
        return flo_fail(err, FLO_E_MODEL_TEMPLATE,
                        "no chat template has the name '%.40s'", instead);
    }
    *text = (struct flo_gguf_text){known != NULL ? known : instead, 0};
    text->bytes = strlen(text->data);
    snprintf(out->name, sizeof(out->name), "%s",
             known != NULL ? instead : "given");
    return 0;
}

int flo_template_find(const struct flo_gguf *gguf,
                      const struct flo_vocab *vocab, const char *instead,
                      struct flo_template *out, struct flo_err *err)
{
    struct flo_gguf_text text = {"", 0};
    struct flo_err why = {0};
    memset(out, 0, sizeof(*out));
    snprintf(out->name, sizeof(out->name), "none");
    int rv = choose(gguf, instead, &text, out, &why);
    if (rv == 0 && text.bytes > FLO_TEMPLATE_BYTES_MAX) {
        rv = flo_fail(&why, FLO_E_GGUF_LIMIT,
                      "the chat template has %zu bytes, at most %u", text.bytes,
                      FLO_TEMPLATE_BYTES_MAX);
    }
    if (rv == 0 && text.bytes > 0) {
        rv = flo_jinja_open(text.data, text.bytes, &out->jinja, &why);
        rv = rv < 0 ? rv : probe(out, vocab, &why);
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

static int check_messages(const struct flo_template *chat,
                          const struct flo_engine_message *messages,
                          size_t count, struct flo_err *err)
{
    static const char *const roles[] = {"system", "user", "assistant", "tool"};
    if (count > MESSAGES_MAX) {
        return flo_fail(err, FLO_E_INFER_PARAM, "%zu messages, at most %d",
                        count, MESSAGES_MAX);
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
        if (chat->jinja != NULL && !chat->has_tool &&
            is_of(&messages[i], "tool")) {
            return flo_fail(err, FLO_E_INFER_PARAM,
                            "message %zu is a tool's; this model's chat "
                            "template has no form for it",
                            i);
        }
    }
    return 0;
}

/* Messages as the template can say them.  A system's text that it has no form
 * for goes in front of the next question, or is one where none follows. */
struct folded {
    struct flo_engine_message *messages; /* to be freed */
    size_t count;
    struct flo_buf *texts; /* one for each, mostly empty */
};

static void fold(const struct flo_template *chat,
                 const struct flo_engine_message *in, size_t count,
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
            out->messages[out->count++] = (struct flo_engine_message){
                "user", waiting->data, waiting->bytes};
            waiting = NULL;
            continue;
        }
        if (waiting != NULL) { /* it waits for a later place */
            out->texts[out->count + 1] = *waiting;
            *waiting = (struct flo_buf){0};
            waiting = &out->texts[out->count + 1];
        }
        out->messages[out->count++] = in[i];
    }
    if (waiting != NULL) {
        out->messages[out->count++] = (struct flo_engine_message){
            "user", waiting->data != NULL ? waiting->data : "", waiting->bytes};
    }
}

static int tokenise(const struct flo_vocab *vocab, const struct flo_buf *text,
                    const struct flo_buf *marks, struct flo_tokens *tokens,
                    struct flo_err *err)
{
    const struct flo_vocab_facts *facts = flo_vocab_facts(vocab);
    struct flo_buf spans = {0}, bos = {0};
    for (size_t from = 0, to; from < text->bytes; from = to) {
        bool is_message = marks->data[from] != 0;
        for (to = from;
             to < text->bytes && (marks->data[to] != 0) == is_message; to++) {
        }
        struct flo_text_span span = {text->data + from, to - from, !is_message,
                                     is_message};
        flo_buf_add(&spans, &span, sizeof(span));
    }
    token_text(vocab, facts->bos, &bos);
    bool has_bos = bos.bytes > 1 && text->bytes >= bos.bytes - 1 &&
                   memcmp(text->data, bos.data, bos.bytes - 1) == 0 &&
                   marks->data[0] == 0;
    if (facts->adds_bos && facts->bos >= 0 && !has_bos) {
        flo_tokens_add(tokens, facts->bos);
    }
    int rv = spans.failed || bos.failed
                 ? flo_fail(err, FLO_E_MEMORY, "a conversation's parts")
                 : flo_tokenize_spans(
                       vocab, (const void *)spans.data,
                       spans.bytes / sizeof(struct flo_text_span), tokens, err);
    flo_buf_deinit(&spans);
    flo_buf_deinit(&bos);
    if (rv == 0 && tokens->failed) {
        rv = flo_fail(err, FLO_E_INFER_TOO_LONG, "more than %zu tokens",
                      tokens->count);
    }
    return rv;
}

static void add_message(const struct flo_engine_message *message,
                        struct flo_buf *text, struct flo_buf *marks)
{
    flo_buf_add(text, message->text, message->bytes);
    for (size_t at = 0; at < message->bytes; at++) {
        flo_buf_add(marks, "\1", 1);
    }
}

/* Without a template. */
static void plain(const struct flo_engine_message *messages, size_t count,
                  struct flo_buf *text, struct flo_buf *marks)
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

/* An answer that was begun is what the opened one begins with. */
static int run_on(const struct flo_template *chat,
                  const struct flo_vocab *vocab,
                  const struct flo_engine_message *messages, size_t count,
                  struct flo_buf *text, struct flo_buf *marks,
                  struct flo_err *err)
{
    bool is_begun = count > 1 && is_of(&messages[count - 1], "assistant");
    int rv = run(chat, vocab, messages, is_begun ? count - 1 : count, text,
                 marks, err);

    if (rv == 0 && is_begun) {
        add_message(&messages[count - 1], text, marks);
    }
    return rv;
}

static int render(const struct flo_template *chat,
                  const struct flo_vocab *vocab,
                  const struct flo_engine_message *messages, size_t count,
                  struct flo_tokens *tokens, struct flo_err *err)
{
    struct flo_buf text = {0}, marks = {0};
    int rv = 0;
    if (chat->jinja == NULL) {
        plain(messages, count, &text, &marks);
    } else {
        rv = run_on(chat, vocab, messages, count, &text, &marks, err);
    }
    if (rv == 0 && (text.failed || marks.failed)) {
        rv = flo_fail(err, FLO_E_MEMORY, "%zu messages", count);
    }
    rv = rv < 0 ? rv : tokenise(vocab, &text, &marks, tokens, err);
    flo_buf_deinit(&text);
    flo_buf_deinit(&marks);
    return rv;
}

/* Is the text too long by its bytes alone? */
static int check_bytes(const struct flo_vocab *vocab,
                       const struct flo_engine_message *messages, size_t count,
                       struct flo_tokens *tokens, struct flo_err *err)
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

int flo_template_render(const struct flo_template *chat,
                        const struct flo_vocab *vocab,
                        const struct flo_engine_message *messages,
                        size_t message_count, struct flo_tokens *tokens,
                        struct flo_err *err)
{
    struct folded folded = {0};
    int rv = check_messages(chat, messages, message_count, err);
    rv = rv < 0 ? rv : check_bytes(vocab, messages, message_count, tokens, err);
    if (rv < 0 || chat->jinja == NULL) {
        return rv < 0
                   ? rv
                   : render(chat, vocab, messages, message_count, tokens, err);
    }
    folded.messages = calloc(message_count + 1, sizeof(*folded.messages));
    folded.texts = calloc(message_count + 2, sizeof(*folded.texts));
    if (folded.messages == NULL || folded.texts == NULL) {
        rv = flo_fail(err, FLO_E_MEMORY, "%zu messages", message_count);
    } else {
        bool failed = false;
        fold(chat, messages, message_count, &folded);
        for (size_t i = 0; i < message_count + 2; i++) {
            failed = failed || folded.texts[i].failed;
        }
        rv = failed ? flo_fail(err, FLO_E_MEMORY, "%zu messages", message_count)
                    : render(chat, vocab, folded.messages, folded.count, tokens,
                             err);
    }
    for (size_t i = 0; folded.texts != NULL && i < message_count + 2; i++) {
        flo_buf_deinit(&folded.texts[i]);
    }
    free(folded.messages);
    free(folded.texts);
    return rv;
}
