/* Chat templates, a row for each family.
 *
 * A conversation becomes a list of spans, which are tokenised as one text:
 * so words next to a marker are cut exactly as the model was trained on,
 * while only the template's own spans may hold control tokens. */
#include "engine/token/template.h"

#include <stdlib.h>
#include <string.h>

#include "engine/token/unicode.h"
#include "engine/token/vocab.h"

#define MESSAGES_MAX 4096
#define SPANS_PER_MESSAGE 10

/* Spans being collected; flushed to ids where an id stands by itself. */
struct script {
    const struct flo_template *chat;
    const struct family *family;
    const struct flo_vocab *vocab;
    struct flo_tokens *tokens;
    struct flo_text_span *spans;
    size_t count;
    int rv; /* of what failed; nothing more is added then */
    struct flo_err *err;
};

typedef void render(struct script *script, const struct flo_message *m,
                    size_t count);
static render plain, turns, chatml, llama3, llama2, mistral, gemma, phi3;

/* Parts of a turn that stand for something else. */
static const char ROLE[] = "the family's name of the role";
static const char TEXT[] = "the message's text";
static const char TRIMMED[] = "the same without blanks at its ends";
static const char EOS[] = "the vocabulary's end";
static const char BOS[] = "its beginning";

static const char *const roles[] = {"system", "user", "assistant", "tool"};

/* Each string of a turn is a span, and a control token must lie within one. */
static const struct family {
    render *render;
    bool has_bos;           /* even when the metadata does not say so */
    const char *markers[3]; /* single special tokens of the vocabulary */
    const char *names[4];   /* of roles */
    const char *turn[7];
    const char *answer[5]; /* what opens it */
} families[] = {
    [FLO_TEMPLATE_NONE] = {.render = plain},
    [FLO_TEMPLATE_CHATML] = {.render = chatml,
                             .markers = {"<|im_start|>", "<|im_end|>"},
                             .names = {"system", "user", "assistant", "tool"},
                             .turn = {"<|im_start|>", ROLE, "\n", TEXT,
                                      "<|im_end|>", "\n"},
                             .answer = {"<|im_start|>", "assistant\n"}},
    [FLO_TEMPLATE_LLAMA3] = {.render = llama3,
                             .has_bos = true,
                             .markers = {"<|start_header_id|>",
                                         "<|end_header_id|>", "<|eot_id|>"},
                             .names = {"system", "user", "assistant", "tool"},
                             .turn = {"<|start_header_id|>", ROLE,
                                      "<|end_header_id|>", "\n\n", TRIMMED,
                                      "<|eot_id|>"},
                             .answer = {"<|start_header_id|>", "assistant",
                                        "<|end_header_id|>", "\n\n"}},
    [FLO_TEMPLATE_GEMMA] = {.render = gemma,
                            .has_bos = true,
                            .markers = {"<start_of_turn>", "<end_of_turn>"},
                            .names = {"user\n", "user\n", "model\n", "user\n"},
                            .turn = {TRIMMED, "<end_of_turn>", "\n"},
                            .answer = {"<start_of_turn>", "model\n"}},
    [FLO_TEMPLATE_PHI3] = {.render = phi3,
                           .markers = {"<|assistant|>", "<|user|>", "<|end|>"},
                           .names = {"<|system|>", "<|user|>", "<|assistant|>",
                                     "<|user|>"}},
    /* Here the marks of the roles are plain text. */
    [FLO_TEMPLATE_ZEPHYR] = {.render = turns,
                             .names = {"<|system|>", "<|user|>",
                                       "<|assistant|>", "<|user|>"},
                             .turn = {ROLE, "\n", TEXT, EOS, "\n"},
                             .answer = {"<|assistant|>", "\n"}},
    [FLO_TEMPLATE_PHI2] = {.render = turns,
                           .names = {"",
                                     "Instruct: ", "Output: ", "Instruct: "},
                           .turn = {ROLE, TEXT, "\n"},
                           .answer = {"Output:"}},
    [FLO_TEMPLATE_LLAMA2] = {.render = llama2, .has_bos = true},
    [FLO_TEMPLATE_MISTRAL] = {.render = mistral, .has_bos = true},
};

/* ---- a script ---- */

static void add_span(struct script *script, const char *text, size_t bytes,
                     bool is_message)
{
    script->spans[script->count++] = (struct flo_text_span){
        text, bytes, .is_special = !is_message, .is_message = is_message};
}

/* To Python, whose strip() a template's trim is: four more than Unicode's. */
static bool is_blank(uint32_t code)
{
    return (flo_unicode_sets(code) & FLO_UNICODE_BLANK) != 0 ||
           (code >= 0x1c && code <= 0x1f);
}

