/* Chat templates: which family a model's Jinja text is of, by the words that
 * mark its turns. */
#include <stdio.h>
#include <string.h>

#include "engine/token/template.h"

#define TEMPLATE_BYTES_MAX (256u << 10)

/* The first whose two words a template holds is its family. */
static const struct {
    enum flo_template_kind kind;
    const char *name;
    const char *words[2];
} families[] = {
    {FLO_TEMPLATE_CHATML, "chatml", {"<|im_start|>", ""}},
    {FLO_TEMPLATE_LLAMA3, "llama3", {"<|start_header_id|>", ""}},
    {FLO_TEMPLATE_GEMMA, "gemma", {"<start_of_turn>", ""}},
    {FLO_TEMPLATE_PHI3, "phi3", {"<|assistant|>", "<|end|>"}},
    {FLO_TEMPLATE_LLAMA2, "llama2", {"[INST]", "<<SYS>>"}},
    {FLO_TEMPLATE_MISTRAL, "mistral", {"[INST]", ""}},
    {FLO_TEMPLATE_ZEPHYR, "zephyr", {"<|user|>", "<|assistant|>"}},
    {FLO_TEMPLATE_PHI2, "phi2", {"Instruct:", "Output:"}},
};

/* Marks of forms that are not built, though they hold a family's words: those
 * of Phi-4 and SmolVLM. */
static const char *const strange[] = {"<|im_sep|>", "<end_of_utterance>"};

/* Phi-2 came without one. */
static const struct flo_gguf_text phi2_template = {"Instruct:Output:", 16};

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
    const char *limit = text.data + text.bytes;
    const char *hit;
    for (size_t from = 0; (hit = find_in(text, from, opening)) != NULL;) {
        const char *start = hit + strlen(opening);
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
        if (bytes < sizeof(out->default_system)) {
            memcpy(out->default_system, start, bytes);
            out->default_system[bytes] = '\0';
            if (bytes > 0 && strcspn(out->default_system, "'\"{}\\") == bytes) {
                return;
            }
        }
    }
    out->default_system[0] = '\0';
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
        if (c == '\\' || c == '"' || c == '\'' || c == '{' ||
            (unsigned char)c < ' ') {
            break;
        }
        out[count] = c;
    }
    out[flo_utf8_valid(out, count)] = '\0'; /* no half character */
}

static bool has(struct flo_gguf_text text, const char *word)
{
    return find_in(text, 0, word) != NULL;
}

/* Is there a blank in front of an answer?  By what is added to its text; where
 * that cannot be seen, as behind [INST]. */
static bool has_blank_answer(struct flo_gguf_text text, bool otherwise)
{
    static const char *const answers[] = {"message['content'] + eos_token",
                                          "message[\"content\"] + eos_token"};
    for (size_t i = 0; i < FLO_COUNT(answers); i++) {
        const char *hit = find_in(text, 0, answers[i]);
        if (hit != NULL) {
            return hit - text.data >= 6 &&
                   (memcmp(hit - 6, "' ' + ", 6) == 0 ||
                    memcmp(hit - 6, "\" \" + ", 6) == 0);
        }
    }
    return otherwise;
}

static void learn_mistral(struct flo_gguf_text text, struct flo_template *out)
{
    out->has_system_marks = has(text, "[SYSTEM_PROMPT]");
    out->has_system_last = has(text, "loop.last and system_message");
    out->trims = has(text, "|trim");
    out->blank_before = has(text, " [INST]");
    out->blank_behind = has(text, "[INST] ");
    out->blank_before_end = has(text, " [/INST]");
    out->blank_before_answer = has_blank_answer(text, out->blank_behind);
    out->blank_behind_answer = has(text, "eos_token + ' '");
}

static void learn_variant(struct flo_gguf_text text, struct flo_template *out)
{
    switch (out->kind) {
    case FLO_TEMPLATE_CHATML:
        find_default_system(text, out);
        out->wraps_tools = has(text, "<tool_response>");
        out->drops_thoughts = has(text, "split('</think>')");
        break;
    case FLO_TEMPLATE_LLAMA3:
        find_word(text, "Cutting Knowledge Date: ", out->knowledge_date,
                  sizeof(out->knowledge_date));
        find_word(text, "date_string = \"", out->today, sizeof(out->today));
        if (out->today[0] == '\0') {
            snprintf(out->today, sizeof(out->today), "26 Jul 2024");
        }
        out->names_ipython = has(text, "<|start_header_id|>ipython");
        out->quotes_tools = has(text, "message.content | tojson");
        break;
    case FLO_TEMPLATE_LLAMA2:
        out->trims = has(text, ".strip()");
        break;
    case FLO_TEMPLATE_GEMMA:
        out->keeps_system = has(text, "first_user_prefix");
        break;
    case FLO_TEMPLATE_PHI3:
        out->skips_no_system =
            has(text, "message['role'] == 'system' and message['content'] %}");
        out->has_one_line = !has(text, "\n") && !has(text, "\\n");
        break;
    case FLO_TEMPLATE_ZEPHYR:
        out->ends_answers = has(text, "message['content'] + '\\n'") ||
                            has(text, "message['content'] + '\n'");
        break;
    case FLO_TEMPLATE_MISTRAL:
        learn_mistral(text, out);
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
    bool is_strange = has(text, strange[0]) || has(text, strange[1]);
    if (text.bytes == 0 && flo_gguf_text_is(arch, "phi2")) {
        text = phi2_template;
    }
    for (size_t i = 0; i < FLO_COUNT(families) && !is_strange; i++) {
        if (has(text, families[i].words[0]) &&
            has(text, families[i].words[1])) {
            out->kind = families[i].kind;
            snprintf(out->name, sizeof(out->name), "%s", families[i].name);
            learn_variant(text, out);
            return 0;
        }
    }
    if (text.bytes > 0) {
        return flo_fail(err, FLO_E_NOT_BUILT,
                        "this model's chat template is of no known family; "
                        "ChatML, Llama 2 and 3, Mistral, Gemma, Phi-2, Phi-3 "
                        "and Zephyr are");
    }
    return 0;
}
