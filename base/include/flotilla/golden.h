/* Golden cases (flotilla-golden-1 and -2): requests with known answers.  A
 * device's probe sends them to a candidate, and the publisher's tools check
 * them before signing.  Formats: docs/reference/golden.md. */
#ifndef FLOTILLA_GOLDEN_H
#define FLOTILLA_GOLDEN_H

#include <flotilla/base.h>

#define FLO_GOLDEN_BYTES_MAX (1u << 20) /* largest file that a device reads */
#define FLO_GOLDEN_CASES_MAX 1000
#define FLO_GOLDEN_EXPECT_MAX 16
#define FLO_GOLDEN_TOKENS_MAX 4096
#define FLO_GOLDEN_MESSAGES_MAX 64
#define FLO_GOLDEN_MATCH_BYTES_MAX 4096 /* longest text of a matcher */
#define FLO_GOLDEN_STARS_MAX 8          /* most `*` in a pattern */
#define FLO_GOLDEN_VECTOR_MAX 65536     /* most numbers of a vector */
#define FLO_GOLDEN_AUDIO_MAX 1000000    /* longest audio file, in bytes */
#define FLO_GOLDEN_SLACK_MAX 5.0        /* largest allowed difference of a loss */
#define FLO_GOLDEN_EXACT_GAP 1.0        /* least min_logit_gap at which token ids are compared */

/* Kinds of requests of a case. */
enum flo_golden_input {
    FLO_GOLDEN_PROMPT,   /* a user's message */
    FLO_GOLDEN_RAW,      /* a prompt that already has the chat template */
    FLO_GOLDEN_MESSAGES, /* a conversation */
    FLO_GOLDEN_TEXT,     /* a text to embed: the answer is a vector */
    FLO_GOLDEN_AUDIO,    /* a WAV file of the release, to transcribe */
    FLO_GOLDEN_FILE,     /* a file of the release, which a command of the operator gets as input */
};

enum flo_golden_kind {
    FLO_GOLDEN_IS,       /* the answer, after blanks are trimmed, is `text` */
    FLO_GOLDEN_CONTAINS, /* `text` is in the answer */
    FLO_GOLDEN_LACKS,    /* `text` is not in the answer */
    FLO_GOLDEN_PATTERN,  /* the whole answer matches `text` with * ? # and \ */
    FLO_GOLDEN_EQUALS,   /* the answer is JSON, with `value` at the pointer `text` */
    /* the answer is JSON, with a number from `low` to `high` at the pointer
     * `text` */
    FLO_GOLDEN_WITHIN,
    FLO_GOLDEN_COSINE, /* the answer's vector is close to the vector in the file `text` */
    /* the answer has these token ids; used only where every token was far
     * likelier than the next best one */
    FLO_GOLDEN_TOKENS,
    FLO_GOLDEN_EXIT, /* the command ends with this exit status */
    /* the answer's tokens are as likely as they were for the publisher's model,
     * up to the first token where the model chooses another one */
    FLO_GOLDEN_LOSSES,
    /* the likeliest tokens at each token of LOSSES are as likely as they were for
     * the publisher's model, in the mean over all cases */
    FLO_GOLDEN_RIVALS,
};

struct flo_tree_node;
struct flo_golden_match {
    enum flo_golden_kind kind;
    const char *text; /* expected text, JSON pointer or file name; `kind` tells which */
    const struct flo_tree_node *value; /* part of the document */
    /* bounds of a number; COSINE uses only `low`, LOSSES `high` as the largest
     * difference of a loss, RIVALS `high` as the largest root mean square of the
     * differences */
    double low, high;
    uint32_t n_tokens; /* for RIVALS a multiple of the number of LOSSES */
    int32_t *tokens;
    float *losses; /* [n_tokens], for LOSSES, RIVALS: -ln of each token's probability */
    int exit_status;
    float *vector; /* numbers of the file, from flo_golden_set_vector() */
    uint32_t n_vector;
};

struct flo_golden_message {
    const char *role, *content;
};

struct flo_golden_case {
    const char *id;
    enum flo_golden_input input;
    const char *prompt; /* the text, or a file's name; NULL for MESSAGES */
    size_t prompt_bytes;
    char *audio; /* bytes of the file, from flo_golden_set_audio() */
    size_t audio_bytes;
    uint32_t n_messages;
    struct flo_golden_message *messages;
    const char *answer; /* the complete expected answer, to compute a score; NULL: unknown */
    uint32_t tokens_max;
    bool trims; /* true: blanks at both ends of an answer are ignored */
    uint32_t n_expect;
    struct flo_golden_match expect[FLO_GOLDEN_EXPECT_MAX + 3]; /* and TOKENS, LOSSES, RIVALS */
};

struct flo_golden {
    void *document; /* documents that own the texts; several after flo_golden_join() */
    uint32_t n_cases;
    struct flo_golden_case *cases;
};

/* Reads golden cases from a document.  The error names the case.
 * FLO_E_META_SCHEMA, FLO_E_META_JSON and others. */