static struct flo_message trimmed(const struct flo_message *m)
{
    size_t taken, start = m->bytes, end = 0;
    for (size_t at = 0; at < m->bytes; at += taken) {
        uint32_t code = flo_utf8_next(m->text + at, m->bytes - at, &taken);
        if (!is_blank(code)) {
            start = at < start ? at : start;
            end = at + taken;
        }
    }
    start = start < end ? start : end;
    return (struct flo_message){m->role, m->text + start, end - start};
}

static void flush(struct script *script)
{
    if (script->rv == 0) {
        script->rv =
            flo_tokenize_spans(script->vocab, script->spans, script->count,
                               script->tokens, script->err);
    }
    script->count = 0;
}

/* What was added so far, then one id (or nothing when it is -1). */
static void put_id(struct script *script, int32_t id)
{
    flush(script);
    if (script->rv == 0 && id >= 0) {
        flo_tokens_add(script->tokens, id);
    }
}

static bool is_of(const struct flo_message *message, const char *role)
{
    return strcmp(message->role, role) == 0;
}

static size_t role_of(const struct flo_message *message)
{
    size_t role = 0;
    while (role < FLO_COUNT(roles) && !is_of(message, roles[role])) {
        role++;
    }
    return role;
}

/* Parts up to NULL, for this message if they are of one. */
static void put(struct script *script, const char *const *parts,
                const struct flo_message *m)
{
    const struct flo_vocab_facts *facts = flo_vocab_facts(script->vocab);
    for (; *parts != NULL; parts++) {
        const char *part = *parts;
        if (part == EOS || part == BOS) {
            put_id(script, part == EOS ? facts->eos : facts->bos);
        } else if (part == TEXT) {
            add_span(script, m->text, m->bytes, true);
        } else if (part == TRIMMED) {
            struct flo_message text = trimmed(m);
            add_span(script, text.text, text.bytes, true);
        } else {
            part = part == ROLE ? script->family->names[role_of(m)] : part;
            add_span(script, part, strlen(part), false);
        }
    }
}

/* ---- conversations, the answer opened at the end ---- */

static void plain(struct script *script, const struct flo_message *m,
                  size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (i > 0) {
            add_span(script, "\n\n", 2, false);
        }
        add_span(script, m[i].text, m[i].bytes, true);
    }
}

static void turns(struct script *script, const struct flo_message *m,
                  size_t count)
{
    static const char *const endless[] = {ROLE, "\n", TEXT, "\n", NULL};
    for (size_t i = 0; i < count; i++) {
        bool ends = !script->chat->ends_answers || is_of(&m[i], "assistant");
        put(script, ends ? script->family->turn : endless, &m[i]);
    }
    put(script, script->family->answer, NULL);
}

/* What tools said one after the other is one turn of the user. */
static void responses(struct script *script, const struct flo_message *m,
                      bool is_first, bool is_last)
{
    static const char *const opening[] = {"<|im_start|>", "user", NULL};
    static const char *const response[] = {"\n<tool_response>\n", TEXT,
                                           "\n</tool_response>", NULL};
    static const char *const closing[] = {"<|im_end|>", "\n", NULL};
    if (is_first) {
        put(script, opening, NULL);
    }
    put(script, response, m);
    if (is_last) {
        put(script, closing, NULL);
    }
}

/* An answer's text behind its thoughts. */
static struct flo_message without_thoughts(const struct flo_message *m)
{
    static const char mark[] = "</think>";
    const char *end = m->text + m->bytes;
    const char *start = m->text, *hit;
    while ((hit = memmem(start, (size_t)(end - start), mark, strlen(mark))) !=
           NULL) {
        start = hit + strlen(mark);
    }
    while (start > m->text && start < end && *start == '\n') {
        start++;
    }
    return (struct flo_message){m->role, start, (size_t)(end - start)};
}

static void chatml(struct script *script, const struct flo_message *m,
                   size_t count)
{
    const struct flo_template *chat = script->chat;
    const char *text = chat->default_system;
    const struct flo_message system = {"system", text, strlen(text)};
    size_t question = count; /* the last one */
    if (system.bytes > 0 && (count == 0 || !is_of(&m[0], "system"))) {
        put(script, script->family->turn, &system);
    }
    while (question > 0 && !is_of(&m[question - 1], "user")) {
        question--;
    }
    for (size_t i = 0; i < count; i++) {
        struct flo_message turn = m[i];
        if (chat->wraps_tools && is_of(&turn, "tool")) {
            responses(script, &turn, i == 0 || !is_of(&m[i - 1], "tool"),
                      i + 1 == count || !is_of(&m[i + 1], "tool"));
            continue;
        }
        if (chat->drops_thoughts && is_of(&turn, "assistant") && i < question) {
            turn = without_thoughts(&turn);
        }
        put(script, script->family->turn, &turn);
    }
    put(script, script->family->answer, NULL);
}

