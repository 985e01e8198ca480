/* Chat templates, a few lines for each family.
 *
 * A conversation becomes a list of spans, which are tokenised as one text:
 * so words next to a marker are cut exactly as the model was trained on,
 * while only the template's own spans may hold control tokens. */
#include "engine/token/template.h"

#include <stdlib.h>
#include <string.h>

#include "engine/token/vocab.h"

#define MESSAGES_MAX 4096
#define SPANS_PER_MESSAGE 6
#define TEMPLATE_BYTES_MAX (256u << 10)

/* Spans being collected; flushed to ids where an id stands by itself. */
struct script {
    const struct flo_vocab *vocab;
    struct flo_tokens *tokens;
    struct flo_text_span *spans;
    size_t count;
    struct flo_err *err;
};

static void say(struct script *script, const char *text)
{
    script->spans[script->count++] =
        (struct flo_text_span){text, strlen(text), true};
}

static void quote(struct script *script, const char *text, size_t bytes)
{
    script->spans[script->count++] = (struct flo_text_span){text, bytes, false};
}

static int flush(struct script *script)
{
    size_t count = script->count;
    script->count = 0;
    return flo_tokenize_spans(script->vocab, script->spans, count,
                              script->tokens, script->err);
}

static int put_id(struct script *script, int32_t id)
{
    int rv = flush(script);
    if (rv == 0 && id >= 0) {
        flo_tokens_add(script->tokens, id);
    }
    return rv;
}

static bool is_role(const struct flo_message *message, const char *role)
{
    return strcmp(message->role, role) == 0;
}

static int render_none(struct script *script, const struct flo_message *m,
                       size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (i > 0) {
            say(script, "\n\n");
        }
        quote(script, m[i].text, m[i].bytes);
    }
    return flush(script);
}

static void chatml_turn(struct script *script, const char *role,
                        const char *text, size_t bytes)
{
    say(script, "<|im_start|>");
    say(script, role);
    say(script, "\n");
    quote(script, text, bytes);
    say(script, "<|im_end|>");
    say(script, "\n");
}

static int render_chatml(struct script *script, const struct flo_template *chat,
                         const struct flo_message *m, size_t count)
{
    if (chat->default_system[0] != '\0' &&
        (count == 0 || !is_role(&m[0], "system"))) {
        chatml_turn(script, "system", chat->default_system,
                    strlen(chat->default_system));
    }
    for (size_t i = 0; i < count; i++) {
        chatml_turn(script, m[i].role, m[i].text, m[i].bytes);
    }
    say(script, "<|im_start|>");
    say(script, "assistant\n");
    return flush(script);
}

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static int render_llama3(struct script *script, const struct flo_message *m,
                         size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *text = m[i].text;
        size_t bytes = m[i].bytes;
        while (bytes > 0 && is_blank(text[0])) {
            text++;
            bytes--;
        }
        while (bytes > 0 && is_blank(text[bytes - 1])) {
            bytes--;
        }
        say(script, "<|start_header_id|>");
        say(script, is_role(&m[i], "tool") ? "ipython" : m[i].role);
        say(script, "<|end_header_id|>");
        say(script, "\n\n");
        quote(script, text, bytes);
        say(script, "<|eot_id|>");
    }
    say(script, "<|start_header_id|>");
    say(script, "assistant<|end_header_id|>\n\n");
    return flush(script);
}

/* Pairs of user and assistant; a system message goes into the first pair. */
static int render_llama2(struct script *script, const struct flo_message *m,
                         size_t count)
{
    const struct flo_vocab_facts *facts = flo_vocab_facts(script->vocab);
    size_t first = count > 0 && is_role(&m[0], "system") ? 1 : 0;
    for (size_t i = first; i < count; i++) {
        bool is_user = (i - first) % 2 == 0;
        int rv;
        if (!is_role(&m[i], is_user ? "user" : "assistant")) {
            return flo_fail(script->err, FLO_E_INFER_PARAM,
                            "message %zu is '%s'; this model takes user and "
                            "assistant in turn",
                            i, m[i].role);
        }
        if (!is_user) {
            say(script, " ");
            quote(script, m[i].text, m[i].bytes);
            say(script, " ");
            if ((rv = put_id(script, facts->eos)) < 0 ||
                (rv = put_id(script, facts->bos)) < 0) {
                return rv;
            }
            continue;
        }
        say(script, "[INST] ");
        if (i == first && first == 1) {
            say(script, "<<SYS>>\n");
            quote(script, m[0].text, m[0].bytes);
            say(script, "\n<</SYS>>\n\n");
        }
        quote(script, m[i].text, m[i].bytes);
        say(script, " [/INST]");
    }
    return flush(script);
}

/* The markers of a family must be single control tokens. */
static int check_markers(const struct flo_vocab *vocab,
                         enum flo_template_kind kind, struct flo_err *err)
{
    static const char *const chatml[] = {"<|im_start|>", "<|im_end|>", NULL};
    static const char *const llama3[] = {
        "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", NULL};
    const char *const *markers = kind == FLO_TEMPLATE_CHATML   ? chatml
                                 : kind == FLO_TEMPLATE_LLAMA3 ? llama3
                                                               : NULL;
    for (; markers != NULL && *markers != NULL; markers++) {
        int32_t id = flo_vocab_find(vocab, *markers, strlen(*markers));
        if (id < 0 || (vocab->tokens[id].type != FLO_TOKEN_CONTROL &&
                       vocab->tokens[id].type != FLO_TOKEN_USER)) {
            return flo_fail(err, FLO_E_GGUF_VOCAB,
                            "the chat template needs the control token '%s'",
                            *markers);
        }
    }
    return 0;
}

