/* Guards: reads a guard of agent.yaml, and a list of models; see rules.h. */
#include "agent/serve/rules/rules.h"

#include <string.h>
#include <strings.h>

#include <flotilla/errors/cfg.h>

static const struct flo_config_row rows[] = {
#define FLO_CONFIG(name, key, type, min, max, standard, meaning)                                   \
    {key, FLO_CONFIG_##type, min, max, standard, false, NULL, meaning},
#include "agent/guards.def"
#undef FLO_CONFIG
};

int flo_models_read(const struct flo_config *config, const char *where,
                    char (*out)[FLO_NAME_MAX + 1], uint32_t *count, struct flo_err *err)
{
    size_t given = flo_config_texts_count(config, "models");

    for (size_t i = 0; i < given; i++) {
        const char *model = flo_config_texts_get(config, "models", i);
        if (!flo_name_is_valid(model)) {
            return flo_fail(err, FLO_E_CFG_TYPE, "%s.models: element %zu is no name", where, i + 1);
        }
        strcpy(out[(*count)++], model);
    }
    return 0;
}

static int read_stages(const struct flo_config *config, const char *where,
                       struct flo_serve_guard *out, struct flo_err *err)
{
    size_t count = flo_config_texts_count(config, "stages");

    for (size_t i = 0; i < count; i++) {
        const char *stage = flo_config_texts_get(config, "stages", i);
        bool is_answer = strcmp(stage, "answer") == 0;
        if (!is_answer && strcmp(stage, "prompt") != 0) {
            return flo_fail(err, FLO_E_CFG_RANGE, "%s.stages: `%.64s` is neither prompt nor answer",
                            where, stage);
        }
        out->looks_at[is_answer ? FLO_GUARD_ANSWER : FLO_GUARD_PROMPT] = true;
    }
    return 0;
}

int flo_command_read(const struct flo_config *config, const char *key, const char *where,
                     char words[FLO_GUARD_WORD_BYTES_MAX], uint32_t *n_words, struct flo_err *err)
{
    size_t count = flo_config_texts_count(config, key);
    size_t bytes = 0;

    for (size_t i = 0; i < count; i++) {
        const char *word = flo_config_texts_get(config, key, i);
        size_t more = strlen(word) + 1;
        if (more > FLO_GUARD_WORD_BYTES_MAX - bytes) {
            return flo_fail(err, FLO_E_CFG_RANGE, "%s.%s: more than %d bytes", where, key,
                            FLO_GUARD_WORD_BYTES_MAX);
        }
        memcpy(words + bytes, word, more);
        bytes += more;
    }
    *n_words = (uint32_t)count;
    return count == 0 || words[0] == '/'
               ? 0
               : flo_fail(err, FLO_E_CFG_RANGE, "%s.%s: `%.200s` is no absolute path", where, key,
                          words);
}

static bool begins(const char *text, const char *other)
{
    return strncasecmp(text, other, strlen(other)) == 0;
}

/* Reads the model of a guard.  The answers that pass and those that refuse must
 * differ in how they begin. */
static int read_model(const struct flo_config *config, const char *where,
                      struct flo_serve_guard *out, struct flo_err *err)
{
    const char *model = flo_config_text(config, "model");
    const char *pass = flo_config_text(config, "pass");
    const char *refuse = flo_config_text(config, "refuse");

    if ((model == NULL) == (out->n_words == 0)) {
        return flo_fail(err, FLO_E_CFG_KEY, "%s: one of `command` and `model` has to stand there",
                        where);
    }
    if ((model == NULL) != (pass == NULL) || (model == NULL) != (refuse == NULL)) {
        return flo_fail(err, FLO_E_CFG_KEY,
                        "%s: `model` needs `pass` and `refuse`, and `command` "
                        "has neither",
                        where);
    }
    if (model == NULL) {
        return 0;
    }
    if (!flo_name_is_valid(model)) {
        return flo_fail(err, FLO_E_CFG_TYPE, "%s.model: `%.64s` is no name", where, model);
    }
    if (begins(pass, refuse) || begins(refuse, pass)) {
        return flo_fail(err, FLO_E_CFG_RANGE, "%s: an answer could begin with both `%s` and `%s`",
                        where, pass, refuse);
    }
    strcpy(out->model, model);
    strcpy(out->pass, pass);
    strcpy(out->refuse, refuse);
    strcpy(out->ask, flo_config_text(config, "ask"));
    return 0;
}

int flo_guard_rules_read(const json_t *map, const char *where, struct flo_serve_guard *out,
                         struct flo_err *err)
{
    FLO_CLEANUP(flo_config_cleanup) struct flo_config *config = NULL;

    FLO_TRY(flo_config_map(map, where, rows, FLO_COUNT(rows), &config, err));
    const char *failure = flo_config_text(config, "on_failure");
    out->ms_max = flo_config_u64(config, "timeout");
    out->passes_on_failure = strcmp(failure, "pass") == 0;
    if (!out->passes_on_failure && strcmp(failure, "refuse") != 0) {
        return flo_fail(err, FLO_E_CFG_RANGE, "%s.on_failure: `%s` is neither refuse nor pass",
                        where, failure);
    }
    FLO_TRY(flo_models_read(config, where, out->models, &out->n_models, err));
    FLO_TRY(read_stages(config, where, out, err));
    FLO_TRY(flo_command_read(config, "command", where, out->words, &out->n_words, err));
    return read_model(config, where, out, err);
}
