/* Commands: tables of the commands of flotilla-model, the program of
 * publishers. */
#ifndef FLOTILLA_ENGINE_PUBLISH_COMMANDS_H
#define FLOTILLA_ENGINE_PUBLISH_COMMANDS_H

#include "base/args/args.h"

extern const struct flo_verb flo_verb_quantize, flo_verb_merge_lora, flo_verb_perplexity,
    flo_verb_eval, flo_verb_golden_create, flo_verb_golden_play, flo_verb_embed, flo_verb_tokenize,
    flo_verb_generate, flo_verb_logits, flo_verb_convert_lora, flo_verb_rerank, flo_verb_render,
    flo_verb_import, flo_verb_compare, flo_verb_draft_make;

#endif