static int check_messages(const struct flo_message *messages, size_t count,
                          struct flo_err *err)
{
    static const char *const roles[] = {"system", "user", "assistant", "tool"};
    if (count > MESSAGES_MAX) {
        return flo_fail(err, FLO_E_INFER_PARAM, "%zu messages, at most %d",
                        count, MESSAGES_MAX);
    }
    for (size_t i = 0; i < count; i++) {
        size_t k = 0;
        while (k < FLO_COUNT(roles) && !is_role(&messages[i], roles[k])) {
            k++;
        }
        if (k == FLO_COUNT(roles)) {
            return flo_fail(err, FLO_E_INFER_PARAM,
                            "message %zu has role '%s'; system, user, "
                            "assistant and tool are known",
                            i, messages[i].role);
        }
    }
    return 0;
}

static int render(const struct flo_template *chat, struct script *script,
                  const struct flo_message *messages, size_t count)
{
    switch (chat->kind) {
    case FLO_TEMPLATE_NONE:
        return render_none(script, messages, count);
    case FLO_TEMPLATE_CHATML:
        return render_chatml(script, chat, messages, count);
    case FLO_TEMPLATE_LLAMA3:
        return render_llama3(script, messages, count);
    case FLO_TEMPLATE_LLAMA2:
        return render_llama2(script, messages, count);
    }
    return flo_fail(script->err, FLO_E_INTERNAL, "template kind %d",
                    (int)chat->kind);
}

int flo_template_render(const struct flo_template *chat,
                        const struct flo_vocab *vocab,
                        const struct flo_message *messages,
                        size_t message_count, struct flo_tokens *tokens,
                        struct flo_err *err)
{
    const struct flo_vocab_facts *facts = flo_vocab_facts(vocab);
    struct script script = {.vocab = vocab, .tokens = tokens, .err = err};
    bool has_bos = facts->adds_bos || chat->kind == FLO_TEMPLATE_LLAMA3 ||
                   chat->kind == FLO_TEMPLATE_LLAMA2;
    int rv = check_messages(messages, message_count, err);
    if (rv < 0 || (rv = check_markers(vocab, chat->kind, err)) < 0) {
        return rv;
    }
    script.spans =
        calloc((message_count + 2) * SPANS_PER_MESSAGE, sizeof(*script.spans));
    if (script.spans == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "%zu messages", message_count);
    }
    if (has_bos && facts->bos >= 0) {
        flo_tokens_add(tokens, facts->bos);
    }
    rv = render(chat, &script, messages, message_count);
    if (rv == 0 && tokens->failed) {
        rv = flo_fail(err, FLO_E_INFER_TOO_LONG, "more than %zu tokens",
                      tokens->count);
    }
    free(script.spans);
    return rv;
}

/* ---- recognising ---- */

static const char *find_in(struct flo_gguf_text text, size_t from,
                           const char *word)
{
    return memmem(text.data + from, text.bytes - from, word, strlen(word));
}

/* The literal system turn that the template puts first, if it has one:
 * what stands between its opening and <|im_end|> without any Jinja in it. */
static void find_default_system(struct flo_gguf_text text,
                                struct flo_template *out)
{
    static const char opening[] = "<|im_start|>system";
    size_t from = 0;
    const char *hit;
    while ((hit = find_in(text, from, opening)) != NULL) {
        const char *start = hit + strlen(opening);
        const char *limit = text.data + text.bytes;
        from = (size_t)(start - text.data);
        if (start < limit && *start == '\n') {
            start++;
        } else if (limit - start >= 2 && memcmp(start, "\\n", 2) == 0) {
            start += 2;
        } else {
            continue;
        }
        const char *end =
            find_in(text, (size_t)(start - text.data), "<|im_end|>");
        size_t bytes = end != NULL ? (size_t)(end - start) : 0;
        if (bytes == 0 || bytes >= sizeof(out->default_system)) {
            continue;
        }
        memcpy(out->default_system, start, bytes);
        out->default_system[bytes] = '\0';
        if (strlen(out->default_system) == bytes &&
            strpbrk(out->default_system, "'\"{}\\") == NULL) {
            return;
        }
        out->default_system[0] = '\0';
    }
}

int flo_template_find(const struct flo_gguf *gguf, struct flo_template *out,
                      struct flo_err *err)
{
    static const struct {
        const char *marker;
        const char *name;
        enum flo_template_kind kind;
    } families[] = {
        {"<|im_start|>", "chatml", FLO_TEMPLATE_CHATML},
        {"<|start_header_id|>", "llama3", FLO_TEMPLATE_LLAMA3},
        {"<<SYS>>", "llama2", FLO_TEMPLATE_LLAMA2},
    };
    struct flo_gguf_text text = {"", 0};
    int rv = flo_gguf_string(gguf, "tokenizer.chat_template", &text, err);
    if (rv < 0) {
        return rv;
    }
    memset(out, 0, sizeof(*out));
    snprintf(out->name, sizeof(out->name), "none");
    if (text.bytes == 0) {
        return 0;
    }
    if (text.bytes > TEMPLATE_BYTES_MAX) {
        return flo_fail(err, FLO_E_GGUF_LIMIT,
                        "the chat template has %zu bytes, at most %u",
                        text.bytes, TEMPLATE_BYTES_MAX);
    }
    for (size_t i = 0; i < FLO_COUNT(families); i++) {
        if (find_in(text, 0, families[i].marker) == NULL) {
            continue;
        }
        out->kind = families[i].kind;
        snprintf(out->name, sizeof(out->name), "%s", families[i].name);
        if (out->kind == FLO_TEMPLATE_CHATML) {
            find_default_system(text, out);
        }
        return 0;
    }
    return flo_fail(err, FLO_E_NOT_BUILT,
                    "this model's chat template is of no known family; "
                    "ChatML, Llama 3 and Llama 2 are");
}