/* As Python's json.dumps() without ensure_ascii, which is what a template's
 * `tojson` does. */
static void add_json(struct flo_buf *out, const struct flo_message *m)
{
    static const char escaped[] = "\"\\\b\f\n\r\t";
    static const char letters[] = "\"\\bfnrt";
    flo_buf_text(out, "\"");
    for (size_t i = 0; i < m->bytes; i++) {
        const char *hit = memchr(escaped, m->text[i], sizeof(escaped) - 1);
        if (hit != NULL) {
            flo_buf_printf(out, "\\%c", letters[hit - escaped]);
        } else if ((unsigned char)m->text[i] < ' ') {
            flo_buf_printf(out, "\\u%04x", (unsigned)m->text[i]);
        } else {
            flo_buf_add(out, &m->text[i], 1);
        }
    }
    flo_buf_text(out, "\"");
}

/* What a tool said, from 3.1 on.  A quoted text lives as long as its turn. */
static void ipython(struct script *script, const struct flo_message *m)
{
    static const char *const turn[] = {
        "<|start_header_id|>", "ipython", "<|end_header_id|>", "\n\n", TEXT,
        "<|eot_id|>",          NULL};
    struct flo_buf json = {0};
    if (!script->chat->quotes_tools) {
        put(script, turn, m);
        return;
    }
    add_json(&json, m);
    put(script, turn, &(struct flo_message){m->role, json.data, json.bytes});
    flush(script);
    if (script->rv == 0 && json.failed) {
        script->rv = flo_fail(script->err, FLO_E_MEMORY,
                              "a tool's text of %zu bytes", m->bytes);
    }
    flo_buf_deinit(&json);
}

/* From 3.1 on the system turn is always there and begins with two dates. */
static void llama3(struct script *script, const struct flo_message *m,
                   size_t count)
{
    const struct flo_template *chat = script->chat;
    const char *const opening[] = {"<|start_header_id|>", "system",
                                   "<|end_header_id|>", "\n\n", NULL};
    const char *const dates[] = {"Cutting Knowledge Date: ",
                                 chat->knowledge_date,
                                 "\nToday Date: ",
                                 chat->today,
                                 "\n\n",
                                 NULL};
    bool has_system = count > 0 && is_of(&m[0], "system");
    const char *const rest[] = {has_system ? TRIMMED : "", "<|eot_id|>", NULL};
    if (chat->knowledge_date[0] != '\0') {
        put(script, opening, NULL);
        put(script, dates, NULL);
        put(script, rest, m);
        m += has_system;
        count -= has_system;
    }
    for (size_t i = 0; i < count; i++) {
        if (chat->names_ipython && is_of(&m[i], "tool")) {
            ipython(script, &m[i]);
        } else {
            put(script, script->family->turn, &m[i]);
        }
    }
    put(script, script->family->answer, NULL);
}

/* Where the system has no turn its texts go in front of the next question, and
 * the last one is a question itself when none follows. */
static size_t last_question(const struct flo_message *m, size_t count)
{
    while (count > 0 && is_of(&m[count - 1], "assistant")) {
        count--;
    }
    return count - 1;
}

static bool is_question(const struct flo_message *m, size_t i, size_t last)
{
    return i == last || (!is_of(&m[i], "system") && !is_of(&m[i], "assistant"));
}

/* Those of the system among these messages. */
static void put_systems(struct script *script, const char *const *parts,
                        const struct flo_message *m, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (is_of(&m[i], "system")) {
            put(script, parts, &m[i]);
        }
    }
}

static void gemma(struct script *script, const struct flo_message *m,
                  size_t count)
{
    static const char *const opening[] = {"<start_of_turn>", ROLE, NULL};
    const char *const context[] = {script->chat->keeps_system ? TEXT : TRIMMED,
                                   "\n\n", NULL};
    size_t last = last_question(m, count), said = 0;
    for (size_t i = 0; i < count; i++) {
        bool asks = is_question(m, i, last);
        if (!asks && is_of(&m[i], "system")) {
            continue;
        }
        put(script, opening, &m[i]);
        if (asks) {
            put_systems(script, context, m + said, i - said);
            said = i + 1;
        }
        put(script, script->family->turn, &m[i]);
    }
    put(script, script->family->answer, NULL);
}

static void phi3(struct script *script, const struct flo_message *m,
                 size_t count)
{
    const struct flo_template *chat = script->chat;
    const char *line = chat->has_one_line ? "" : "\n";
    const char *const turn[] = {ROLE, line, TEXT, "<|end|>", line, NULL};
    const char *const answer[] = {"<|assistant|>", line, NULL};
    for (size_t i = 0; i < count; i++) {
        if (!(chat->skips_no_system && m[i].bytes == 0 &&
              is_of(&m[i], "system"))) {
            put(script, turn, &m[i]);
        }
    }
    put(script, answer, NULL);
}

