/* Chat templates, a few lines for each family.
 *
 * A conversation becomes a list of spans, which are tokenised as one text:
 * so words next to a marker are cut exactly as the model was trained on,
 * while only the template's own spans may hold control tokens. */
#include "engine/token/template_script.h"

#include <stdlib.h>
#include <string.h>

#include "engine/token/vocab.h"

#define MESSAGES_MAX 4096
#define TEMPLATE_BYTES_MAX (256u << 10)

void flo_script_say(struct flo_script *script, const char *text)
{
    script->spans[script->count++] =
        (struct flo_text_span){text, strlen(text), true, false};
}

void flo_script_quote(struct flo_script *script, const char *text, size_t bytes)
{
    script->spans[script->count++] =
        (struct flo_text_span){text, bytes, false, true};
}

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

void flo_script_quote_trimmed(struct flo_script *script,
                              const struct flo_message *message)
{
    const char *text = message->text;
    size_t bytes = message->bytes;
    while (bytes > 0 && is_blank(text[0])) {
        text++;
        bytes--;
    }
    while (bytes > 0 && is_blank(text[bytes - 1])) {
        bytes--;
    }
    flo_script_quote(script, text, bytes);
}

int flo_script_flush(struct flo_script *script)
{
    size_t count = script->count;
    script->count = 0;
    return flo_tokenize_spans(script->vocab, script->spans, count,
                              script->tokens, script->err);
}

int flo_script_put_id(struct flo_script *script, int32_t id)
{
    int rv = flo_script_flush(script);
    if (rv == 0 && id >= 0) {
        flo_tokens_add(script->tokens, id);
    }
    return rv;
}

bool flo_message_is(const struct flo_message *message, const char *role)
{
    return strcmp(message->role, role) == 0;
}

/* What makes a family.  Its template holds both words; its markers must be
 * single special tokens of the vocabulary. */
static const struct family {
    enum flo_template_kind kind;
    const char *name;
    const char *words[2];
    const char *markers[3];
    flo_template_family *render;
    bool has_bos; /* even when the metadata does not say so */
} families[] = {
    {FLO_TEMPLATE_CHATML,
     "chatml",
     {"<|im_start|>", ""},
     {"<|im_start|>", "<|im_end|>"},
     flo_template_chatml,
     false},
    {FLO_TEMPLATE_LLAMA3,
     "llama3",
     {"<|start_header_id|>", ""},
     {"<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"},
     flo_template_llama3,
     true},
    {FLO_TEMPLATE_GEMMA,
     "gemma",
     {"<start_of_turn>", ""},
     {"<start_of_turn>", "<end_of_turn>"},
     flo_template_gemma,
     true},
    {FLO_TEMPLATE_PHI3,
     "phi3",
     {"<|assistant|>", "<|end|>"},
     {"<|assistant|>", "<|user|>", "<|end|>"},
     flo_template_phi3,
     false},
    {FLO_TEMPLATE_LLAMA2,
     "llama2",
     {"[INST]", "<<SYS>>"},
     {NULL},
     flo_template_llama2,
     true},
    {FLO_TEMPLATE_MISTRAL,
     "mistral",
     {"[INST]", ""},
     {NULL},
     flo_template_mistral,
     true},
    {FLO_TEMPLATE_ZEPHYR,
     "zephyr",
     {"<|user|>", "<|assistant|>"},
     {NULL},
     flo_template_zephyr,
     false},
    {FLO_TEMPLATE_PHI2,
     "phi2",
     {"Instruct:", "Output:"},
     {NULL},
     flo_template_phi2,
     false},
};

static const struct family *family_of(enum flo_template_kind kind)
{
    for (size_t i = 0; i < FLO_COUNT(families); i++) {
        if (families[i].kind == kind) {
            return &families[i];
        }
    }
    return NULL;
}

