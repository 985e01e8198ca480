/* Vocab: the tables of a vocabulary, with its tokens, merges and special
 * tokens. */
#ifndef FLOTILLA_ENGINE_VOCAB_H
#define FLOTILLA_ENGINE_VOCAB_H

#include <stdatomic.h>
#include <string.h>

#include "engine/token/added.h"
#include "engine/token/charsmap.h"
#include "engine/token/split.h"
#include "engine/token/token.h"
#include "engine/token/vocab/prefix.h"

/* `tokenizer.ggml.token_type` */
enum flo_token_type {
    FLO_TOKEN_NORMAL = 1,
    FLO_TOKEN_UNKNOWN = 2,
    FLO_TOKEN_CONTROL = 3,
    FLO_TOKEN_USER = 4,
    FLO_TOKEN_UNUSED = 5,
    FLO_TOKEN_BYTE = 6,
};

/* How texts become ids. */
enum flo_vocab_kind {
    FLO_VOCAB_BPE,     /* byte-level BPE; bytes are printable characters */
    FLO_VOCAB_RAW_BPE, /* BPE of characters; blanks are U+2581, other bytes have tokens */
    FLO_VOCAB_SPM,
    FLO_VOCAB_WORDPIECE,
    FLO_VOCAB_UNIGRAM,
};

struct flo_vocab_token {
    const char *text; /* in the file */
    uint16_t bytes;
    uint8_t type;
    bool is_end;
    bool is_mark;           /* the token is user-defined, but looks like a template's mark */
    bool strips_right;      /* blanks after this special token are removed */
    bool strips_left;       /* blanks before it, likewise */
    bool is_single : 1;     /* the token is taken only where no word goes on */
    bool is_normalized : 1; /* the token is taken from texts after their normalization */
};

/* Hash table with open addressing.  A used slot has id + 1 in its low 21 bits,
 * and 11 bits of the text's hash above.  A free slot is 0. */
struct flo_index {
    uint32_t *slots;
    uint32_t mask;
};

/* How special tokens stand around one text, or two: ids, or which text. */
#define FLO_PAIR_ITEMS_MAX 16u
#define FLO_PAIR_FIRST (-1)
#define FLO_PAIR_SECOND (-2)
#define FLO_PAIR_NONE (-3)
struct flo_pair_form {
    int32_t items[FLO_PAIR_ITEMS_MAX];
    uint8_t segments[FLO_PAIR_ITEMS_MAX];
    size_t count; /* 0: the file has no form of its own */
    bool is_odd;  /* segments are not 0 up to the first separator and 1 behind it */
};

#define FLO_RANK_NONE UINT32_MAX
/* Most characters of a word that WordPiece cuts into tokens. */
#define FLO_WORD_CHARACTERS_MAX 256u

