/* Pre-tokenizers: cut a text into words that BPE merges may not cross.
 *
 * Each is a hand-written scanner for one published regular expression; the
 * expressions stand in split.c.  Text is valid UTF-8. */
#ifndef FLOTILLA_ENGINE_SPLIT_H
#define FLOTILLA_ENGINE_SPLIT_H

#include <stdbool.h>
#include <stddef.h>

enum flo_split_kind {
    FLO_SPLIT_GPT2,     /* gpt-2, phi-2 */
    FLO_SPLIT_DIGITS,   /* smollm, starcoder: every number alone, then GPT-2 */
    FLO_SPLIT_LLAMA3,   /* llama-bpe: digits by threes */
    FLO_SPLIT_QWEN2,    /* as llama-bpe, digits one by one */
    FLO_SPLIT_TEKKEN,   /* Mistral Nemo: words by case */
    FLO_SPLIT_DEEPSEEK, /* deepseek-llm: six expressions, one after another */
    FLO_SPLIT_WHOLE,    /* not at all */
};

/* What a name of `tokenizer.ggml.pre` stands for. */
struct flo_split_name {
    const char *name;
    enum flo_split_kind kind;
    bool prefers_whole; /* a word that is a token is not merged from bytes */
    bool adds_bos;      /* when the metadata does not say */
};
const struct flo_split_name *flo_split_find(const char *name, size_t bytes);

#define FLO_SPLIT_LEVELS 6

struct flo_split {
    enum flo_split_kind kind;
    const char *text;
    size_t bytes;
    size_t position;
    size_t segment_end;            /* of FLO_SPLIT_DIGITS */
    size_t ends[FLO_SPLIT_LEVELS]; /* of FLO_SPLIT_DEEPSEEK */
};
void flo_split_init(struct flo_split *split, enum flo_split_kind kind,
                    const char *text, size_t bytes);
/* The next word; false at the end. */
bool flo_split_next(struct flo_split *split, const char **word,
                    size_t *word_bytes);

/* The end of the next word of FLO_SPLIT_DEEPSEEK (split_deepseek.c). */
size_t flo_split_deepseek(struct flo_split *split);

#endif