/* Pairs of user and assistant; a system message goes into the first pair, of
 * which then only the end is trimmed. */
static void llama2(struct script *script, const struct flo_message *m,
                   size_t count)
{
    static const char *const opening[] = {"[INST] ", NULL};
    static const char *const system[] = {"<<SYS>>\n", TEXT, "\n<</SYS>>", NULL};
    static const char *const lines[] = {"\n\n", NULL};
    static const char *const question[] = {TEXT, " [/INST]", NULL};
    static const char *const answer[] = {" ", TEXT, " ", EOS, BOS, NULL};
    size_t first = count > 0 && is_of(&m[0], "system") ? 1 : 0;
    if (first == 1 && count == 1) {
        script->rv = flo_fail(script->err, FLO_E_INFER_PARAM,
                              "this model takes a question behind the system's "
                              "message");
    }
    for (size_t i = first; script->rv == 0 && i < count; i++) {
        bool is_user = (i - first) % 2 == 0;
        struct flo_message turn = script->chat->trims ? trimmed(&m[i]) : m[i];
        if (!is_of(&m[i], is_user ? "user" : "assistant")) {
            script->rv = flo_fail(script->err, FLO_E_INFER_PARAM,
                                  "message %zu is '%s'; this model takes user "
                                  "and assistant in turn",
                                  i, m[i].role);
            return;
        }
        if (is_user) {
            put(script, opening, NULL);
        }
        if (i == 1 && first == 1) {
            put(script, system, &m[0]);
            if (turn.bytes > 0 || !script->chat->trims) {
                put(script, lines, NULL);
                turn.bytes += (size_t)(turn.text - m[i].text);
                turn.text = m[i].text;
            }
        }
        put(script, is_user ? question : answer, &turn);
    }
}

/* The same marks, blanks around them by version, and the system's text at the
 * beginning of the next question or of the last one, or in marks of its own. */
static void mistral(struct script *script, const struct flo_message *m,
                    size_t count)
{
    const struct flo_template *chat = script->chat;
    const char *before = chat->blank_before ? " " : "";
    const char *behind = chat->blank_behind ? " " : "";
    const char *const marked[] = {"[SYSTEM_PROMPT]", behind, TEXT,
                                  "[/SYSTEM_PROMPT]", NULL};
    const char *const opening[] = {before, "[INST]", behind, NULL};
    const char *const context[] = {TEXT, "\n\n", NULL};
    const char *const question[] = {TEXT, chat->blank_before_end ? " " : "",
                                    "[/INST]", NULL};
    const char *const answer[] = {chat->blank_before_answer ? " " : "",
                                  chat->trims ? TRIMMED : TEXT, EOS,
                                  chat->blank_behind_answer ? " " : "", NULL};
    size_t last = last_question(m, count), said = 0;
    for (size_t i = 0; i < count; i++) {
        if (is_of(&m[i], "assistant")) {
            put(script, answer, &m[i]);
        } else if (chat->has_system_marks && is_of(&m[i], "system")) {
            put(script, marked, &m[i]);
        } else if (is_question(m, i, last)) {
            put(script, opening, NULL);
            if (!chat->has_system_marks &&
                (i == last || !chat->has_system_last)) {
                put_systems(script, context, m + said, i - said);
                said = i + 1;
            }
            put(script, question, &m[i]);
        }
    }
}

/* ---- what is given ---- */

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
    if (count > MESSAGES_MAX) {
        return flo_fail(err, FLO_E_INFER_PARAM, "%zu messages, at most %d",
                        count, MESSAGES_MAX);
    }
    for (size_t i = 0; i < count; i++) {
        if (role_of(&messages[i]) == FLO_COUNT(roles)) {
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
    const struct family *family = &families[chat->kind];
    struct script script = {.chat = chat,
                            .family = family,
                            .vocab = vocab,
                            .tokens = tokens,
                            .err = err};
    int rv = check_messages(messages, message_count, err);
    if (rv < 0 || (rv = check_markers(vocab, family, err)) < 0) {
        return rv;
    }
    script.spans =
        calloc((message_count + 2) * SPANS_PER_MESSAGE, sizeof(*script.spans));
    if (script.spans == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "%zu messages", message_count);
    }
    if ((facts->adds_bos || family->has_bos) && facts->bos >= 0) {
        flo_tokens_add(tokens, facts->bos);
    }
    family->render(&script, messages, message_count);
    flush(&script);
    rv = script.rv;
    if (rv == 0 && tokens->failed) {
        rv = flo_fail(err, FLO_E_INFER_TOO_LONG, "more than %zu tokens",
                      tokens->count);
    }
    free(script.spans);
    return rv;
}