FLO_MUST_USE int flo_golden_read(const char *text, size_t bytes, struct flo_golden *golden,
                                 struct flo_err *err);
void flo_golden_deinit(struct flo_golden *golden);
/* Appends the cases of `more` to `golden`.  `more` is empty afterwards, even if
 * the call fails.  FLO_E_MEMORY. */
FLO_MUST_USE int flo_golden_join(struct flo_golden *golden, struct flo_golden *more,
                                 struct flo_err *err);

/* Sets the contents of the file that a cosine matcher names: little-endian f32,
 * 1 to FLO_GOLDEN_VECTOR_MAX, a vector of length 1.  FLO_E_META_SCHEMA,
 * FLO_E_MEMORY. */
FLO_MUST_USE int flo_golden_set_vector(struct flo_golden_match *match, const void *data,
                                       size_t bytes, struct flo_err *err);

/* Copies the contents of the file that an audio case names: a WAV file of at
 * most FLO_GOLDEN_AUDIO_MAX bytes.  FLO_E_META_SCHEMA, FLO_E_MEMORY. */
FLO_MUST_USE int flo_golden_set_audio(struct flo_golden_case *golden_case, const void *data,
                                      size_t bytes, struct flo_err *err);

/* Files of a release, by name: on a device from its store, at creation from the
 * publisher's disk. */
struct flo_golden_files {
    /* Reads a file of at most `bytes_max` bytes into *data, which the caller
     * frees.  NULL: there are no files. */
    int (*read)(void *context, const char *name, size_t bytes_max, char **data, size_t *bytes,
                struct flo_err *err);
    void *context;
};
/* Reads the vectors and audio files that the cases name. */
FLO_MUST_USE int flo_golden_load(struct flo_golden *golden, const struct flo_golden_files *files,
                                 struct flo_err *err);
/* A token and its loss: -ln of its probability. */
struct flo_golden_likely {
    int32_t token;
    double loss;
};
/* An answer that is followed for the matchers of the kinds LOSSES and RIVALS.
 * Zero-initialise. */
struct flo_golden_follow {
    const struct flo_golden_match *match;  /* NULL: the case has none */
    const struct flo_golden_match *rivals; /* NULL: the case has none */
    uint32_t count;                        /* tokens that were compared */
    bool has_departed;                     /* the model chose another token than expected */
    double last;                           /* difference of the last token that was compared */
    double worst;                          /* largest difference of a loss */
    double worst_loss;                     /* loss of the token with that difference */
    uint32_t worst_at;                     /* index of that token */
    /* Sums over all cases that were followed: of the squares of the rivals'
     * differences, and of the squares that are allowed. */
    double squares, allowed;
};
/* Begins to follow an answer to the case, which must outlive `follow`.  The sums
 * over all cases go on. */
void flo_golden_follow(struct flo_golden_follow *follow, const struct flo_golden_case *c);
/* Adds a step of the answer.  tokens[0] is the chosen token; the most likely
 * ones follow in any order. */
void flo_golden_follow_token(struct flo_golden_follow *follow,
                             const struct flo_golden_likely *tokens, size_t count);
/* Returns the loss of the matcher's token `index`.  A token that was not reported
 * has the largest reported loss at least, so it may have the expected one. */
double flo_golden_loss(const struct flo_golden_match *match, uint32_t index,
                       const struct flo_golden_likely *tokens, size_t count);
/* Judges one matcher of the kind LOSSES.  FLO_E_PROBE_GOLDEN. */
FLO_MUST_USE int flo_golden_judge_losses(const struct flo_golden_match *match,
                                         const struct flo_golden_follow *follow,
                                         struct flo_err *err);
/* Judges the rivals of all cases that were followed.  `kernel` is the name of the
 * kernel that computed.  llama.cpp's library passes: it rounds in other places than
 * the kernels that made the cases.  FLO_E_PROBE_GOLDEN. */
FLO_MUST_USE int flo_golden_judge_rivals(const struct flo_golden_follow *follow, const char *kernel,
                                         struct flo_err *err);

/* An answer.  Members that the case's kind does not use are empty. */
struct flo_golden_answer {
    const char *text; /* NUL after it */
    size_t bytes;
    const int32_t *tokens;
    uint32_t n_tokens;
    const float *vector;
    uint32_t n_vector;
    int exit_status;
    const struct flo_golden_follow *follow; /* NULL: the engine told no probabilities */
};
/* Checks an answer against all matchers of a case, except kinds whose bit is in
 * `without`.  FLO_E_PROBE_GOLDEN says which matcher fails and why; the error
 * never contains text of the answer.
 *
 * The time is linear in the answer's size for each matcher.  Only the
 * comparison of JSON values is recursive. */
FLO_MUST_USE int flo_golden_judge(const struct flo_golden_case *golden_case, unsigned without,
                                  const struct flo_golden_answer *answer, struct flo_err *err);
/* Returns the number of matchers whose kind has no bit in `without`. */
uint32_t flo_golden_count(const struct flo_golden_case *golden_case, unsigned without);

#endif
