/* Claims by serial number: may a device that enrols with this serial come in,
 * and as whom?  Pure.
 *
 * People prepare a list of serial numbers.  A device that enrols with one of
 * them gets what stands there. */
#ifndef FLOTILLA_SERVER_SERIAL_H
#define FLOTILLA_SERVER_SERIAL_H

#include <flotilla/base.h>

/* A device whose serial is not on the list. */
enum flo_unlisted {
    FLO_UNLISTED_OPEN,   /* comes in, as what it says itself */
    FLO_UNLISTED_WAIT,   /* waits in the list until people prepare it */
    FLO_UNLISTED_REFUSE, /* is refused */
    FLO_UNLISTED_COUNT
};
const char *flo_unlisted_word(enum flo_unlisted policy);
bool flo_unlisted_parse(const char *word, enum flo_unlisted *out);

/* A serial as a name: small letters and digits, '.', '_' and '-'; other signs
 * become '-'.  false: it is empty, too long, or begins with none of the first
 * two kinds. */
bool flo_serial_normal(const char *text, char out[FLO_NAME_MAX + 1]);

enum flo_serial_verdict {
    FLO_SERIAL_OPEN,     /* in, without a claim */
    FLO_SERIAL_PREPARED, /* in, as its row says */
    FLO_SERIAL_WAITS,    /* the serial's row waits for people */
    FLO_SERIAL_REFUSED,  /* not on the list, or it named no serial */
    FLO_SERIAL_TAKEN     /* another device came with it */
};
struct flo_serial_facts {
    enum flo_unlisted policy;
    bool has_serial;  /* the device named one */
    bool is_prepared; /* people wrote its row */
    bool is_claimed;  /* a device that is not retired came with it */
};
enum flo_serial_verdict flo_serial_decide(const struct flo_serial_facts *facts);

#endif
