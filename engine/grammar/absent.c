/* Grammar stand-in: functions of a build without grammars.  No grammar can be
 * opened, so functions that get one do nothing. */
#include "base/left_out.h"
#include "engine/grammar/form/form.h"
#include "engine/grammar/grammar.h"
#include "engine/model/session.h"

static int left_out(struct flo_err *err)
{
    return flo_left_out(err, "answers that keep a form", "FLOTILLA_GRAMMAR");
}

int flo_grammar_open(const struct flo_engine *engine, enum flo_grammar_kind kind, const char *text,
                     size_t bytes, struct flo_grammar **grammar, struct flo_err *err)
{
    (void)engine, (void)kind, (void)text, (void)bytes, (void)grammar;
    return left_out(err);
}

int flo_grammar_open_tools(const struct flo_engine *engine, const struct flo_tool_rules *rules,
                           struct flo_grammar **grammar, struct flo_err *err)
{
    (void)engine, (void)rules, (void)grammar;
    return left_out(err);
}

/* A build without grammars also separates thoughts from the answer. */
int flo_grammar_open_reader(const struct flo_engine *engine, const struct flo_grammar *grammar,
                            bool in_thought, flo_part_fn *part, void *context,
                            struct flo_call_reader **out, struct flo_err *err)
{
    const struct flo_call_form *form = &engine->chat.calls;

    (void)grammar;
    *out = NULL;
    return form->thought_close.bytes == 0
               ? 0
               : flo_call_reader_open(form, NULL, in_thought, part, context, out, err);
}

void flo_grammar_close(struct flo_grammar *grammar)
{
    (void)grammar;
}

void flo_grammar_reset(struct flo_grammar *grammar)
{
    (void)grammar;
}

size_t flo_grammar_forced(struct flo_grammar *grammar, int32_t *tokens, size_t tokens_max)
{
    (void)grammar, (void)tokens, (void)tokens_max;
    return 0;
}

int flo_grammar_limit(struct flo_grammar *grammar, size_t tokens_left, struct flo_err *err)
{
    (void)grammar, (void)tokens_left;
    return left_out(err);
}

bool flo_grammar_is_cut(const struct flo_grammar *grammar)
{
    (void)grammar;
    return false;
}

int flo_grammar_sample(struct flo_grammar *grammar, struct flo_sampler *sampler,
                       const float *logits, struct flo_sample *sample, struct flo_err *err)
{
    (void)grammar, (void)sampler, (void)logits, (void)sample;
    return left_out(err);
}

bool flo_grammar_is_done(const struct flo_grammar *grammar)
{
    (void)grammar;
    return true;
}

uint64_t flo_grammar_bytes(uint32_t n_vocab)
{
    (void)n_vocab;
    return 0;
}

uint64_t flo_schema_bytes(void)
{
    return 0;
}

/* A build without grammars passes a runtime's answers on unchecked. */
int flo_form_accept(const char *schema, size_t bytes, struct flo_err *err)
{
    (void)schema, (void)bytes, (void)err;
    return 0;
}

int flo_form_check(const char *schema, size_t schema_bytes, const char *answer, size_t bytes,
                   struct flo_err *err)
{
    (void)schema, (void)schema_bytes, (void)answer, (void)bytes, (void)err;
    return 0;
}
