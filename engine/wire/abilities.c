/* Abilities: finds a feature of a request that an engine does not have. */
#include <flotilla/engine_wire.h>
#include <flotilla/grammar.h>

#include <string.h>

static const struct flo_wire_ability {
    uint64_t bit;
    const char *word, *text;
} table[] = {
#define FLO_ABILITY(name, bit, word, text) {1ull << (bit), word, text},
#include "engine/wire/abilities.def"
#undef FLO_ABILITY
};

/* A feature that a request may use, the bits of abilities of which one is
 * enough, and the parameter that asks for it. */
struct use {
    bool is_used;
    uint64_t ability;
    const char *param;
};

static const char *text_of(uint64_t ability)
{
    for (size_t i = FLO_COUNT(table); i > 0; i--) { /* the narrowest last */
        if ((table[i - 1].bit & ability) != 0) {
            return table[i - 1].text;
        }
    }
    return "?";
}

static const char *first_lack(const struct use *uses, size_t count, uint64_t abilities,
                              const char **param)
{
    for (size_t i = 0; i < count; i++) {
        if (uses[i].is_used && (abilities & uses[i].ability) == 0) {
            *param = uses[i].param;
            return text_of(uses[i].ability);
        }
    }
    return NULL;
}

static const char *generate_lacks(const struct flo_wire_generate *in, uint64_t abilities,
                                  const char **param)
{
    const struct use uses[] = {
        {in->tokens.bytes > 0, FLO_ABILITY_IDS_IN, "prompt"},
        {in->audio.bytes > 0, FLO_ABILITY_AUDIO, "file"},
        {in->prompt.bytes > 0 && in->audio.bytes == 0, FLO_ABILITY_RAW, "prompt"},
        {in->n_images > 0, FLO_ABILITY_IMAGES, "messages"},
        {in->reads_special, FLO_ABILITY_SPECIAL, "parse_special"},
        {in->logprobs > 0, FLO_ABILITY_LOGPROBS, "logprobs"},
        {in->grammar_kind == FLO_GRAMMAR_GBNF, FLO_ABILITY_GRAMMAR, "grammar"},
        {in->grammar_kind == FLO_GRAMMAR_JSON, FLO_ABILITY_JSON | FLO_ABILITY_GRAMMAR,
         "response_format"},
        {in->grammar_kind == FLO_GRAMMAR_SCHEMA, FLO_ABILITY_SCHEMA | FLO_ABILITY_GRAMMAR,
         "response_format"},
        {in->adapter.bytes > 0, FLO_ABILITY_ADAPTERS, "model"},
        {in->shifts, FLO_ABILITY_SHIFT, "context_shift"},
        {in->ignores_end, FLO_ABILITY_ENDLESS, "ignore_eos"},
        {in->top_k > 0, FLO_ABILITY_SAMPLING, "top_k"},
        {in->min_p > 0, FLO_ABILITY_SAMPLING, "min_p"},
        {in->repeat_penalty != 0 && in->repeat_penalty != 1, FLO_ABILITY_SAMPLING,
         "repeat_penalty"},
        {in->biases.bytes > 0, FLO_ABILITY_BIAS, "logit_bias"},
        {in->tools.bytes > 0, FLO_ABILITY_TOOLS, "tools"},
        {in->thinking > 0 || in->effort.bytes > 0, FLO_ABILITY_THINKING, "reasoning_effort"},
    };

    return first_lack(uses, FLO_COUNT(uses), abilities, param);
}

static const char *embed_lacks(const struct flo_wire_embed *in, uint64_t abilities,
                               const char **param)
{
    bool has_ids = false;

    for (uint32_t i = 0; i < in->n_inputs; i++) {
        has_ids |= in->inputs[i].is_tokens;
    }
    const struct use uses[] = {
        {in->ranks, FLO_ABILITY_RERANK, "method"},
        {!in->ranks, FLO_ABILITY_VECTORS, "input"},
        {has_ids, FLO_ABILITY_IDS_IN, "input"},
        {in->takes_last, FLO_ABILITY_LAST, "pooling"},
        {in->adapter.bytes > 0, FLO_ABILITY_ADAPTERS, "model"},
    };
    return first_lack(uses, FLO_COUNT(uses), abilities, param);
}

const char *flo_wire_lacks(const struct flo_wire_message *message, uint64_t abilities,
                           const char **param)
{
    const struct use tokens = {true, FLO_ABILITY_TOKENISE,
                               message->type == FLO_WIRE_TOKENISE ? "content" : "tokens"};
    const struct use adapters = {true, FLO_ABILITY_ADAPTERS, "model"};

    switch (message->type) {
    case FLO_WIRE_GENERATE:
        return generate_lacks(&message->generate, abilities, param);
    case FLO_WIRE_EMBED:
        return embed_lacks(&message->embed, abilities, param);
    case FLO_WIRE_TOKENISE:
    case FLO_WIRE_DETOKENISE:
        return first_lack(&tokens, 1, abilities, param);
    case FLO_WIRE_LOAD:
    case FLO_WIRE_DROP:
        return first_lack(&adapters, 1, abilities, param);
    default:
        return NULL;
    }
}

bool flo_wire_ability_parse(const char *word, uint64_t *bit)
{
    for (size_t i = 0; i < FLO_COUNT(table); i++) {
        if (word[0] != '\0' && strcmp(table[i].word, word) == 0) {
            *bit = table[i].bit;
            return true;
        }
    }
    return false;
}

uint64_t flo_wire_abilities(const struct flo_wire_ready *ready)
{
    bool is_told = ready->abilities != 0 || ready->runtime.bytes > 0;

    return is_told ? ready->abilities : FLO_ABILITIES_OURS;
}
