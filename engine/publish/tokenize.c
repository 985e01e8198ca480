/* flotilla-model tokenize: prints the ids of each text of stdin, one line per
 * text. */
#include <stdlib.h>
#include <string.h>

#include "engine/model/session.h"
#include "engine/publish/commands.h"
#include "engine/tools/common.h"

#define TEXT_BYTES_MAX (64u << 20)

struct tokenize {
    struct flo_tool tool;
    bool is_special, is_framed;
    const char *second; /* second text of a pair; NULL: none */
    struct flo_gguf *gguf;
    struct flo_vocab *vocab;
    struct flo_buf text;
};

/* Reads at most `bytes_max` bytes of stdin, in place of the text read
 * before. */
static void read_text(struct tokenize *t, size_t bytes_max)
{
    char block[4096];
    size_t left = bytes_max, some = 1;
    t->text.bytes = 0;
    for (; left > 0 && some > 0; left -= some) {
        some = fread(block, 1, left < sizeof(block) ? left : sizeof(block), stdin);
        flo_buf_add(&t->text, block, some);
    }
}

/* Reads a frame of stdin, which is "<bytes>\n" and so many bytes.  Returns 1 if
 * there was one, 0 at the end of stdin. */
static int read_frame(struct tokenize *t, struct flo_err *err)
{
    char line[32];
    char *end;
    if (fgets(line, sizeof(line), stdin) == NULL) {
        return 0;
    }
    unsigned long long count = strtoull(line, &end, 10);
    if (line[0] < '0' || line[0] > '9' || *end != '\n' || count > TEXT_BYTES_MAX) {
        return flo_fail(err, FLO_E_USAGE,
                        "a frame begins with its bytes in decimal, at most %u,"
                        " on a line",
                        TEXT_BYTES_MAX);
    }
    read_text(t, (size_t)count);
    if (t->text.failed) {
        return flo_fail(err, FLO_E_MEMORY, "a text of %llu bytes", count);
    }
    if (t->text.bytes < count) {
        return flo_fail(err, FLO_E_USAGE, "the input ends inside a frame of %llu bytes", count);
    }
    return 1;
}

static int read_all(struct tokenize *t, struct flo_err *err)
{
    read_text(t, SIZE_MAX);
    return !t->text.failed ? 1
                           : flo_fail(err, FLO_E_INFER_TOO_LONG, "the input has more than %u bytes",
                                      TEXT_BYTES_MAX);
}

/* Prints the ids of the text and of the second one, as an encoder reads them,
 * and on the next line the segment of each. */
static int print_pair(const struct tokenize *t, struct flo_err *err)
{
    FLO_CLEANUP(flo_tokens_deinit) struct flo_tokens tokens = {0};
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf segments = {.bytes_max = TEXT_BYTES_MAX};
    const struct flo_text_pair pair = {t->text.data, t->second, t->text.bytes, strlen(t->second)};
    FLO_TRY(flo_tokenize_pair(t->vocab, &pair, &tokens, &segments, err));
    for (size_t i = 0; i < tokens.count; i++) {
        printf("%s%d", i == 0 ? "" : " ", tokens.ids[i]);
    }
    putchar('\n');
    for (size_t i = 0; i < segments.bytes; i++) {
        printf("%s%d", i == 0 ? "" : " ", segments.data[i]);
    }
    putchar('\n');
    return 0;
}

static int print_ids(const struct tokenize *t, struct flo_err *err)
{
    FLO_CLEANUP(flo_tokens_deinit) struct flo_tokens tokens = {0};
    if (t->second != NULL) {
        return print_pair(t, err);
    }
    FLO_TRY(flo_tokenize(t->vocab, t->text.data, t->text.bytes,
                         t->is_special ? FLO_TEXT_SPECIAL | FLO_TEXT_ENDS : 0, &tokens, err));
    for (size_t i = 0; i < tokens.count; i++) {
        printf("%s%d", i == 0 ? "" : " ", tokens.ids[i]);
    }
    putchar('\n');
    return 0;
}

/* Opens the vocabulary of a file.  It may be known even if the file's
 * architecture is not. */
static int open_vocabulary(struct tokenize *t, struct flo_err *err)
{
    const struct flo_engine_options options = {.vocabulary = FLO_VOCABULARY_NEEDED,
                                               .accepts_inexact = t->tool.accepts_inexact};
    struct flo_engine *engine;

    FLO_TRY(flo_gguf_open_path(t->tool.model, &t->gguf, err));
    int rv = flo_vocab_open(t->gguf, &t->vocab, err);
    if (rv < 0 && flo_computes[1] != NULL) {
        FLO_TRY(flo_engine_open(t->tool.model, &options, &engine, err));
        t->vocab = engine->vocab; /* vocabulary and engine live as long as the program */
        return 0;
    }
    return rv < 0 ? flo_wrap(err, rv, "%s", t->tool.model) : 0;
}

static int tokenize(void *context, struct flo_err *err)
{
    struct tokenize *t = context;
    int rv = 0;
    FLO_TRY(open_vocabulary(t, err));
    do {
        rv = t->is_framed ? read_frame(t, err) : read_all(t, err);
        if (rv <= 0) {
            return rv;
        }
        FLO_TRY(print_ids(t, err));
    } while (t->is_framed);
    return 0;
}

static struct tokenize state = {.text.bytes_max = TEXT_BYTES_MAX};
static const struct flo_flag flags[] = {
    {"model", "FILE", "the GGUF", FLO_TEXT(struct tokenize, tool.model), .is_needed = true},
    {"special", NULL, "recognise control tokens, add BOS and EOS as the model says",
     FLO_SWITCH(struct tokenize, is_special)},
    {"pair", "TEXT", "a second text, such as a document: ids of both, and their segments",
     FLO_TEXT(struct tokenize, second)},
    {"framed", NULL, "stdin is '<bytes>\\n<text>' repeated (else one text)",
     FLO_SWITCH(struct tokenize, is_framed)},
    FLO_FLAGS_END,
};
const struct flo_verb flo_verb_tokenize = {
    .name = "tokenize",
    .help = "text to token ids",
    .usage = "--model FILE [--special | --pair TEXT] [--framed]",
    .flags = {flags, FLO_FLAGS_INEXACT},
    .state = &state,
    .run = tokenize,
    .example = "--model helpdesk.gguf",
};
