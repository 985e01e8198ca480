/* Chat families whose messages are turns with a marker for the role. */
#include "engine/token/template_script.h"

#include <string.h>

int flo_template_plain(struct flo_script *script, const struct flo_message *m,
                       size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (i > 0) {
            flo_script_say(script, "\n\n");
        }
        flo_script_quote(script, m[i].text, m[i].bytes);
    }
    return flo_script_flush(script);
}

static void chatml_turn(struct flo_script *script, const char *role,
                        const char *text, size_t bytes)
{
    flo_script_say(script, "<|im_start|>");
    flo_script_say(script, role);
    flo_script_say(script, "\n");
    flo_script_quote(script, text, bytes);
    flo_script_say(script, "<|im_end|>");
    flo_script_say(script, "\n");
}

int flo_template_chatml(struct flo_script *script, const struct flo_message *m,
                        size_t count)
{
    const char *system = script->chat->default_system;
    if (system[0] != '\0' && (count == 0 || !flo_message_is(&m[0], "system"))) {
        chatml_turn(script, "system", system, strlen(system));
    }
    for (size_t i = 0; i < count; i++) {
        chatml_turn(script, m[i].role, m[i].text, m[i].bytes);
    }
    flo_script_say(script, "<|im_start|>");
    flo_script_say(script, "assistant\n");
    return flo_script_flush(script);
}

/* ---- Llama 3 ---- */

static void llama3_open(struct flo_script *script, const char *role)
{
    flo_script_say(script, "<|start_header_id|>");
    flo_script_say(script, role);
    flo_script_say(script, "<|end_header_id|>");
    flo_script_say(script, "\n\n");
}

/* From 3.1 on the system turn is always there and begins with two dates. */
static size_t llama3_dates(struct flo_script *script,
                           const struct flo_message *m, size_t count)
{
    bool has_system = count > 0 && flo_message_is(&m[0], "system");
    if (script->chat->knowledge_date[0] == '\0') {
        return 0;
    }
    llama3_open(script, "system");
    flo_script_say(script, "Cutting Knowledge Date: ");
    flo_script_say(script, script->chat->knowledge_date);
    flo_script_say(script, "\nToday Date: ");
    flo_script_say(script, script->chat->today);
    flo_script_say(script, "\n\n");
    if (has_system) {
        flo_script_quote_trimmed(script, &m[0]);
    }
    flo_script_say(script, "<|eot_id|>");
    return has_system ? 1 : 0;
}

int flo_template_llama3(struct flo_script *script, const struct flo_message *m,
                        size_t count)
{
    for (size_t i = llama3_dates(script, m, count); i < count; i++) {
        llama3_open(script,
                    flo_message_is(&m[i], "tool") ? "ipython" : m[i].role);
        flo_script_quote_trimmed(script, &m[i]);
        flo_script_say(script, "<|eot_id|>");
    }
    llama3_open(script, "assistant");
    return flo_script_flush(script);
}

/* ---- Gemma ---- */

/* There is no system role: its text goes in front of the first user's. */
int flo_template_gemma(struct flo_script *script, const struct flo_message *m,
                       size_t count)
{
    const struct flo_message *system = NULL;
    for (size_t i = 0; i < count; i++) {
        bool is_answer = flo_message_is(&m[i], "assistant");
        if (flo_message_is(&m[i], "system")) {
            system = &m[i];
            continue;
        }
        flo_script_say(script, "<start_of_turn>");
        flo_script_say(script, is_answer ? "model\n" : "user\n");
        if (system != NULL && !is_answer) {
            flo_script_quote_trimmed(script, system);
            flo_script_say(script, "\n\n");
            system = NULL;
        }
        flo_script_quote_trimmed(script, &m[i]);
        flo_script_say(script, "<end_of_turn>");
        flo_script_say(script, "\n");
    }
    flo_script_say(script, "<start_of_turn>");
    flo_script_say(script, "model\n");
    return flo_script_flush(script);
}

/* ---- Phi-3, Zephyr and TinyLlama ---- */

/* The mark in one piece, because a token must lie within one. */
static void open_turn(struct flo_script *script, const struct flo_message *m)
{
    flo_script_say(script, flo_message_is(m, "system")      ? "<|system|>"
                           : flo_message_is(m, "assistant") ? "<|assistant|>"
                                                            : "<|user|>");
    flo_script_say(script, "\n");
}

int flo_template_phi3(struct flo_script *script, const struct flo_message *m,
                      size_t count)
{
    for (size_t i = 0; i < count; i++) {
        open_turn(script, &m[i]);
        flo_script_quote(script, m[i].text, m[i].bytes);
        flo_script_say(script, "<|end|>");
        flo_script_say(script, "\n");
    }
    flo_script_say(script, "<|assistant|>");
    flo_script_say(script, "\n");
    return flo_script_flush(script);
}

/* The marks of the roles are plain text here; only the end is a token. */
int flo_template_zephyr(struct flo_script *script, const struct flo_message *m,
                        size_t count)
{
    for (size_t i = 0; i < count; i++) {
        open_turn(script, &m[i]);
        flo_script_quote(script, m[i].text, m[i].bytes);
        int rv = flo_script_put_id(script, flo_vocab_facts(script->vocab)->eos);
        if (rv < 0) {
            return rv;
        }
        flo_script_say(script, "\n");
    }
    flo_script_say(script, "<|assistant|>");
    flo_script_say(script, "\n");
    return flo_script_flush(script);
}

/* ---- Phi-2 ---- */

int flo_template_phi2(struct flo_script *script, const struct flo_message *m,
                      size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bool is_answer = flo_message_is(&m[i], "assistant");
        bool is_system = flo_message_is(&m[i], "system");
        flo_script_say(script, is_system   ? ""
                               : is_answer ? "Output: "
                                           : "Instruct: ");
        flo_script_quote(script, m[i].text, m[i].bytes);
        flo_script_say(script, "\n");
    }
    flo_script_say(script, "Output:");
    return flo_script_flush(script);
}
