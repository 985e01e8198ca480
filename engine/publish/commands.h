/* The commands of flotilla-model, which a publisher has. */
#ifndef FLOTILLA_ENGINE_PUBLISH_COMMANDS_H
#define FLOTILLA_ENGINE_PUBLISH_COMMANDS_H

#include "engine/tools/tools.h"

extern const struct flo_command flo_command_quantize, flo_command_merge_lora,
    flo_command_perplexity, flo_command_eval, flo_command_golden,
    flo_command_embed, flo_command_tokenize, flo_command_generate,
    flo_command_logits;

#endif
