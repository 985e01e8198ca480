/* flotilla-model: the program that makes and judges models on a publisher's
 * machine. */
#include "base/scratch.h"
#include "engine/publish/commands.h"

static const struct flo_verb *const verbs[] = {
    &flo_verb_quantize,    &flo_verb_convert_lora, &flo_verb_merge_lora, &flo_verb_golden_create,
    &flo_verb_golden_play, &flo_verb_perplexity,   &flo_verb_eval,       &flo_verb_embed,
    &flo_verb_tokenize,    &flo_verb_generate,     &flo_verb_logits,     &flo_verb_rerank,
    &flo_verb_render,      &flo_verb_import,       &flo_verb_compare,    &flo_verb_draft_make,
};
static const char *const on_devices[] = {
    "run", "bench", "inspect", "plan", "pack", NULL,
};

int main(int argc, char **argv)
{
    static const struct flo_args_program program = {
        .name = "flotilla-model",
        .about = "Makes and judges small language models",
        .verbs = verbs,
        .count = FLO_COUNT(verbs),
        .tells_json = true,
        .elsewhere = on_devices,
        .elsewhere_program = "flotilla-engine",
        .elsewhere_package = "flotilla-engine",
    };
    flo_scratch_clear();
    return flo_args_main(&program, argc, argv);
}
