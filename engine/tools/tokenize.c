/* flotilla-engine tokenize: framed texts on stdin, a line of ids for each. */
#include <stdlib.h>
#include <string.h>

#include "engine/token/token.h"
#include "engine/tools/options.h"
#include "engine/tools/tools.h"

#define TEXT_BYTES_MAX (64u << 20)

/* "<bytes>\n" then that many bytes; 1 read, 0 at the end. */
static int read_frame(FILE *in, char **text, size_t *bytes, struct flo_err *err)
{
    char line[32];
    char *end;
    if (fgets(line, sizeof(line), in) == NULL) {
        return 0;
    }
    unsigned long long count = strtoull(line, &end, 10);
    if (line[0] < '0' || line[0] > '9' || *end != '\n' ||
        count > TEXT_BYTES_MAX) {
        return flo_fail(err, FLO_E_USAGE,
                        "a frame begins with its bytes in decimal, at most %u,"
                        " on a line",
                        TEXT_BYTES_MAX);
    }
    char *grown = realloc(*text, (size_t)count + 1);
    if (grown == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "a text of %llu bytes", count);
    }
    *text = grown;
    *bytes = (size_t)count;
    if (fread(grown, 1, *bytes, in) != *bytes) {
        return flo_fail(err, FLO_E_USAGE,
                        "the input ends inside a frame of %zu bytes", *bytes);
    }
    return 1;
}

static int read_all(FILE *in, char **text, size_t *bytes, struct flo_err *err)
{
    struct flo_buf all = {.bytes_max = TEXT_BYTES_MAX};
    char block[4096];
    size_t some;
    while ((some = fread(block, 1, sizeof(block), in)) > 0) {
        flo_buf_add(&all, block, some);
    }
    if (all.failed) {
        flo_buf_deinit(&all);
        return flo_fail(err, FLO_E_INFER_TOO_LONG,
                        "the input has more than %u bytes", TEXT_BYTES_MAX);
    }
    *text = all.data;
    *bytes = all.bytes;
    return 1;
}

static int print_ids(const struct flo_vocab *vocab, const char *text,
                     size_t bytes, bool is_special, struct flo_err *err)
{
    struct flo_tokens tokens = {0};
    int rv = flo_tokenize(vocab, text, bytes, is_special, &tokens, err);
    for (size_t i = 0; rv == 0 && i < tokens.count; i++) {
        printf("%s%d", i == 0 ? "" : " ", tokens.ids[i]);
    }
    if (rv == 0) {
        putchar('\n');
    }
    flo_tokens_deinit(&tokens);
    return rv;
}

static int tokenize(const char *model, bool is_special, bool is_framed,
                    struct flo_err *err)
{
    struct flo_gguf *gguf = NULL;
    struct flo_vocab *vocab = NULL;
    char *text = NULL;
    size_t bytes = 0;
    int rv = flo_gguf_open_path(model, &gguf, err);
    if (rv == 0 && (rv = flo_vocab_open(gguf, &vocab, err)) < 0) {
        rv = flo_wrap(err, rv, "%s", model);
    }
    if (rv == 0 && !is_framed) {
        rv = read_all(stdin, &text, &bytes, err);
        rv = rv < 0 ? rv : print_ids(vocab, text, bytes, is_special, err);
    } else if (rv == 0) {
        while ((rv = read_frame(stdin, &text, &bytes, err)) > 0) {
            rv = print_ids(vocab, text, bytes, is_special, err);
            if (rv < 0) {
                break;
            }
        }
    }
    free(text);
    flo_vocab_close(vocab);
    flo_gguf_close(gguf);
    return rv;
}

int flo_cmd_tokenize(int argc, char **argv)
{
    const char *model = NULL;
    bool is_special = false;
    bool is_framed = false;
    const struct flo_option options[] = {
        {"model", FLO_OPTION_TEXT, &model, "FILE  the GGUF"},
        {"special", FLO_OPTION_FLAG, &is_special,
         "recognise control tokens, add BOS and EOS as the model says"},
        {"framed", FLO_OPTION_FLAG, &is_framed,
         "stdin is '<bytes>\\n<text>' repeated (else one text)"},
    };
    struct flo_err err = {0};
    int code = flo_options_read(argc, argv,
                                "tokenize --model FILE [--special] [--framed]",
                                options, FLO_COUNT(options), NULL, 0);
    if (code >= 0) {
        return code;
    }
    int rv = model == NULL ? flo_fail(&err, FLO_E_USAGE, "--model is missing")
                           : tokenize(model, is_special, is_framed, &err);
    if (fflush(stdout) != 0 && rv >= 0) {
        rv = flo_fail_errno(&err, FLO_E_IO_WRITE, "stdout");
    }
    return rv < 0 ? (int)flo_err_print(stderr, &err) : FLO_EXIT_OK;
}
