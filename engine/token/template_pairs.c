/* Chat families that are pairs: [INST] question [/INST] answer. */
#include "engine/token/template_script.h"

/* Pairs of user and assistant; a system message goes into the first pair. */
int flo_template_llama2(struct flo_script *script, const struct flo_message *m,
                        size_t count)
{
    const struct flo_vocab_facts *facts = flo_vocab_facts(script->vocab);
    size_t first = count > 0 && flo_message_is(&m[0], "system") ? 1 : 0;
    for (size_t i = first; i < count; i++) {
        bool is_user = (i - first) % 2 == 0;
        int rv;
        if (!flo_message_is(&m[i], is_user ? "user" : "assistant")) {
            return flo_fail(script->err, FLO_E_INFER_PARAM,
                            "message %zu is '%s'; this model takes user and "
                            "assistant in turn",
                            i, m[i].role);
        }
        if (!is_user) {
            flo_script_say(script, " ");
            flo_script_quote(script, m[i].text, m[i].bytes);
            flo_script_say(script, " ");
            if ((rv = flo_script_put_id(script, facts->eos)) < 0 ||
                (rv = flo_script_put_id(script, facts->bos)) < 0) {
                return rv;
            }
            continue;
        }
        flo_script_say(script, "[INST] ");
        if (i == first && first == 1) {
            flo_script_say(script, "<<SYS>>\n");
            flo_script_quote(script, m[0].text, m[0].bytes);
            flo_script_say(script, "\n<</SYS>>\n\n");
        }
        flo_script_quote(script, m[i].text, m[i].bytes);
        flo_script_say(script, " [/INST]");
    }
    return flo_script_flush(script);
}

/* Mistral: the same marks, blanks around them by version, and the system's
 * text at the beginning of the first question, or in marks of its own. */
int flo_template_mistral(struct flo_script *script, const struct flo_message *m,
                         size_t count)
{
    const struct flo_template *chat = script->chat;
    const char *before = chat->blank_before ? " " : "";
    const char *behind = chat->blank_behind ? " " : "";
    bool is_open = false;
    for (size_t i = 0; i < count; i++) {
        bool is_system = flo_message_is(&m[i], "system");
        if (is_system && chat->has_system_marks) {
            flo_script_say(script, "[SYSTEM_PROMPT]");
            flo_script_say(script, behind);
            flo_script_quote(script, m[i].text, m[i].bytes);
            flo_script_say(script, "[/SYSTEM_PROMPT]");
            continue;
        }
        if (flo_message_is(&m[i], "assistant")) {
            flo_script_say(script, behind);
            flo_script_quote(script, m[i].text, m[i].bytes);
            int rv =
                flo_script_put_id(script, flo_vocab_facts(script->vocab)->eos);
            if (rv < 0) {
                return rv;
            }
            is_open = false;
            continue;
        }
        if (!is_open) {
            flo_script_say(script, before);
            flo_script_say(script, "[INST]");
            flo_script_say(script, behind);
        }
        flo_script_quote(script, m[i].text, m[i].bytes);
        flo_script_say(script, is_system ? "\n\n" : before);
        flo_script_say(script, is_system ? "" : "[/INST]");
        is_open = is_system;
    }
    return flo_script_flush(script);
}