struct flo_vocab {
    struct flo_vocab_facts facts;
    enum flo_vocab_kind kind;
    struct flo_splitter splitter; /* BPE's words */
    bool prefers_whole;           /* a word that is a token is not built by merging its bytes */
    struct flo_vocab_token *tokens;
    struct flo_index by_text; /* finds a token by its text */
    /* BPE's list of merges, by rank.  The merges that make the same token form
     * a chain, whose first rank is stored for the token.  FLO_RANK_NONE ends
     * the chain. */
    uint16_t *merge_left_bytes; /* [merge_count]: number of bytes of the merge's left half */
    /* [merge_count]: rank of the next merge that makes the same token */
    uint32_t *merge_next;
    uint32_t *first_rank; /* [count] */
    uint32_t merge_count;
    int32_t byte_ids[256];        /* token of each byte, or -1; not in byte-level BPE */
    uint32_t token_bytes_max;     /* number of bytes of the longest token */
    size_t id_bytes_max;          /* most bytes that can become one id; SIZE_MAX: no limit */
    const uint8_t *scores;        /* SPM's and Unigram's, f32 little-endian, in the mapped file */
    struct flo_prefix prefix;     /* WordPiece's and Unigram's tokens by their text */
    uint32_t word_characters_max; /* WordPiece: a longer word is unknown */
    bool lowers, strips_accents;  /* WordPiece: what is done to letters */
    struct flo_charsmap charsmap; /* Unigram's replacements */
    bool merges_blanks;           /* Unigram: several blanks count as one */
    double unknown_score;         /* Unigram: score of an unknown character */
    bool composes;                /* texts get normalization form C first */
    struct flo_pair_form pair, single;
    bool has_segments;          /* the second text of a pair is in a segment of its own */
    bool adds_space;            /* SPM puts a blank before a text that follows a special token */
    bool strips;                /* one of the tokens strips the blanks around it */
    struct flo_steps *steps;    /* what is done to texts; NULL: as the kind has it (steps.h) */
    struct flo_added added;     /* with steps: tokens that are taken from the text as it came */
    struct flo_tokens specials; /* control, unknown and user-defined tokens, longest first */
    _Atomic(struct flo_pieces *) pieces; /* pieces of the tokens; NULL: not made yet (pieces.c) */
    /* Tokenizer of a library; without one `library.ids` is NULL.  The bytes of
     * token i are those from library_at[i] to library_at[i + 1]. */
    struct flo_vocab_library library;
    char *library_text;
    uint32_t *library_at; /* [count + 1] offsets in `library_text`; NULL: no library */
};

/* Tells whether the token has this text. */
static inline bool flo_token_is(const struct flo_vocab_token *token, const char *text, size_t bytes)
{
    return token->bytes == bytes && memcmp(token->text, text, bytes) == 0;
}
/* Returns how many bytes of an added token stand before its text: WordPiece's
 * mark of a word, if the token is a piece as well. */
static inline size_t flo_added_skip(const struct flo_vocab *vocab,
                                    const struct flo_vocab_token *token)
{
    bool is_word = vocab->kind == FLO_VOCAB_WORDPIECE && token->type == FLO_TOKEN_USER &&
                   token->bytes > 3 && memcmp(token->text, "\xe2\x96\x81", 3) == 0;
    return is_word ? 3 : 0;
}
/* Returns the byte of a token spelled like "<0x0A>"; -1 for any other
 * spelling. */
int flo_token_byte(const struct flo_vocab_token *token);

/* Finds the rank of the merge that makes token `id` from its first `left_bytes`
 * bytes and its rest.  Lower ranks merge first.  Returns false if there is no
 * such merge. */
bool flo_vocab_rank(const struct flo_vocab *vocab, int32_t id, uint32_t left_bytes, uint32_t *rank);

/* Finds a list in the file's metadata.  An absent list is an error. */
FLO_MUST_USE int flo_vocab_list(const struct flo_gguf *gguf, const char *key, uint32_t item_type,
                                const struct flo_gguf_kv **out, struct flo_err *err);
/* Reads the tokens and which of them are special, and builds the index
 * by_text. */
FLO_MUST_USE int flo_vocab_load_tokens(struct flo_vocab *vocab, const struct flo_gguf *gguf,
                                       struct flo_err *err);
FLO_MUST_USE int flo_vocab_load_specials(struct flo_vocab *vocab, struct flo_err *err);
/* Builds the index by_text from the tokens.  FLO_E_GGUF_VOCAB: two tokens have
 * the same text. */
FLO_MUST_USE int flo_vocab_index(struct flo_vocab *vocab, struct flo_err *err);
/* Reads the list of merges, after by_text was built. */
FLO_MUST_USE int flo_vocab_load_merges(struct flo_vocab *vocab, const struct flo_gguf *gguf,
                                       struct flo_err *err);

/* Loads what WordPiece or Unigram needs, after the tokens, their types and
 * scores (vocab/encoders.c). */
FLO_MUST_USE int flo_vocab_load_encoder(struct flo_vocab *vocab, const struct flo_gguf *gguf,
                                        struct flo_err *err);

