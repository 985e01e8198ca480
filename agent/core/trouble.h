/* Trouble of reading: a disk that no longer gives its bytes.  Pure.
 *
 * Nobody tries to read; engines and loads come across it.  An error may be a
 * sector, and a disk may give all that it is asked for because nobody asks
 * much.  So it takes FLO_TROUBLE_READS errors to say it, and FLO_TROUBLE_LOOKS
 * looks without one to end it. */
#ifndef FLOTILLA_AGENT_CORE_TROUBLE_H
#define FLOTILLA_AGENT_CORE_TROUBLE_H

#include <flotilla/base.h>

#define FLO_TROUBLE_READS 3u
#define FLO_TROUBLE_LOOKS 3u

struct flo_trouble {
    int code; /* FLO_E_...; 0: all is well */
    char what[256];
    uint32_t errors; /* since the last quiet time */
    uint32_t quiet;  /* looks since the last of them */
};

/* Does this error say that a disk does not give its bytes? */
bool flo_trouble_is_read(int code);
/* Such an error.  `is_whole`: nothing goes on without those bytes, so that one
 * is enough. */
void flo_trouble_read(struct flo_trouble *trouble, const struct flo_err *err, bool is_whole);
/* The time of a look has come: was there an error since the last? */
void flo_trouble_look(struct flo_trouble *trouble);

#endif
