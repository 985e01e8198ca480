/* Golden cases (flotilla-golden-1 and -2): requests whose answers are known.
 * The probe plays them on a candidate; the publisher's tools look at them
 * before they are signed.  The formats: docs/reference/golden.md. */
#ifndef FLOTILLA_GOLDEN_H
#define FLOTILLA_GOLDEN_H

#include <flotilla/base.h>

#define FLO_GOLDEN_BYTES_MAX (1u << 20) /* what a device reads */
#define FLO_GOLDEN_CASES_MAX 1000
#define FLO_GOLDEN_EXPECT_MAX 16
#define FLO_GOLDEN_TOKENS_MAX 4096
#define FLO_GOLDEN_MESSAGES_MAX 64
#define FLO_GOLDEN_MATCH_BYTES_MAX 4096 /* text of a matcher */
#define FLO_GOLDEN_STARS_MAX 8          /* stars in a pattern */
#define FLO_GOLDEN_VECTOR_MAX 65536     /* numbers */
#define FLO_GOLDEN_AUDIO_MAX 1000000    /* bytes of a file */
#define FLO_GOLDEN_EXACT_GAP 1.0        /* token ids are compared from here */

/* The request of a case. */
enum flo_golden_input {
    FLO_GOLDEN_PROMPT,   /* a user's message */
    FLO_GOLDEN_RAW,      /* a prompt that holds the template */
    FLO_GOLDEN_MESSAGES, /* a conversation */
    FLO_GOLDEN_TEXT,     /* a text whose vector is asked for */
    FLO_GOLDEN_AUDIO,    /* a WAV file of the release, whose text is asked for */
    FLO_GOLDEN_FILE,     /* a file of the release, for a command */
};

enum flo_golden_kind {
    FLO_GOLDEN_IS,       /* `text`, after the trim */
    FLO_GOLDEN_CONTAINS, /* `text` is in the answer */
    FLO_GOLDEN_LACKS,    /* `text` is not in the answer */
    FLO_GOLDEN_PATTERN,  /* `text` with * ? # and \ fits the whole answer */
    FLO_GOLDEN_EQUALS,   /* the answer is JSON with `value` at `text` */
    FLO_GOLDEN_WITHIN,   /* ... with a number from `low` to `high` there */
    FLO_GOLDEN_COSINE,   /* the answer's vector is near that of a file */
    FLO_GOLDEN_TOKENS,   /* these ids, where all choices were clear */
    FLO_GOLDEN_EXIT,     /* the exit status of a command */
};

struct flo_golden_match {
    enum flo_golden_kind kind;
    const char *text; /* also a JSON pointer; a file's name */
    const void *value;
    double low, high; /* COSINE: low */
    uint32_t n_tokens;
    int32_t *tokens;
    int exit_status;
    float *vector; /* the file's numbers, from flo_golden_set_vector() */
    uint32_t n_vector;
};

struct flo_golden_message {
    const char *role, *content;
};

struct flo_golden_case {
    const char *id;
    enum flo_golden_input input;
    const char *prompt; /* the text, or the name; MESSAGES have none */
    size_t prompt_bytes;
    char *audio; /* the file's bytes, from flo_golden_set_audio() */
    size_t audio_bytes;
    uint32_t n_messages;
    struct flo_golden_message *messages;
    const char *answer; /* the whole of it, for a score; NULL: not known */
    uint32_t tokens_max;
    bool trims; /* blanks at both ends of an answer do not count */
    uint32_t n_expect;
    struct flo_golden_match expect[FLO_GOLDEN_EXPECT_MAX + 1];
};

struct flo_golden {
    void *document; /* owns the texts; a list of documents once joined */
    uint32_t n_cases;
    struct flo_golden_case *cases;
};

/* FLO_E_META_SCHEMA, FLO_E_META_JSON, ... with the case named. */
FLO_MUST_USE int flo_golden_read(const char *text, size_t bytes, struct flo_golden *golden,
                                 struct flo_err *err);
void flo_golden_deinit(struct flo_golden *golden);
/* The cases of `more` follow those of `golden`; `more` is empty then, also on
 * failure.  FLO_E_MEMORY. */
FLO_MUST_USE int flo_golden_join(struct flo_golden *golden, struct flo_golden *more,
                                 struct flo_err *err);

/* The file that a cosine matcher names holds these bytes: little-endian f32,
 * 1 to FLO_GOLDEN_VECTOR_MAX, of length 1.  FLO_E_META_SCHEMA, FLO_E_MEMORY.
 */
FLO_MUST_USE int flo_golden_set_vector(struct flo_golden_match *match, const void *data,
                                       size_t bytes, struct flo_err *err);

/* The file that an audio case names holds these bytes, which are copied: a WAV
 * file of at most FLO_GOLDEN_AUDIO_MAX.  FLO_E_META_SCHEMA, FLO_E_MEMORY. */
FLO_MUST_USE int flo_golden_set_audio(struct flo_golden_case *golden_case, const void *data,
                                      size_t bytes, struct flo_err *err);

/* An answer; what a case's kind does not have is empty. */
struct flo_golden_answer {
    const char *text; /* NUL after it */
    size_t bytes;
    const int32_t *tokens;
    uint32_t n_tokens;
    const float *vector;
    uint32_t n_vector;
    int exit_status;
};
/* Does the answer hold for one matcher; for all of a case, but those whose
 * kinds (a bit each) are in `without`?  FLO_E_PROBE_GOLDEN says which one
 * fails and why; it never has a text of the answer.  Linear in the answer
 * for each matcher's text, without recursion but in a JSON value. */
FLO_MUST_USE int flo_golden_judge(const struct flo_golden_case *golden_case, unsigned without,
                                  const struct flo_golden_answer *answer, struct flo_err *err);
/* Matchers that are left without these kinds. */
uint32_t flo_golden_count(const struct flo_golden_case *golden_case, unsigned without);

#endif
