/* Codes of the errors whose ids begin with `gguf.`.
 * Made by `make docs` from `base/errors.def`; change the table, not this
 * file. */
#ifndef FLOTILLA_ERRORS_GGUF_H
#define FLOTILLA_ERRORS_GGUF_H

enum {
    FLO_E_GGUF_MAGIC = -993,     /* gguf.magic */
    FLO_E_GGUF_VERSION = -994,   /* gguf.version */
    FLO_E_GGUF_TRUNCATED = -995, /* gguf.truncated */
    FLO_E_GGUF_LIMIT = -996,     /* gguf.limit */
    FLO_E_GGUF_BOUNDS = -997,    /* gguf.bounds */
    FLO_E_GGUF_TYPE = -998,      /* gguf.type */
    FLO_E_GGUF_SHAPE = -999,     /* gguf.tensor_shape */
    FLO_E_GGUF_DUP = -1000,      /* gguf.dup */
    FLO_E_GGUF_NAME = -1001,     /* gguf.name */
    FLO_E_GGUF_MISSING = -1002,  /* gguf.missing */
    FLO_E_GGUF_HPARAM = -1003,   /* gguf.hparam */
    FLO_E_GGUF_VOCAB = -1004,    /* gguf.vocab */
};

#endif