/* Reads how texts and pairs are written (vocab/encoders.c). */
FLO_MUST_USE int flo_vocab_load_pair(struct flo_vocab *vocab, const struct flo_gguf *gguf,
                                     struct flo_err *err);

/* Returns how one text is written, or two: the file's own form, or the usual one of its
 * special tokens (vocab/encoders.c). */
struct flo_pair_form flo_vocab_form(const struct flo_vocab *vocab, bool has_second);

/* Convert a byte to its printable character in byte-level BPE, and back.  The
 * second returns -1 if the code stands for no byte. */
uint32_t flo_byte_to_code(uint8_t byte);
int flo_code_to_byte(uint32_t code);

/* Returns how many more ids the list can take. */
size_t flo_tokens_room(const struct flo_tokens *tokens);
/* Tells whether `count` more ids are too many, and then sets tokens->failed. */
bool flo_tokens_refuse(struct flo_tokens *tokens, size_t count);
/* Tells whether the ids of so many bytes of text could fit.  If they cannot,
 * sets tokens->failed. */
bool flo_tokens_have_room(struct flo_tokens *tokens, const struct flo_vocab *vocab, size_t bytes);

/* Append the ids of a text without special tokens.  flo_bpe_text() works word
 * by word (token/bpe.c).  flo_spm_text() takes the whole text, with a blank
 * before it if `has_prefix` (token/spm.c).  Both return false if there is no
 * memory. */
bool flo_bpe_text(const struct flo_vocab *vocab, const char *text, size_t bytes,
                  struct flo_tokens *tokens);
bool flo_spm_text(const struct flo_vocab *vocab, const char *text, size_t bytes, bool has_prefix,
                  struct flo_tokens *tokens);
/* flo_wordpiece_text() drops characters that BERT's tokenizer drops, and never
 * fails (token/wordpiece.c).  flo_unigram_text() returns false if there is no
 * memory (token/unigram.c). */
void flo_wordpiece_text(const struct flo_vocab *vocab, const char *text, size_t bytes,
                        struct flo_tokens *tokens);
bool flo_unigram_text(const struct flo_vocab *vocab, const char *text, size_t bytes,
                      struct flo_tokens *tokens);
/* Append the ids of one word, which is not empty, as it is. */
void flo_wordpiece_word(const struct flo_vocab *vocab, const char *word, size_t bytes,
                        struct flo_tokens *tokens);
bool flo_unigram_word(const struct flo_vocab *vocab, const char *word, size_t bytes,
                      struct flo_tokens *tokens);
/* Appends a text with the replacements of Unigram's map. */
void flo_unigram_map(const struct flo_vocab *vocab, const char *text, size_t bytes,
                     struct flo_buf *out);
/* Tells whether BERT drops a character: all control characters but tab and line
 * ends, even where they count as blanks elsewhere. */
bool flo_bert_drops(uint32_t code);
/* Tells whether an ideograph stands alone, as BERT's tokenizer lists them. */
bool flo_bert_is_ideograph(uint32_t code);
/* Writes bytes as their printable characters, which are below U+0800 and so
 * have one or two bytes.  Returns their length. */
size_t flo_bytes_show(char *out, const char *text, size_t bytes);
/* Returns the score of a character that no token has. */
double flo_unigram_unknown_score(const struct flo_vocab *vocab);
/* Appends a text with U+2581 in place of each blank. */
void flo_blanks_escape(struct flo_buf *out, const char *text, size_t bytes);
/* Appends the ids that the library makes of a text (vocab/library.c).  With
 * `has_message` the text may be a user's; no user-defined mark in it then
 * becomes one token.  Returns false if there is no memory. */
bool flo_library_text(const struct flo_vocab *vocab, const char *text, size_t bytes,
                      bool has_message, struct flo_tokens *tokens);

/* Character of SPM's tokens that stands for a blank. */
#define FLO_SPM_BLANK "\xe2\x96\x81"
#define FLO_SPM_BLANK_CODE 0x2581

#endif