static int check_markers(const struct flo_vocab *vocab,
                         const struct family *family, struct flo_err *err)
{
    for (size_t i = 0; i < FLO_COUNT(family->markers); i++) {
        const char *marker = family->markers[i];
        if (marker == NULL) {
            break;
        }
        int32_t id = flo_vocab_find(vocab, marker, strlen(marker));
        if (id < 0 || (vocab->tokens[id].type != FLO_TOKEN_CONTROL &&
                       vocab->tokens[id].type != FLO_TOKEN_USER)) {
            return flo_fail(err, FLO_E_GGUF_VOCAB,
                            "the chat template needs the control token '%s'",
                            marker);
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
        while (k < FLO_COUNT(roles) &&
               !flo_message_is(&messages[i], roles[k])) {
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

int flo_template_render(const struct flo_template *chat,
                        const struct flo_vocab *vocab,
                        const struct flo_message *messages,
                        size_t message_count, struct flo_tokens *tokens,
                        struct flo_err *err)
{
    const struct flo_vocab_facts *facts = flo_vocab_facts(vocab);
    const struct family *family = family_of(chat->kind);
    struct flo_script script = {
        .chat = chat, .vocab = vocab, .tokens = tokens, .err = err};
    bool has_bos = facts->adds_bos || (family != NULL && family->has_bos);
    int rv = check_messages(messages, message_count, err);
    if (rv == 0 && family != NULL) {
        rv = check_markers(vocab, family, err);
    }
    if (rv < 0) {
        return rv;
    }
    script.spans = calloc((message_count + 2) * FLO_SPANS_PER_MESSAGE,
                          sizeof(*script.spans));
    if (script.spans == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "%zu messages", message_count);
    }
    if (has_bos && facts->bos >= 0) {
        flo_tokens_add(tokens, facts->bos);
    }
    rv = (family != NULL ? family->render : flo_template_plain)(
        &script, messages, message_count);
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

/* What stands behind `word` up to the end of a line or of a Jinja string. */
static void find_word(struct flo_gguf_text text, const char *word, char *out,
                      size_t out_bytes)
{
    const char *hit = find_in(text, 0, word);
    size_t count = 0;
    if (hit == NULL) {
        return;
    }
    const char *limit = text.data + text.bytes;
    for (hit += strlen(word); hit + count < limit && count + 1 < out_bytes;
         count++) {
        char c = hit[count];
        if (c == '\\' || c == '"' || c == '\'' || c == '{' || c < ' ') {
            break;
        }
        out[count] = c;
    }
    out[count] = '\0';
}

static void learn_variant(struct flo_gguf_text text, struct flo_template *out)
{
    switch (out->kind) {
    case FLO_TEMPLATE_CHATML:
        find_default_system(text, out);
        break;
    case FLO_TEMPLATE_LLAMA3:
        find_word(text, "Cutting Knowledge Date: ", out->knowledge_date,
                  sizeof(out->knowledge_date));
        find_word(text, "date_string = \"", out->today, sizeof(out->today));
        if (out->today[0] == '\0') {
            snprintf(out->today, sizeof(out->today), "26 Jul 2024");
        }
        break;
    case FLO_TEMPLATE_MISTRAL:
        out->has_system_marks = find_in(text, 0, "[SYSTEM_PROMPT]") != NULL;
        out->blank_before = find_in(text, 0, " [INST]") != NULL;
        /* The Tekken versions put no blank behind their marks. */
        out->blank_behind =
            out->has_system_marks
                ? find_in(text, 0, "[INST] ") != NULL
                : out->blank_before || find_in(text, 0, "\"[INST]\"") == NULL;
        break;
    default:
        break;
    }
}

int flo_template_find(const struct flo_gguf *gguf, struct flo_template *out,
                      struct flo_err *err)
{
    struct flo_gguf_text text = {"", 0};
    struct flo_gguf_text arch = {"", 0};
    const struct family *family = NULL;
    int rv = flo_gguf_string(gguf, "tokenizer.chat_template", &text, err);
    if (rv < 0 ||
        (rv = flo_gguf_string(gguf, "general.architecture", &arch, err)) < 0) {
        return rv;
    }
    if (text.bytes > TEMPLATE_BYTES_MAX) {
        return flo_fail(err, FLO_E_GGUF_LIMIT,
                        "the chat template has %zu bytes, at most %u",
                        text.bytes, TEMPLATE_BYTES_MAX);
    }
    memset(out, 0, sizeof(*out));
    snprintf(out->name, sizeof(out->name), "none");
    for (size_t i = 0; family == NULL && i < FLO_COUNT(families); i++) {
        if (find_in(text, 0, families[i].words[0]) != NULL &&
            find_in(text, 0, families[i].words[1]) != NULL) {
            family = &families[i];
        }
    }
    if (text.bytes == 0) { /* Phi-2 came without one */
        family = flo_gguf_text_is(arch, "phi2") ? family_of(FLO_TEMPLATE_PHI2)
                                                : NULL;
    } else if (family == NULL) {
        return flo_fail(err, FLO_E_NOT_BUILT,
                        "this model's chat template is of no known family; "
                        "ChatML, Llama 2 and 3, Mistral, Gemma, Phi-2, Phi-3 "
                        "and Zephyr are");
    }
    if (family != NULL) {
        out->kind = family->kind;
        snprintf(out->name, sizeof(out->name), "%s", family->name);
        learn_variant(text, out);
    }
    return 0;
}
