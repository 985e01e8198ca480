/* Chat templates: messages to token ids.
 *
 * The Jinja text in a model is not run; its family is recognised by the words
 * that mark turns (template_find.c), and each family is a row of the parts of
 * its turn (template.c).  The template's own text is tokenised with control
 * tokens, a message's text as plain text: no message can open a turn or end
 * one, whatever it contains. */
#ifndef FLOTILLA_ENGINE_TEMPLATE_H
#define FLOTILLA_ENGINE_TEMPLATE_H

#include "engine/token/token.h"

enum flo_template_kind {
    FLO_TEMPLATE_NONE,    /* no chat: the texts, a blank line between */
    FLO_TEMPLATE_CHATML,  /* <|im_start|>role\n...<|im_end|>\n */
    FLO_TEMPLATE_LLAMA3,  /* <|start_header_id|>role<|end_header_id|>\n\n... */
    FLO_TEMPLATE_LLAMA2,  /* [INST] ... [/INST], <<SYS>> */
    FLO_TEMPLATE_MISTRAL, /* [INST] ... [/INST] */
    FLO_TEMPLATE_GEMMA,   /* <start_of_turn>role\n...<end_of_turn>\n */
    FLO_TEMPLATE_PHI3,    /* <|role|>\n...<|end|>\n */
    FLO_TEMPLATE_ZEPHYR,  /* <|role|>\n...</s>\n; TinyLlama too */
    FLO_TEMPLATE_PHI2,    /* Instruct: ...\nOutput: */
};

struct flo_template {
    enum flo_template_kind kind;
    char name[16];            /* "chatml" */
    char default_system[512]; /* given when no system message comes first */
    /* Llama 3.1 and later: lines of the system turn, "" for none.  `today` is
     * the template's own date; who knows a better one may put it here. */
    char knowledge_date[32];
    char today[32];
    /* How the versions of a family differ. */
    bool names_ipython;    /* Llama 3.1: as the role of a tool */
    bool quotes_tools;     /* Llama 3.1: a tool's text as a JSON string */
    bool trims;            /* Llama 2: all texts; Mistral: answers */
    bool wraps_tools;      /* ChatML: a tool's text as a response to the user */
    bool drops_thoughts;   /* ChatML: of answers before the last question */
    bool keeps_system;     /* Gemma: does not trim its text */
    bool skips_no_system;  /* Phi-3: no turn for a system text of no bytes */
    bool has_one_line;     /* Phi-3: none of the newlines */
    bool ends_answers;     /* Falcon 3, of Zephyr's form: nothing else */
    bool has_system_marks; /* Mistral, from here on */
    bool has_system_last;  /* in the last question */
    bool blank_before;     /* "[INST]", and so on */
    bool blank_behind;
    bool blank_before_end;
    bool blank_before_answer;
    bool blank_behind_answer;
};

/* One message. The role is "system", "user", "assistant" or "tool". */
struct flo_message {
    const char *role;
    const char *text;
    size_t bytes;
};

/* Recognise `tokenizer.chat_template`.  A template of no known family is
 * FLO_E_NOT_BUILT; none at all is FLO_TEMPLATE_NONE. */
FLO_MUST_USE int flo_template_find(const struct flo_gguf *gguf,
                                   struct flo_template *out,
                                   struct flo_err *err);
/* Append the ids of a conversation, with BOS where the family or the metadata
 * has one, and open the assistant's answer.  FLO_E_INFER_PARAM for an unknown
 * role or an order that the family cannot say; FLO_E_GGUF_VOCAB when the
 * vocabulary lacks the marker tokens; errors of flo_tokenize_spans(). */
FLO_MUST_USE int flo_template_render(const struct flo_template *chat,
                                     const struct flo_vocab *vocab,
                                     const struct flo_message *messages,
                                     size_t message_count,
                                     struct flo_tokens *tokens,
                                     struct flo_err *err);

#endif
