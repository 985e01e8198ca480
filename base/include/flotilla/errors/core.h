/* Codes of the errors that many files name.
 * Made by `make docs` from `base/errors.def`; change the table, not this
 * file. */
#ifndef FLOTILLA_ERRORS_CORE_H
#define FLOTILLA_ERRORS_CORE_H

enum {
    FLO_E_INTERNAL = -1,         /* internal */
    FLO_E_MEMORY = -2,           /* memory.exhausted */
    FLO_E_NOT_BUILT = -3,        /* not.built */
    FLO_E_INTERRUPTED = -4,      /* interrupted */
    FLO_E_USAGE = -5,            /* cli.usage */
    FLO_E_ABSENT = -6,           /* absent */
    FLO_E_STATE = -7,            /* state.conflict */
    FLO_E_IO_OPEN = -8,          /* io.open */
    FLO_E_IO_READ = -9,          /* io.read */
    FLO_E_IO_WRITE = -10,        /* io.write */
    FLO_E_DISK_FULL = -11,       /* disk.full */
    FLO_E_CFG_RANGE = -12,       /* cfg.range */
    FLO_E_DB = -13,              /* db.failed */
    FLO_E_NET_UNREACHABLE = -14, /* net.unreachable */
    FLO_E_BLOB_ABSENT = -15,     /* blob.absent */
    FLO_E_REST_SCHEMA = -16,     /* rest.schema */
    FLO_E_REST_MEANING = -17,    /* rest.meaning */
    FLO_E_REST_LIMIT = -18,      /* rest.limit */
    FLO_E_META_TOO_LARGE = -19,  /* meta.too_large */
    FLO_E_META_SCHEMA = -20,     /* meta.schema */
    FLO_E_META_NAME = -21,       /* meta.name */
    FLO_E_TARGET_HASH = -22,     /* target.hash */
    FLO_E_ENGINE_CRASH = -23,    /* engine.crash */
    FLO_E_INFER_PARAM = -24,     /* infer.param */
    FLO_E_INFER_TOO_LONG = -25,  /* infer.prompt_too_long */
    FLO_E_INFER_BUSY = -26,      /* infer.busy */
    FLO_E_MODEL_NONFINITE = -27, /* model.nonfinite */
};

#endif
